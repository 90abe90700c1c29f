//! Operations bound to buffers, in one of two forms.
//!
//! A step with few rows is bound by reading the weights and by the number of dispatches: it takes fused operations and attention by
//! parts of the keys. A step with many rows is bound by arithmetic: products by tiles, and attention by tiles of queries.

use super::Gpu;
use super::dispatch::{Dispatch, Kernel};
use super::memory::{StepMemory, WORDS_AT};
use super::pipelines::{Access, BindingKinds, Pipelines};
use super::rung::{Attention, Form, Products, Rung};
use super::weights::{GpuMatrix, GpuPart, GpuWeights};
use crate::graph::{Activation, Fusion, Op, RowSet};
use crate::kernels::KernelVariant;
use crate::kernels::attention::attention_scale;
use crate::kernels::source::{HeadsShape, KernelShape, ProductShape, WeightShape, literal};
use crate::model::{ModelConfig, WeightKey};
use Access::{Read, ReadWrite, Uniform};
use Activation::{Attended, Gate, Hidden, Key, Logits, OutputHidden, Query, Up, Value};
use tilewright_plan::Capacity;

/// Binds operations to buffers.
pub(super) struct Binder<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) config: &'a ModelConfig,
    pub(super) capacity: &'a Capacity,
    pub(super) weights: &'a mut GpuWeights,
    pub(super) memory: &'a StepMemory,
    pub(super) pipelines: &'a mut Pipelines,
    pub(super) form: Form,
    pub(super) rung: &'a Rung,
    /// The attention by parts of the keys.
    pub(super) split: KernelVariant,
    /// Whether gate and up lie side by side, before their activation.
    pub(super) gate_is_joined: bool,
}

type Bindings<'a> = Vec<(u32, Access, &'a wgpu::Buffer)>;

