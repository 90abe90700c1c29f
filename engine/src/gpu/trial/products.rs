//! Operands of matrix products.
//!
//! The matrix repeats some dozen random rows and the input a few, so that the twin has the right answer to all of it in a few
//! milliseconds. What repeats is written once and copied on the device.

use super::{EPS, MOST_COPIES, Operands, Random, Trial, close, compared_rows};
use crate::gpu::Gpu;
use crate::gpu::binder::bind_group;
use crate::gpu::dispatch::Counts;
use crate::gpu::memory::WORDS_AT;
use crate::gpu::pipelines::{Access, BindingKinds};
use crate::gpu::tuned_op::{ProductForm, ProductOp};
use crate::gpu::weights::storage;
use crate::graph::StepHeader;
use crate::kernels::matmul::{Product, matmul};
use crate::kernels::quantize::{halves, quantize, values};
use crate::kernels::rms_norm;
use crate::kernels::source::{HeadsShape, KernelShape, ProductShape, WeightShape, literal};
use crate::weights::{TensorLayout, WeightFormat, WeightRows};
use half::f16;

/// Distinct rows of a matrix, and of an input: primes, so that no tile of a power of two gets the right answer from the wrong row.
const PERIOD: u32 = 61;
const INPUT_PERIOD: u32 = 7;

impl ProductOp {
    fn layout(&self) -> TensorLayout {
        TensorLayout { rows: self.outputs, cols: self.inputs, format: self.format }
    }

    /// Bytes of weights that one run reads.
    pub fn weight_bytes(&self) -> u64 {
        self.layout().bytes()
    }
}

/// What a product reads, and what comes of it.
struct Sides {
    weights: WeightRows,
    /// Distinct rows, as they come.
    raw: Vec<f32>,
    /// Distinct rows, as integers.
    records: Vec<u32>,
    /// The same as f16.
    halves: Vec<u32>,
    norm_weight: Vec<f32>,
    expected: Vec<f32>,
}

impl Trial {
    pub(super) fn product(&mut self, op: &ProductOp, packed: bool, cold_bytes: u64) -> Operands {
        let ProductOp { outputs, inputs, form, .. } = *op;
        let layout = op.layout();
        let (out_stride, heads) = match form {
            ProductForm::Gate => (outputs / 2, None),
            ProductForm::Qkv { heads, kv_heads } => {
                let head_dim = outputs / (heads + 2 * kv_heads);
                let q_stride = heads * head_dim;
                let heads = HeadsShape {
                    heads,
                    kv_heads,
                    head_dim,
                    rotated: 0,
                    interleaved: false,
                    q_stride,
                    kv_stride: kv_heads * head_dim,
                    joined_stride: 0,
                    block_size: 16,
                    kv_half: self.gpu.halves_cache(),
                    scale: literal(1.0),
                };
                (q_stride, Some(heads))
            }
            _ => (outputs.next_multiple_of(8), None),
        };
        let norm = !matches!(form, ProductForm::Plain | ProductForm::Accumulate);
        let shape = ProductShape {
            accumulate: form == ProductForm::Accumulate,
            norm: norm && !packed,
            width: inputs,
            eps: literal(EPS),
            gate: form == ProductForm::Gate,
            rope: matches!(form, ProductForm::Qkv { .. }),
            gather: form == ProductForm::Head && !packed,
            head: form == ProductForm::Head,
            heads,
            ..ProductShape::new(WeightShape::new(&layout, 0, outputs, 0), inputs, out_stride)
        };
        let rows = compared_rows(op.rows);
        let sides = sides(op, packed, norm, out_stride, &rows);
        let row_bytes = u64::from(out_stride) * 4;
        let compared = rows.iter().map(|&row| (u64::from(row) * row_bytes, row_bytes)).collect();
        self.bind(op, shape, packed, cold_bytes, compared, sides)
    }

