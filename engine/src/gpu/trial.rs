//! One operation on made-up operands, to try kernel variants on: is the answer right on this device, and how long does it take.
//!
//! A tuner asks both of every candidate, in this order. The operands are as large as the model's, since a kernel's speed depends on
//! its shapes; the matrix repeats a few hundred random rows, so that the twin has the right answer to all of it in
//! milliseconds. There are several copies of the matrix, read in turn: in a model each layer has its own, and a copy that
//! stays in the cache would make every variant look fast.

use super::binder::bind_group;
use super::dispatch::{Counts, workgroups};
use super::pipelines::{Access, BindingKinds, Pipelines};
use super::weights::storage;
use super::{Gpu, GpuError};
use crate::graph::{RowSet, StepHeader};
use crate::kernels::matmul::{Product, matmul};
use crate::kernels::quantize::{quantize, values};
use crate::kernels::source::{HeadsShape, KernelShape, ProductShape, WeightShape, literal};
use crate::kernels::{KernelVariant, rms_norm};
use crate::sampling::random::philox;
use crate::weights::{TensorLayout, WeightFormat, WeightRows};
use half::f16;
use std::collections::HashMap;
use thiserror::Error;

/// Distinct rows of a matrix.
const PERIOD: u32 = 251;
/// Copies of the weights are made until they are so large, bytes: more than caches hold.
const COLD_BYTES: u64 = 192 << 20;
const MOST_COPIES: u64 = 16;

/// An operation of a model, by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProductOp {
    /// How weights are stored.
    pub format: WeightFormat,
    /// Rows of the matrix.
    pub outputs: u32,
    /// Columns of the matrix.
    pub inputs: u32,
    /// Rows of the input.
    pub rows: u32,
    /// What is fused to it.
    pub form: ProductForm,
}

/// What is fused to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProductForm {
    /// Nothing.
    Plain,
    /// The output is added to.
    Accumulate,
    /// Norm, and the gated activation of the two halves of the matrix.
    Gate,
    /// Norm, rotary embedding and KV write.
    Qkv {
        /// Query heads.
        heads: u32,
        /// Key and value heads.
        kv_heads: u32,
    },
    /// Norm of the rows whose logits are asked for.
    Head,
}

/// Why a variant was not tried to the end.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TrialError {
    /// The device's compiler refused it.
    #[error("the device refused {variant:?}: {reason}")]
    Refused {
        /// Which.
        variant: KernelVariant,
        /// What the device said.
        reason: String,
    },
    /// The device itself failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// Operands of one operation, on a device.
pub struct Trial {
    gpu: Gpu,
    op: ProductOp,
    counts: Counts,
    pipelines: Pipelines,
    /// For float and packed variants, made when first asked for.
    operands: HashMap<bool, Operands>,
    compiled: HashMap<KernelVariant, wgpu::ComputePipeline>,
}

struct Operands {
    shape: KernelShape,
    kinds: BindingKinds,
    bind_groups: Vec<wgpu::BindGroup>,
    out: wgpu::Buffer,
    /// What `out` should hold after one run, and where.
    expected: Vec<f32>,
}

impl Trial {
    /// Nothing is made yet.
    pub fn new(gpu: &Gpu, op: ProductOp) -> Self {
        let counts = Counts { rows: op.rows, outputs: op.rows, tiles: 1, splits: 1 };
        let (pipelines, operands, compiled) = (Pipelines::default(), HashMap::new(), HashMap::new());
        Self { gpu: gpu.clone(), op, counts, pipelines, operands, compiled }
    }

    /// What is tried.
    pub fn op(&self) -> &ProductOp {
        &self.op
    }

    /// Bytes of weights that one run reads.
    pub fn weight_bytes(&self) -> u64 {
        self.layout().bytes()
    }

    fn layout(&self) -> TensorLayout {
        TensorLayout { rows: self.op.outputs, cols: self.op.inputs, format: self.op.format }
    }