impl Binder<'_> {
    pub(super) fn stride(&self, activation: Activation) -> u32 {
        activation.stride(self.config)
    }

    /// The dispatches of an operation: one, or one per part of its matrix.
    pub(super) fn bind(&mut self, op: &Op) -> Vec<Dispatch> {
        let (config, memory) = (self.config, self.memory);
        let buffer = |activation: Activation| memory.activation(activation);
        let (header, words) = ((0, Uniform, &memory.step), (1, Read, &memory.step));
        match op {
            Op::Fused { fusion, parts } => self.bind_fused(*fusion, parts),
            Op::Embed { table } => {
                let matrix = self.weights.matrix(*table).clone();
                let kernel = Kernel::Fixed(KernelVariant::default_embed());
                let out_stride = self.stride(Hidden);
                let mut bind = |part: &GpuPart| {
                    let shape = KernelShape::Embed { table: weight_shape(&matrix, part), out_stride };
                    let mut bindings =
                        vec![header, words, (2, ReadWrite, buffer(Hidden)), (6, Read, &self.memory.sampler.sampled)];
                    bindings.extend(weight_bindings(part));
                    self.dispatch(kernel, shape, RowSet::Step, &bindings)
                };
                matrix.parts.iter().map(&mut bind).collect()
            }
            Op::RmsNorm { input, weight, out } => {
                let Some(weight) = self.weights.vector(*weight).cloned() else { return Vec::new() };
                let shape = KernelShape::RmsNorm {
                    width: out.width(config),
                    stride: self.stride(*out),
                    eps: literal(config.norm_eps),
                };
                let bindings = [header, (1, Read, buffer(*input)), (2, Read, &weight), (3, ReadWrite, buffer(*out))];
                vec![self.dispatch(Kernel::RmsNorm, shape, out.rows(), &bindings)]
            }
            Op::Product { input, weight, bias, out, accumulate } => {
                if let Some(dispatches) = self.packed_product(op) {
                    return dispatches;
                }
                let matrix = self.weights.matrix(*weight).clone();
                let bias = bias.and_then(|bias| self.weights.vector(bias)).cloned();
                let kernel = match self.form {
                    _ if self.rung.products == Products::Serial => Kernel::Serial,
                    _ if self.rung.products == Products::Plain => Kernel::Plain,
                    _ if self.rung.products == Products::Tiles => Kernel::Tiles,
                    Form::Few | Form::Integers => Kernel::Matvec,
                    Form::Many => Kernel::Product,
                };
                let mut bind = |part: &GpuPart| {
                    let shape = ProductShape {
                        bias: bias.is_some(),
                        accumulate: *accumulate,
                        head: out.rows() == RowSet::Outputs,
                        ..ProductShape::new(weight_shape(&matrix, part), self.stride(*input), self.stride(*out))
                    };
                    let mut bindings = vec![header, (2, Read, buffer(*input)), (6, ReadWrite, buffer(*out))];
                    bindings.extend(weight_bindings(part));
                    bindings.extend(bias.as_ref().map(|bias| (7, Read, bias)));
                    self.dispatch(kernel, KernelShape::Product(shape), out.rows(), &bindings)
                };
                matrix.parts.iter().map(&mut bind).collect()
            }
            Op::RopeKv { layer } => {
                let bindings = [
                    header,
                    words,
                    (2, ReadWrite, buffer(Query)),
                    (3, Read, buffer(Key)),
                    (4, Read, buffer(Value)),
                    (5, ReadWrite, memory.cache(*layer)),
                ];
                let kernel = Kernel::Fixed(KernelVariant::default_rope(self.config.head_dim, self.gpu.is_software()));
                vec![self.dispatch(kernel, self.heads(), RowSet::Step, &bindings)]
            }
            Op::Attention { layer } => self.bind_attention(*layer),
            Op::SiluMul => {
                let bindings = [header, (1, ReadWrite, buffer(Gate)), (2, Read, buffer(Up))];
                let kernel = Kernel::Fixed(KernelVariant::default_silu());
                self.gate_is_joined = false;
                vec![self.dispatch(kernel, KernelShape::Rows { stride: self.stride(Gate) }, RowSet::Step, &bindings)]
            }
            Op::GatherRows => {
                let bindings = [header, words, (2, Read, buffer(Hidden)), (3, ReadWrite, buffer(OutputHidden))];
                let kernel = Kernel::Fixed(KernelVariant::default_gather());
                let shape = KernelShape::Rows { stride: self.stride(Hidden) };
                vec![self.dispatch(kernel, shape, RowSet::Outputs, &bindings)]
            }
        }
    }

    fn bind_attention(&mut self, layer: u32) -> Vec<Dispatch> {
        let memory = self.memory;
        let buffer = |activation: Activation| memory.activation(activation);
        let (header, words) = ((0, Uniform, &memory.step), (1, Read, &memory.step));
        let inputs = [header, words, (2, Read, buffer(Query)), (3, Read, memory.cache(layer))];
        let whole = |kernel| vec![(kernel, [&inputs[..], &[(4, ReadWrite, buffer(Attended))]].concat())];
        let outputs: Vec<(Kernel, Bindings<'_>)> = match self.rung.attention(self.form) {
            Attention::Rows => whole(Kernel::Fixed(KernelVariant::Attention { workgroup: 64 })),
            Attention::Tiles => {
                whole(Kernel::Tile(KernelVariant::default_attention(self.config.head_dim, self.gpu.is_software())))
            }
            Attention::Serial | Attention::Parts => {
                let joined = vec![header, words, (2, Read, &memory.partials), (3, ReadWrite, buffer(Attended))];
                let parts = [&inputs[..], &[(4, ReadWrite, &memory.partials)]].concat();
                vec![(Kernel::Split(self.split), parts), (Kernel::Reduce, joined)]
            }
        };
        let heads = self.heads();
        let bind =
            |(kernel, bindings): (Kernel, Bindings<'_>)| self.dispatch(kernel, heads.clone(), RowSet::Step, &bindings);
        outputs.into_iter().map(bind).collect()
    }

    /// One dispatch where the weights allow; else those of the operations that it stands for.
    fn bind_fused(&mut self, fusion: Fusion, parts: &[Op]) -> Vec<Dispatch> {
        let packed = match fusion {
            Fusion::NormQkvRope => self.packed_qkv(parts),
            Fusion::NormGate => self.packed_gate(parts),
            Fusion::NormHead => self.packed_head(parts),
        };
        let fused = packed.or_else(|| match fusion {
            _ if !self.rung.fuses() || self.form == Form::Many => None,
            Fusion::NormQkvRope => self.bind_qkv(parts),
            Fusion::NormGate => self.bind_gate(parts),
            Fusion::NormHead => self.bind_head(parts),
        });
        fused.unwrap_or_else(|| parts.iter().flat_map(|op| self.bind(op)).collect())
    }

    fn bind_qkv(&mut self, parts: &[Op]) -> Option<Vec<Dispatch>> {
        let Some(Op::RopeKv { layer }) = parts.last() else { return None };
        let (matrix, vectors, bias) = self.joined(parts)?;
        let KernelShape::Heads(heads) = self.heads() else { return None };
        let memory = self.memory;
        let shape = ProductShape {
            bias,
            rope: true,
            heads: Some(heads),
            ..self.normed(&matrix, &matrix.parts[0], self.stride(Query))
        };
        let bindings = vec![
            (1, Read, &memory.step),
            (2, Read, memory.activation(Hidden)),
            (6, ReadWrite, memory.activation(Query)),
            (7, Read, &vectors),
            (8, ReadWrite, memory.cache(*layer)),
        ];
        Some(vec![self.fused(shape, &matrix.parts[0], RowSet::Step, &bindings)])
    }

    fn bind_gate(&mut self, parts: &[Op]) -> Option<Vec<Dispatch>> {
        let (matrix, vectors, bias) = self.joined(parts)?;
        let memory = self.memory;
        let shape = ProductShape { bias, gate: true, ..self.normed(&matrix, &matrix.parts[0], self.stride(Gate)) };
        let bindings =
            vec![(2, Read, memory.activation(Hidden)), (6, ReadWrite, memory.activation(Gate)), (7, Read, &vectors)];
        self.gate_is_joined = false;
        Some(vec![self.fused(shape, &matrix.parts[0], RowSet::Step, &bindings)])
    }

    fn bind_head(&mut self, parts: &[Op]) -> Option<Vec<Dispatch>> {
        let [_, Op::RmsNorm { weight: norm, .. }, Op::Product { weight, bias: None, .. }] = parts else { return None };
        let matrix = self.weights.matrix(*weight).clone();
        let vectors = self.weights.concatenate(&[(Some(*norm), self.stride(Hidden))]);
        let memory = self.memory;
        let mut bind = |part: &GpuPart| {
            let shape = ProductShape { gather: true, head: true, ..self.normed(&matrix, part, self.stride(Logits)) };
            let bindings = vec![
                (1, Read, &memory.step),
                (2, Read, memory.activation(Hidden)),
                (6, ReadWrite, memory.activation(Logits)),
                (7, Read, &vectors),
            ];
            self.fused(shape, part, RowSet::Outputs, &bindings)
        };
        Some(matrix.parts.iter().map(&mut bind).collect())
    }

    /// The products of fused operations as one matrix, their norm's weights and biases as one buffer, and whether there are biases.
    fn joined(&mut self, parts: &[Op]) -> Option<(GpuMatrix, wgpu::Buffer, bool)> {
        let products: Vec<(WeightKey, Option<WeightKey>)> = parts
            .iter()
            .filter_map(|op| match op {
                Op::Product { weight, bias, .. } => Some((*weight, *bias)),
                _ => None,
            })
            .collect();
        let Some(Op::RmsNorm { weight: norm, .. }) = parts.first() else { return None };
        let keys: Vec<WeightKey> = products.iter().map(|(weight, _)| *weight).collect();
        let matrix = self.weights.join(&keys)?;
        let mut vectors = vec![(Some(*norm), self.stride(Hidden))];
        vectors.extend(products.iter().map(|(weight, bias)| (*bias, self.weights.matrix(*weight).layout.rows)));
        let biased = products.iter().any(|(_, bias)| bias.is_some_and(|bias| self.weights.vector(bias).is_some()));
        Some((matrix, self.weights.concatenate(&vectors), biased))
    }

    /// A product of the normalized residual stream.
    fn normed(&self, matrix: &GpuMatrix, part: &GpuPart, out_stride: u32) -> ProductShape {
        ProductShape {
            norm: true,
            width: self.config.hidden,
            eps: literal(self.config.norm_eps),
            ..ProductShape::new(weight_shape(matrix, part), self.stride(Hidden), out_stride)
        }
    }

    fn fused(&mut self, shape: ProductShape, part: &GpuPart, rows: RowSet, bindings: &Bindings<'_>) -> Dispatch {
        let mut all: Bindings<'_> = vec![(0, Uniform, &self.memory.step)];
        all.extend(bindings.iter().copied());
        all.extend(weight_bindings(part));
        self.dispatch(Kernel::Matvec, KernelShape::Product(shape), rows, &all)
    }

    pub(super) fn heads(&self) -> KernelShape {
        let config = self.config;
        KernelShape::Heads(HeadsShape {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            rotated: config.rope.dims,
            interleaved: config.rope.interleaved,
            q_stride: self.stride(Query),
            kv_stride: self.stride(Key),
            joined_stride: 0,
            block_size: self.capacity.block_size,
            kv_half: self.gpu.halves_cache(),
            scale: literal(attention_scale(config)),
        })
    }

    pub(super) fn dispatch(
        &mut self,
        kernel: Kernel,
        shape: KernelShape,
        rows: RowSet,
        bindings: &[(u32, Access, &wgpu::Buffer)],
    ) -> Dispatch {
        let kinds: BindingKinds = bindings.iter().map(|&(binding, access, _)| (binding, access)).collect();
        let bind_group = bind_group(self.gpu, self.pipelines, &self.memory.step, bindings);
        Dispatch { shape, kinds, bind_group, kernel, rows, pipelines: Vec::new(), last: None }
    }
}

