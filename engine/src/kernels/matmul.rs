//! Twin of `matvec.wgsl`, `matvec_serial.wgsl` and `matmul.wgsl`.
//!
//! Each row of the weights is unpacked once and multiplied with every row of the input. Natively, ranges of outputs are shared
//! out to threads; no sum depends on how.

use crate::weights::{TensorLayout, WeightRows};

/// The operands of a product.
pub struct Product<'a> {
    /// f32 `[rows, in_stride]`
    pub input: &'a [f32],
    /// Row stride of the input.
    pub in_stride: usize,
    /// Layout of the weights `[outputs, inputs]`.
    pub layout: &'a TensorLayout,
    /// The weights.
    pub weight: &'a WeightRows,
    /// f32 `[outputs]`
    pub bias: Option<&'a [f32]>,
    /// Whether the product is added to what the output holds.
    pub accumulate: bool,
}

/// Outputs that one task computes.
const OUTPUTS_PER_TASK: usize = 64;

/// `out` f32 `[rows, out_stride]`.
pub fn matmul(product: &Product<'_>, out: &mut [f32], out_stride: usize) {
    let outputs = product.layout.rows as usize;
    let rows = out.len() / out_stride;
    // Tasks write whole runs of outputs, for all rows, to a buffer of their own: rows of `out` interleave the tasks' outputs.
    let task = |task: usize| {
        let first = task * OUTPUTS_PER_TASK;
        let count = OUTPUTS_PER_TASK.min(outputs - first);
        let mut sums = vec![0.0; rows * count];
        let mut unpacked = vec![0.0; product.layout.cols as usize];
        for n in 0..count {
            product.weight.dequantize(product.layout, (first + n) as u32, &mut unpacked);
            for row in 0..rows {
                sums[row * count + n] = dot(&unpacked, &product.input[row * product.in_stride..]);
            }
        }
        sums
    };
    let tasks = outputs.div_ceil(OUTPUTS_PER_TASK);
    for (index, sums) in run(tasks, task).into_iter().enumerate() {
        let first = index * OUTPUTS_PER_TASK;
        let count = sums.len() / rows.max(1);
        for (row, sums) in sums.chunks_exact(count.max(1)).enumerate() {
            let out = &mut out[row * out_stride + first..][..count];
            for (n, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
                let bias = product.bias.map_or(0.0, |bias| bias[first + n]);
                *out = if product.accumulate { *out + sum + bias } else { sum + bias };
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn run<T: Send>(tasks: usize, task: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    use rayon::iter::{IntoParallelIterator, ParallelIterator};
    (0..tasks).into_par_iter().map(task).collect()
}

#[cfg(target_arch = "wasm32")]
fn run<T>(tasks: usize, task: impl Fn(usize) -> T) -> Vec<T> {
    (0..tasks).map(task).collect()
}

/// Sixteen sums side by side, so that the compiler can use whatever vectors there are.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b[..a.len()].chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}