    /// Runs a variant once, or twice where it adds to what is there, and compares what it wrote with the twin: the largest error,
    /// relative to one plus the magnitude.
    ///
    /// # Errors
    /// When the device refuses the variant, or fails.
    pub async fn check(&mut self, variant: &KernelVariant) -> Result<f32, TrialError> {
        self.compile(variant).await?;
        let operands = &self.operands[&variant.is_packed()];
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(&operands.out, 0, None);
        let times = if self.op.form == ProductForm::Accumulate { 2 } else { 1 };
        self.encode(&mut encoder, variant, times);
        let bytes = operands.out.size();
        let staging = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("trial"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        encoder.copy_buffer_to_buffer(&operands.out, 0, &staging, 0, bytes);
        self.gpu.queue.submit([encoder.finish()]);
        let (sender, mapped) = futures_channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone when nobody waits any more.
            let _ = sender.send(result);
        });
        self.gpu.wait();
        let _ = mapped.await;
        self.gpu.check()?;
        let actual: Vec<f32> = match staging.get_mapped_range(..) {
            Ok(view) => bytemuck::cast_slice(&view).to_vec(),
            Err(_) => Vec::new(),
        };
        staging.destroy();
        let error = |(a, e): (&f32, &f32)| {
            let e = e * times as f32;
            (a - e).abs() / (1.0 + e.abs())
        };
        // What is not a number is as wrong as can be.
        let worse = |worst: f32, error: f32| if error.is_nan() { f32::INFINITY } else { worst.max(error) };
        Ok(match actual.get(..operands.expected.len()) {
            Some(actual) => actual.iter().zip(&operands.expected).map(error).fold(0.0, worse),
            None => f32::INFINITY,
        })
    }

    /// Runs a variant so many times, one after the other in one pass, and waits until that is done.
    ///
    /// # Errors
    /// When the device refuses the variant, or fails.
    pub async fn run(&mut self, variant: &KernelVariant, times: u32) -> Result<(), TrialError> {
        self.compile(variant).await?;
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.encode(&mut encoder, variant, times);
        self.gpu.queue.submit([encoder.finish()]);
        Ok(self.gpu.idle().await?)
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder, variant: &KernelVariant, times: u32) {
        let (Some(operands), Some(pipeline)) = (self.operands.get(&variant.is_packed()), self.compiled.get(variant))
        else {
            return;
        };
        let [x, y, z] = workgroups(variant, &operands.shape, RowSet::Step, &self.counts);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(pipeline);
        for bind_group in operands.bind_groups.iter().cycle().take(times as usize) {
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
    }

    async fn compile(&mut self, variant: &KernelVariant) -> Result<(), TrialError> {
        if self.compiled.contains_key(variant) {
            return Ok(());
        }
        let packed = variant.is_packed();
        if !self.operands.contains_key(&packed) {
            let operands = self.make(packed);
            self.operands.insert(packed, operands);
        }
        let operands = &self.operands[&packed];
        let pipeline = self.pipelines.pipeline(&self.gpu, &operands.kinds, variant, &operands.shape).pipeline;
        if let Some((_, reason)) = self.pipelines.refusal().await {
            return Err(TrialError::Refused { variant: *variant, reason });
        }
        self.compiled.insert(*variant, pipeline);
        Ok(())
    }

    fn make(&mut self, packed: bool) -> Operands {
        let ProductOp { format, outputs, inputs, rows, form } = self.op;
        let layout = self.layout();
        let norm = !matches!(form, ProductForm::Plain | ProductForm::Accumulate);
        let mut random = Random(0);
        let distinct = PERIOD.min(outputs);
        let weights = random.weights(&TensorLayout { rows: distinct, ..layout });
        let raw: Vec<f32> = (0..rows * inputs).map(|_| random.float()).collect();
        let norm_weight: Vec<f32> = (0..inputs).map(|_| 1.0 + random.float() / 4.0).collect();

        // The values of distinct rows, from which all outputs follow.
        let mut input = raw.clone();
        if norm {
            rms_norm::rms_norm(&raw, &norm_weight, &mut input, inputs as usize, EPS);
        }
        let order = format.quantization().map_or(8, |quantization| quantization.bits);
        let records = if packed { quantize(&input, order) } else { Vec::new() };
        if packed {
            input = values(&records, order);
        }
        let mut distinct_values = vec![0.0; (rows * distinct) as usize];
        let product = Product {
            input: &input,
            in_stride: inputs as usize,
            layout: &TensorLayout { rows: distinct, ..layout },
            weight: &weights,
            bias: None,
            accumulate: false,
        };
        matmul(&product, &mut distinct_values, distinct as usize);
        let value = |row: u32, n: u32| distinct_values[(row * distinct + n % distinct) as usize];

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
        let expected = match form {
            ProductForm::Gate => (0..rows)
                .flat_map(|row| (0..outputs / 2).map(move |n| (row, n)))
                .map(|(row, n)| {
                    let gate = value(row, n);
                    gate / (1.0 + (-gate).exp()) * value(row, n + outputs / 2)
                })
                .collect(),
            ProductForm::Qkv { .. } => {
                (0..rows).flat_map(|row| (0..out_stride).map(move |n| (row, n))).map(|(row, n)| value(row, n)).collect()
            }
            _ => (0..rows)
                .flat_map(|row| (0..out_stride).map(move |n| (row, n)))
                .map(|(row, n)| if n < outputs { value(row, n) } else { 0.0 })
                .collect::<Vec<f32>>(),
        };
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
        self.bind(shape, packed, &weights, &raw, &records, &norm_weight, expected)
    }

    #[expect(clippy::too_many_arguments, reason = "the operands of one product")]
    fn bind(
        &mut self,
        shape: ProductShape,
        packed: bool,
        weights: &WeightRows,
        raw: &[f32],
        records: &[u32],
        norm_weight: &[f32],
        expected: Vec<f32>,
    ) -> Operands {
        let gpu = self.gpu.clone();
        let rows = self.op.rows;
        let filled = |data: &[u8]| {
            let buffer = storage(&gpu, "trial", data.len() as u64);
            gpu.queue.write_buffer(&buffer, 0, data);
            buffer
        };
        // Rows name their own index in the head's order, slots from zero on, and a rotation of nothing.
        let words: Vec<u32> =
            if shape.rope { (0..rows).flat_map(|row| [0, 0, row, 0]).collect() } else { (0..rows).collect() };
        let header = StepHeader { rows, outputs: rows, ..StepHeader::default() };
        let step = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("trial"),
            size: super::memory::WORDS_AT + u64::from(rows) * 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        gpu.queue.write_buffer(&step, 0, bytemuck::bytes_of(&header));
        gpu.queue.write_buffer(&step, super::memory::WORDS_AT, bytemuck::cast_slice(&words));
        let input = if packed { filled(bytemuck::cast_slice(records)) } else { filled(bytemuck::cast_slice(raw)) };
        let out = storage(&gpu, "trial", u64::from(rows * shape.out_stride) * 4);
        let vectors = filled(bytemuck::cast_slice(norm_weight));
        let cache = shape
            .heads
            .as_ref()
            .map(|heads| storage(&gpu, "trial", u64::from(rows * 2 * heads.kv_heads * heads.head_dim) * 4));
        let copies = (COLD_BYTES / self.weight_bytes().max(1)).clamp(1, MOST_COPIES);
        let layout = self.layout();
        let bind_groups = (0..copies)
            .map(|_| {
                let codes =
                    repeated(&gpu, bytemuck::cast_slice(&weights.codes), layout.code_bytes_per_row(), layout.rows);
                let scales =
                    repeated(&gpu, bytemuck::cast_slice(&weights.scales), layout.scale_bytes_per_row(), layout.rows);
                let mins =
                    repeated(&gpu, bytemuck::cast_slice(&weights.mins), layout.scale_bytes_per_row(), layout.rows);
                let mut bindings =
                    vec![(0, Access::Uniform, &step), (2, Access::Read, &input), (3, Access::Read, &codes)];
                bindings.extend((layout.scale_stride() > 0).then_some((4, Access::Read, &scales)));
                bindings.extend(layout.mins().then_some((5, Access::Read, &mins)));
                bindings.push((6, Access::ReadWrite, &out));
                bindings.extend(shape.norm.then_some((7, Access::Read, &vectors)));
                bindings.extend((shape.rope || shape.gather).then_some((1, Access::Read, &step)));
                bindings.extend(cache.as_ref().map(|cache| (8, Access::ReadWrite, cache)));
                let kinds: BindingKinds = bindings.iter().map(|&(binding, access, _)| (binding, access)).collect();
                (kinds, bind_group(&gpu, &mut self.pipelines, &step, &bindings))
            })
            .collect::<Vec<_>>();
        let kinds = bind_groups.first().map(|(kinds, _)| kinds.clone()).unwrap_or_default();
        let bind_groups = bind_groups.into_iter().map(|(_, group)| group).collect();
        Operands { shape: KernelShape::Product(shape), kinds, bind_groups, out, expected }
    }
}