/// Binds whole buffers, but of `step` its header where a uniform is asked for, else its words.
pub(super) fn bind_group(
    gpu: &Gpu,
    pipelines: &mut Pipelines,
    step: &wgpu::Buffer,
    bindings: &[(u32, Access, &wgpu::Buffer)],
) -> wgpu::BindGroup {
    let kinds: BindingKinds = bindings.iter().map(|&(binding, access, _)| (binding, access)).collect();
    let entry = |&(binding, access, buffer): &(u32, Access, &wgpu::Buffer)| {
        let (offset, size) = match access {
            Uniform => (0, wgpu::BufferSize::new(WORDS_AT)),
            _ if buffer == step => (WORDS_AT, None),
            _ => (0, None),
        };
        (binding, buffer.clone(), offset, size)
    };
    let resources: Vec<_> = bindings.iter().map(entry).collect();
    let entries: Vec<_> = resources
        .iter()
        .map(|(binding, buffer, offset, size)| wgpu::BindGroupEntry {
            binding: *binding,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: *offset, size: *size }),
        })
        .collect();
    let layout = pipelines.layout(gpu, &kinds);
    gpu.ledger.object();
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries })
}

pub(super) fn weight_shape(matrix: &GpuMatrix, part: &GpuPart) -> WeightShape {
    WeightShape::new(&matrix.layout, part.start, part.rows, part.base)
}

/// Bindings 3 to 5 of the kernels that read a matrix.
pub(super) fn weight_bindings(part: &GpuPart) -> impl Iterator<Item = (u32, Access, &wgpu::Buffer)> {
    let scales = part.scales.as_ref().map(|buffer| (4, Access::Read, buffer));
    let mins = part.mins.as_ref().map(|buffer| (5, Access::Read, buffer));
    [Some((3, Access::Read, &part.codes)), scales, mins].into_iter().flatten()
}
