//! Products of 8-bit integers, bound to buffers.
//!
//! With more than a few rows a product is bound by its multiplications and by bringing the input to them, and four products of
//! bytes are one instruction. Each product's input becomes integers in a dispatch of its own, which sees to the norm, the activation
//! or the choice of rows as well, so that a step has no more dispatches than with floats. Query, key and value come from one
//! product, gate and up from another: more outputs keep more of a GPU busy.

use super::binder::{Binder, weight_bindings, weight_shape};
use super::dispatch::{Dispatch, Kernel};
use super::memory::IntegerMemory;
use super::pipelines::Access::{Read, ReadWrite, Uniform};
use super::rung::Form;
use super::weights::{GpuMatrix, GpuPart};
use crate::graph::{Activation, Op, RowSet};
use crate::kernels::KernelVariant;
use crate::kernels::source::{HeadsShape, KernelShape, ProductShape, QuantizeShape, literal};
use crate::model::{Role, WeightKey};
use Activation::{Gate, Hidden, Logits, Query};

/// What becomes integers.
struct Source<'a> {
    buffer: &'a wgpu::Buffer,
    /// Row stride and elements of a row of the result.
    in_stride: u32,
    width: u32,
    norm: Option<wgpu::Buffer>,
    silu: bool,
    gather: bool,
}

