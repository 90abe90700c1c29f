//! Whether this machine's vectors compute what they should.
//!
//! Relaxed SIMD is young: the baseline compiler of V8 11.3 (Node 20) gets `i32x4.relaxed_dot_i8x16_i7x16_add` wrong, the optimizing one
//! right, so that answers begin as noise and turn into sense within a second. Whoever loads a module with it asks here first,
//! and loads the one without where the answer is no: that one is a fifth slower.

use super::input::{Forms, Input, Source};
use super::packed::PackedMatrix;
use super::product::{Products, Weights, products};
use super::simd::Isa;
use super::threads::Threads;
use super::tiles::Vector;
use crate::sampling::random::philox;
use crate::weights::{Quantization, TensorLayout, WeightFormat, WeightRows};
use half::f16;

/// All ways of multiplying rows: one, two, panels with one that is not full; and where there are none, eight, four, two and one.
const ROWS: [usize; 3] = [1, 2, 15];

/// Compares integer products of all instruction sets with those without vectors, to the bit. Takes a few milliseconds.
///
/// Called before anything else, it sees the code of the browser's baseline compiler.
pub fn vectors_are_right() -> bool {
    let with_vectors: Vec<Isa> = Isa::available().into_iter().filter(|isa| isa.has_vectors()).collect();
    let quantized = |bits, group, mins| WeightFormat::Quantized(Quantization { bits, group, mins });
    [quantized(4, 32, false), quantized(4, 32, true), quantized(8, 32, false), quantized(8, 16, false)].into_iter().all(
        |format| {
            let layout = TensorLayout { rows: 32, cols: 96, format };
            let mut noise = (0..).map(|i| philox([i, 0, 0, 0], [7, 3])[0]);
            let mut rows = WeightRows::zeroed(&layout, layout.rows);
            rows.codes.iter_mut().zip(&mut noise).for_each(|(code, noise)| *code = noise);
            rows.scales.fill(f16::from_f32(0.125));
            rows.mins.fill(f16::from_f32(-0.5));
            let activations: Vec<f32> = noise.take(15 * 96).map(|noise| noise as i32 as f32).collect();
            let Some(mut matrix) = PackedMatrix::try_zeroed(layout) else { return false };
            matrix.write_rows(0, &rows);
            let run = |isa: Isa, count: usize| {
                let threads = Threads::new(Some(1));
                let mut input = Input::default();
                input.fill(isa, &threads, Forms::of(format), (count, 96), Source::Plain(&activations[..count * 96]));
                let mut out = vec![Vector::default(); matrix.tiles() * count];
                let weights = Weights { matrix: &matrix, bias: None };
                products(isa, &threads, &input, Products::Beside(&[weights]), &mut out);
                out
            };
            with_vectors
                .iter()
                .all(|isa| ROWS.into_iter().all(|count| run(*isa, count) == run(isa.in_scalars(), count)))
        },
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_computes_what_it_should() {
        assert!(super::vectors_are_right());
    }
}