/// Added to the mean square of a normalized row.
const EPS: f32 = 1e-5;

/// A buffer of `rows` rows that repeats `data`.
fn repeated(gpu: &Gpu, data: &[u8], row_bytes: u64, rows: u32) -> wgpu::Buffer {
    let bytes = row_bytes * u64::from(rows);
    let buffer = storage(gpu, "trial", bytes.max(16));
    if data.is_empty() {
        return buffer;
    }
    let mut at = 0;
    while at < bytes {
        let take = (bytes - at).min(data.len() as u64);
        gpu.queue.write_buffer(&buffer, at, &data[..take as usize]);
        at += take;
    }
    buffer
}

/// Random operands.
struct Random(u32);

impl Random {
    fn word(&mut self) -> u32 {
        self.0 += 1;
        philox([self.0, 0, 0, 0], [5, 77])[0]
    }

    /// In [-1, 1).
    fn float(&mut self) -> f32 {
        self.word() as f32 / 2.0_f32.powi(31) - 1.0
    }

    /// Whose products with rows of magnitude one are of magnitude one.
    fn weights(&mut self, layout: &TensorLayout) -> WeightRows {
        let mut rows = WeightRows::zeroed(layout, layout.rows);
        let size = 1.0 / (layout.cols as f32).sqrt();
        match layout.format {
            WeightFormat::Quantized(quantization) => {
                rows.codes.iter_mut().for_each(|code| *code = self.word());
                let scale = size / if quantization.bits == 4 { 8.0 } else { 128.0 };
                rows.scales.iter_mut().for_each(|s| *s = f16::from_f32(scale * (1.0 + self.float() / 2.0)));
                rows.mins.iter_mut().for_each(|min| *min = f16::from_f32(-size * (1.0 + self.float() / 2.0)));
            }
            WeightFormat::F32 => rows.codes.iter_mut().for_each(|code| *code = (self.float() * size).to_bits()),
            format => {
                for code in &mut rows.codes {
                    let half = |x: f32| match format {
                        WeightFormat::F16 => u32::from(f16::from_f32(x).to_bits()),
                        _ => x.to_bits() >> 16,
                    };
                    *code = half(self.float() * size) | half(self.float() * size) << 16;
                }
            }
        }
        rows
    }
}