impl<'a> Binder<'a> {
    fn integers(&self) -> Option<&'a IntegerMemory> {
        if self.form == Form::Few || !self.rung.has_integers() { None } else { self.memory.integers.as_ref() }
    }

    fn kernel(&self) -> Kernel {
        if self.form == Form::Many { Kernel::MatmulPacked } else { Kernel::MatvecPacked }
    }

    /// A product alone, if its matrix is quantized.
    pub(super) fn packed_product(&mut self, op: &Op) -> Option<Vec<Dispatch>> {
        let Op::Product { input, weight, bias, out, accumulate } = *op else { return None };
        let integers = self.integers()?;
        let matrix = self.weights.matrix(weight).clone();
        let order = order(&matrix)?;
        let bias = bias.and_then(|bias| self.weights.vector(bias)).cloned();
        let joined = input == Gate && self.gate_is_joined;
        let width = matrix.layout.cols;
        let source = Source {
            buffer: if joined { &integers.joined } else { self.memory.activation(input) },
            in_stride: if joined { 2 * width } else { self.stride(input) },
            width,
            norm: None,
            silu: joined,
            gather: false,
        };
        let mut dispatches = vec![self.quantize(integers, &source, order, out.rows())];
        let (kernel, out_stride) = (self.kernel(), self.stride(out));
        for part in &matrix.parts {
            let shape = ProductShape {
                bias: bias.is_some(),
                accumulate,
                head: out.rows() == RowSet::Outputs,
                ..ProductShape::new(weight_shape(&matrix, part), width, out_stride)
            };
            let to = self.memory.activation(out);
            dispatches.push(self.packed(integers, kernel, shape, part, out.rows(), to, bias.as_ref(), None));
        }
        Some(dispatches)
    }

    /// Norm, query, key and value, rotary embedding and KV write.
    pub(super) fn packed_qkv(&mut self, parts: &[Op]) -> Option<Vec<Dispatch>> {
        let integers = self.integers()?;
        let [Op::RmsNorm { weight: norm, .. }, .., Op::RopeKv { layer }] = parts else { return None };
        let (matrix, biases) = self.joined_for_integers(parts)?;
        let (memory, part) = (self.memory, &matrix.parts[0]);
        let KernelShape::Heads(heads) = self.heads() else { return None };
        let mut dispatches = vec![self.quantize_normed(integers, *norm, &matrix, false)?];
        let width = matrix.layout.cols;
        if self.form == Form::Many {
            let joined_stride = matrix.layout.rows;
            let shape = ProductShape {
                bias: biases.is_some(),
                ..ProductShape::new(weight_shape(&matrix, part), width, joined_stride)
            };
            let kernel = Kernel::MatmulPacked;
            dispatches.push(self.packed(
                integers,
                kernel,
                shape,
                part,
                RowSet::Step,
                &integers.joined,
                biases.as_ref(),
                None,
            ));
            let bindings = [
                (0, Uniform, &memory.step),
                (1, Read, &memory.step),
                (2, ReadWrite, memory.activation(Query)),
                (3, Read, &integers.joined),
                (5, ReadWrite, memory.cache(*layer)),
            ];
            let shape = KernelShape::Heads(HeadsShape { joined_stride, ..heads });
            let kernel = Kernel::Fixed(KernelVariant::default_rope(self.config.head_dim, self.gpu.is_software()));
            dispatches.push(self.dispatch(kernel, shape, RowSet::Step, &bindings));
        } else {
            let shape = ProductShape {
                bias: biases.is_some(),
                rope: true,
                heads: Some(heads),
                ..ProductShape::new(weight_shape(&matrix, part), width, self.stride(Query))
            };
            let (out, cache) = (memory.activation(Query), memory.cache(*layer));
            let kernel = Kernel::MatvecPacked;
            dispatches.push(self.packed(
                integers,
                kernel,
                shape,
                part,
                RowSet::Step,
                out,
                biases.as_ref(),
                Some(cache),
            ));
        }
        Some(dispatches)
    }

    /// Norm, gate and up. With many rows their activation is left to whoever reads them next.
    pub(super) fn packed_gate(&mut self, parts: &[Op]) -> Option<Vec<Dispatch>> {
        let integers = self.integers()?;
        let [Op::RmsNorm { weight: norm, .. }, Op::Product { weight: gate, .. }, ..] = parts else { return None };
        let down = WeightKey { role: Role::Down, layer: gate.layer };
        let many = self.form == Form::Many;
        if many && order(self.weights.matrix(down)).is_none() {
            return None;
        }
        let (matrix, biases) = self.joined_for_integers(parts)?;
        let part = &matrix.parts[0];
        let mut dispatches = vec![self.quantize_normed(integers, *norm, &matrix, false)?];
        let out_stride = if many { matrix.layout.rows } else { self.stride(Gate) };
        let shape = ProductShape {
            bias: biases.is_some(),
            gate: !many,
            ..ProductShape::new(weight_shape(&matrix, part), matrix.layout.cols, out_stride)
        };
        let out = if many { &integers.joined } else { self.memory.activation(Gate) };
        let kernel = self.kernel();
        dispatches.push(self.packed(integers, kernel, shape, part, RowSet::Step, out, biases.as_ref(), None));
        self.gate_is_joined = many;
        Some(dispatches)
    }

    /// The asked-for rows, norm and head.
    pub(super) fn packed_head(&mut self, parts: &[Op]) -> Option<Vec<Dispatch>> {
        let integers = self.integers()?;
        let [_, Op::RmsNorm { weight: norm, .. }, Op::Product { weight, bias: None, .. }] = parts else { return None };
        let matrix = self.weights.matrix(*weight).clone();
        let mut dispatches = vec![self.quantize_normed(integers, *norm, &matrix, true)?];
        let (kernel, out_stride) = (self.kernel(), self.stride(Logits));
        for part in &matrix.parts {
            let shape = ProductShape {
                head: true,
                ..ProductShape::new(weight_shape(&matrix, part), matrix.layout.cols, out_stride)
            };
            let out = self.memory.activation(Logits);
            dispatches.push(self.packed(integers, kernel, shape, part, RowSet::Outputs, out, None, None));
        }
        Some(dispatches)
    }

    /// The products of fused operations as one quantized matrix, and their biases as one buffer.
    fn joined_for_integers(&mut self, parts: &[Op]) -> Option<(GpuMatrix, Option<wgpu::Buffer>)> {
        let products: Vec<(WeightKey, Option<WeightKey>)> = parts
            .iter()
            .filter_map(|op| match op {
                Op::Product { weight, bias, .. } => Some((*weight, *bias)),
                _ => None,
            })
            .collect();
        let keys: Vec<WeightKey> = products.iter().map(|(weight, _)| *weight).collect();
        order(self.weights.matrix(*keys.first()?))?;
        let matrix = self.weights.join(&keys)?;
        let vectors: Vec<_> =
            products.iter().map(|(weight, bias)| (*bias, self.weights.matrix(*weight).layout.rows)).collect();
        let biased = products.iter().any(|(_, bias)| bias.is_some_and(|bias| self.weights.vector(bias).is_some()));
        let biases = biased.then(|| self.weights.concatenate(&vectors));
        Some((matrix, biases))
    }

    /// The residual stream, normalized, as the integers that a matrix takes.
    fn quantize_normed(
        &mut self,
        integers: &IntegerMemory,
        norm: WeightKey,
        matrix: &GpuMatrix,
        gather: bool,
    ) -> Option<Dispatch> {
        let order = order(matrix)?;
        let source = Source {
            buffer: self.memory.activation(Hidden),
            in_stride: self.stride(Hidden),
            width: matrix.layout.cols,
            norm: Some(self.weights.vector(norm)?.clone()),
            silu: false,
            gather,
        };
        let rows = if gather { RowSet::Outputs } else { RowSet::Step };
        Some(self.quantize(integers, &source, order, rows))
    }

    fn quantize(&mut self, integers: &IntegerMemory, source: &Source<'_>, order: u32, rows: RowSet) -> Dispatch {
        let Source { in_stride, width, ref norm, silu, gather, .. } = *source;
        let eps = literal(self.config.norm_eps);
        let halves = integers.halves.is_some();
        let shape = QuantizeShape { in_stride, width, order, norm: norm.is_some(), eps, silu, gather, halves };
        let memory = self.memory;
        let mut bindings = vec![(0, Uniform, &memory.step), (2, Read, source.buffer), (3, ReadWrite, &integers.packed)];
        bindings.extend(gather.then_some((1, Read, &memory.step)));
        bindings.extend(norm.as_ref().map(|norm| (7, Read, norm)));
        bindings.extend(integers.halves.as_ref().map(|halves| (9, ReadWrite, halves)));
        self.dispatch(Kernel::Quantize, KernelShape::Quantize(shape), rows, &bindings)
    }

    #[expect(clippy::too_many_arguments, reason = "what a product reads and writes")]
    fn packed(
        &mut self,
        integers: &IntegerMemory,
        kernel: Kernel,
        shape: ProductShape,
        part: &GpuPart,
        rows: RowSet,
        out: &wgpu::Buffer,
        bias: Option<&wgpu::Buffer>,
        cache: Option<&wgpu::Buffer>,
    ) -> Dispatch {
        let step = &self.memory.step;
        let mut bindings = vec![(0, Uniform, step), (2, Read, &integers.packed), (6, ReadWrite, out)];
        bindings.extend(weight_bindings(part));
        bindings.extend(bias.map(|bias| (7, Read, bias)));
        bindings.extend(integers.halves.as_ref().map(|halves| (9, Read, halves)));
        if let Some(cache) = cache {
            bindings.extend([(1, Read, step), (8, ReadWrite, cache)]);
        }
        self.dispatch(kernel, KernelShape::Product(shape), rows, &bindings)
    }
}

/// In which order a matrix wants the integers of its input; `None` if it has none itself.
fn order(matrix: &GpuMatrix) -> Option<u32> {
    matrix.layout.format.quantization().map(|quantization| quantization.bits)
}