    fn bind(
        &mut self,
        op: &ProductOp,
        shape: ProductShape,
        packed: bool,
        cold_bytes: u64,
        compared: Vec<(u64, u64)>,
        sides: Sides,
    ) -> Operands {
        let gpu = self.gpu.clone();
        let (rows, layout) = (op.rows, op.layout());
        let Sides { weights, raw, records, halves, norm_weight, expected } = sides;
        // Rows name their own index in the head's order, slots from zero on, and a rotation of nothing.
        let words: Vec<u32> =
            if shape.rope { (0..rows).flat_map(|row| [0, 0, row, 0]).collect() } else { (0..rows).collect() };
        let header = StepHeader { rows, outputs: rows, ..StepHeader::default() };
        let step = self.step(&header, &mut [vec![0; (WORDS_AT / 4) as usize], words].concat());
        let mut made = Made { gpu: gpu.clone(), buffers: vec![step.clone()] };
        let input_rows: &[u8] = if packed { bytemuck::cast_slice(&records) } else { bytemuck::cast_slice(&raw) };
        let row_bytes = input_rows.len() as u64 / u64::from(INPUT_PERIOD.min(rows));
        let input = made.repeating(input_rows, 1, row_bytes * u64::from(rows)).swap_remove(0);
        let halves = (!halves.is_empty() && gpu.binds_halves()).then(|| {
            let row_bytes = u64::from(layout.cols) * 2;
            made.repeating(bytemuck::cast_slice(&halves), 1, row_bytes * u64::from(rows)).swap_remove(0)
        });
        let out = storage(&gpu, "trial", u64::from(rows * shape.out_stride) * 4);
        let vectors = made.kept(self.filled(&norm_weight));
        let cache = shape
            .heads
            .as_ref()
            .map(|heads| made.kept(storage(&gpu, "trial", u64::from(rows * 2 * heads.kv_heads * heads.head_dim) * 4)));
        let copies = (cold_bytes / op.weight_bytes().max(1)).clamp(1, MOST_COPIES);
        let all = u64::from(layout.rows);
        let codes = made.repeating(bytemuck::cast_slice(&weights.codes), copies, layout.code_bytes_per_row() * all);
        let scale_bytes = layout.scale_bytes_per_row() * all;
        let scales = made.repeating(bytemuck::cast_slice(&weights.scales), copies, scale_bytes);
        let mins = made.repeating(bytemuck::cast_slice(&weights.mins), copies, scale_bytes);
        let mut kinds = BindingKinds::default();
        let bind_groups = (0..copies as usize)
            .map(|copy| {
                let mut bindings =
                    vec![(0, Access::Uniform, &step), (2, Access::Read, &input), (3, Access::Read, &codes[copy])];
                bindings.extend((layout.scale_stride() > 0).then(|| (4, Access::Read, &scales[copy])));
                bindings.extend(layout.mins().then(|| (5, Access::Read, &mins[copy])));
                bindings.push((6, Access::ReadWrite, &out));
                bindings.extend(shape.norm.then_some((7, Access::Read, &vectors)));
                bindings.extend((shape.rope || shape.gather).then_some((1, Access::Read, &step)));
                bindings.extend(cache.as_ref().map(|cache| (8, Access::ReadWrite, cache)));
                bindings.extend(halves.as_ref().map(|halves| (9, Access::Read, halves)));
                kinds = bindings.iter().map(|&(binding, access, _)| (binding, access)).collect();
                bind_group(&gpu, &mut self.pipelines, &step, &bindings)
            })
            .collect();
        Operands {
            shape: KernelShape::Product(shape),
            kinds,
            counts: Counts { rows, outputs: rows, tiles: 1, splits: 1 },
            bind_groups,
            then: None,
            out,
            compared,
            judge: close(expected),
            buffers: made.buffers,
        }
    }
}

fn sides(op: &ProductOp, packed: bool, norm: bool, out_stride: u32, rows: &[u32]) -> Sides {
    let ProductOp { format, outputs, inputs, form, .. } = *op;
    let layout = op.layout();
    let mut random = Random(0);
    let distinct = PERIOD.min(outputs);
    let input_rows = INPUT_PERIOD.min(op.rows);
    let weights = even_weights(&mut random, &TensorLayout { rows: distinct, ..layout });
    let raw = random.floats(input_rows * inputs);
    let norm_weight: Vec<f32> = (0..inputs).map(|_| 1.0 + random.float() / 4.0).collect();
    let mut input = raw.clone();
    if norm {
        rms_norm::rms_norm(&raw, &norm_weight, &mut input, inputs as usize, EPS);
    }
    let order = format.quantization().map_or(8, |quantization| quantization.bits);
    let records = if packed { quantize(&input, order) } else { Vec::new() };
    if packed {
        input = values(&records, order);
    }
    let halves = if packed { halves(&input, order) } else { Vec::new() };
    // The values of distinct rows, from which all outputs follow.
    let mut distinct_values = vec![0.0; (input_rows * distinct) as usize];
    let product = Product {
        input: &input,
        in_stride: inputs as usize,
        layout: &TensorLayout { rows: distinct, ..layout },
        weight: &weights,
        bias: None,
        accumulate: false,
    };
    matmul(&product, &mut distinct_values, distinct as usize);
    let value = |row: u32, n: u32| distinct_values[(row % input_rows * distinct + n % distinct) as usize];
    let output = |row: u32, n: u32| match form {
        ProductForm::Gate => {
            let gate = value(row, n);
            gate / (1.0 + (-gate).exp()) * value(row, n + outputs / 2)
        }
        _ if n < outputs => value(row, n),
        _ => 0.0,
    };
    let expected = rows.iter().flat_map(|&row| (0..out_stride).map(move |n| output(row, n))).collect();
    Sides { weights, raw, records, halves, norm_weight, expected }
}

/// Buffers of one trial.
struct Made {
    gpu: Gpu,
    buffers: Vec<wgpu::Buffer>,
}

/// What is written at a time; the rest is copied on the device.
const WRITTEN_BYTES: u64 = 4 << 20;

impl Made {
    fn kept(&mut self, buffer: wgpu::Buffer) -> wgpu::Buffer {
        self.buffers.push(buffer.clone());
        buffer
    }

    /// So many buffers of `bytes` that repeat `data`.
    fn repeating(&mut self, data: &[u8], copies: u64, bytes: u64) -> Vec<wgpu::Buffer> {
        let buffers: Vec<_> = (0..copies)
            .map(|_| storage(&self.gpu, "trial", if data.is_empty() { 16 } else { bytes.max(16) }))
            .collect();
        self.buffers.extend(buffers.iter().cloned());
        if data.is_empty() {
            return buffers;
        }
        // As many repetitions as make it worth a copy each.
        let repetitions = (WRITTEN_BYTES / data.len() as u64).clamp(1, bytes.div_ceil(data.len() as u64));
        let source = storage(&self.gpu, "trial", data.len() as u64 * repetitions);
        self.gpu.queue.write_buffer(&source, 0, &data.repeat(repetitions as usize));
        self.buffers.push(source.clone());
        let period = data.len() as u64 * repetitions;
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for buffer in &buffers {
            for at in (0..bytes).step_by(period as usize) {
                encoder.copy_buffer_to_buffer(&source, 0, buffer, at, (bytes - at).min(period));
            }
        }
        self.gpu.queue.submit([encoder.finish()]);
        buffers
    }
}

/// Weights whose products with rows of magnitude one are of magnitude one.
fn even_weights(random: &mut Random, layout: &TensorLayout) -> WeightRows {
    let mut rows = WeightRows::zeroed(layout, layout.rows);
    let size = 1.0 / (layout.cols as f32).sqrt();
    match layout.format {
        WeightFormat::Quantized(quantization) => {
            rows.codes.iter_mut().for_each(|code| *code = random.word());
            let scale = size / if quantization.bits == 4 { 8.0 } else { 128.0 };
            rows.scales.iter_mut().for_each(|s| *s = f16::from_f32(scale * (1.0 + random.float() / 2.0)));
            rows.mins.iter_mut().for_each(|min| *min = f16::from_f32(-size * (1.0 + random.float() / 2.0)));
        }
        WeightFormat::F32 => rows.codes.iter_mut().for_each(|code| *code = (random.float() * size).to_bits()),
        format => {
            for code in &mut rows.codes {
                let half = |x: f32| match format {
                    WeightFormat::F16 => u32::from(f16::from_f32(x).to_bits()),
                    _ => x.to_bits() >> 16,
                };
                *code = half(random.float() * size) | half(random.float() * size) << 16;
            }
        }
    }
    rows
}
