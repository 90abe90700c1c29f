//! Operations bound to buffers: all that can be settled before a step is known.

use super::Gpu;
use super::memory::StepMemory;
use super::pipelines::{Access, BindingKinds, Pipelines};
use super::weights::{GpuPart, GpuWeights};
use crate::graph::{Activation, Op, RowSet};
use crate::kernels::KernelVariant;
use crate::kernels::attention::attention_scale;
use crate::kernels::source::{KernelShape, WeightShape, literal};
use crate::model::ModelConfig;
use tilewright_plan::Capacity;

/// One kernel on fixed buffers, for any number of rows.
pub(super) struct Dispatch {
    shape: KernelShape,
    kinds: BindingKinds,
    bind_group: wgpu::BindGroup,
    kernel: Kernel,
    pub(super) rows: RowSet,
    /// Pipelines that were used so far.
    pipelines: Vec<(KernelVariant, wgpu::ComputePipeline)>,
}

/// Which variants a dispatch may use.
#[derive(Clone, Copy)]
enum Kernel {
    Fixed(KernelVariant),
    /// By the number of rows.
    Product,
}

/// Most workgroups along one dimension (WebGPU's default limit is one more).
const MAX_GROUPS: u32 = 65_534;

impl Dispatch {
    /// Compiles what `rows` rows need, unless that was done before; says which of `pipelines` it is.
    pub(super) fn prepare(&mut self, gpu: &Gpu, pipelines: &mut Pipelines, rows: u32) -> usize {
        let variant = match self.kernel {
            Kernel::Fixed(variant) => variant,
            Kernel::Product => KernelVariant::default_product(rows, gpu.is_software()),
        };
        let known = self.pipelines.iter().position(|(known, _)| *known == variant);
        known.unwrap_or_else(|| {
            let pipeline = pipelines.pipeline(gpu, &self.kinds, &variant, &self.shape);
            self.pipelines.push((variant, pipeline));
            self.pipelines.len() - 1
        })
    }

    /// For a profile: the kernel, and what it works on where that tells kernels apart.
    pub(super) fn label(&self, rows: u32) -> String {
        let kernel = match self.kernel {
            Kernel::Fixed(variant) => variant.kernel(),
            Kernel::Product => "product",
        };
        match &self.shape {
            KernelShape::Product { weight, in_stride, .. } => {
                format!("{kernel} [{}, {in_stride}], {rows} rows", weight.part_rows)
            }
            _ => format!("{kernel}, {rows} rows"),
        }
    }

    /// Sets pipeline and bind group and dispatches, compiling on first use.
    pub(super) fn encode(&mut self, gpu: &Gpu, pipelines: &mut Pipelines, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        let index = self.prepare(gpu, pipelines, rows);
        let (variant, pipeline) = &self.pipelines[index];
        let [x, y, z] = workgroups(variant, &self.shape, rows);
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// How many workgroups a variant needs for `rows` rows of a shape.
pub(super) fn workgroups(variant: &KernelVariant, shape: &KernelShape, rows: u32) -> [u32; 3] {
    match (*variant, shape) {
        (KernelVariant::Matvec { outputs, columns, .. }, KernelShape::Product { weight, .. }) => {
            let groups = weight.part_rows.div_ceil(outputs);
            let x = groups.min(MAX_GROUPS);
            [x, groups.div_ceil(x), rows.div_ceil(columns)]
        }
        (KernelVariant::Matmul { tile_m, tile_n, .. }, KernelShape::Product { weight, .. }) => {
            [weight.part_rows.div_ceil(tile_n), rows.div_ceil(tile_m), 1]
        }
        (KernelVariant::Embed { workgroup }, KernelShape::Embed { table, .. }) => {
            [table.packs.div_ceil(workgroup), rows, 1]
        }
        (KernelVariant::RopeKv { workgroup }, KernelShape::Heads { heads, kv_heads, head_dim, .. }) => {
            [((heads + kv_heads) * head_dim / 2).div_ceil(workgroup), rows, 1]
        }
        (KernelVariant::Attention { .. }, KernelShape::Heads { heads, .. }) => [*heads, rows, 1],
        (
            KernelVariant::SiluMul { workgroup } | KernelVariant::GatherRows { workgroup },
            KernelShape::Rows { stride },
        ) => [(stride / 4).div_ceil(workgroup), rows, 1],
        _ => [rows, 1, 1],
    }
}

/// Binds operations to buffers.
pub(super) struct Binder<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) config: &'a ModelConfig,
    pub(super) capacity: &'a Capacity,
    pub(super) weights: &'a GpuWeights,
    pub(super) memory: &'a StepMemory,
    pub(super) pipelines: &'a mut Pipelines,
}

impl Binder<'_> {
    /// The dispatches of an operation: one, or one per part of its matrix.
    pub(super) fn bind(&mut self, op: &Op) -> Vec<Dispatch> {
        use Access::{Read, ReadWrite, Uniform};
        use Activation::{Attended, Gate, Hidden, Key, OutputHidden, Query, Up, Value};
        let (config, memory) = (self.config, self.memory);
        let stride = |activation: Activation| activation.stride(config);
        let buffer = |activation: Activation| memory.activation(activation);
        let header = (0, Uniform, &memory.header);
        match *op {
            Op::Embed { table } => {
                let matrix = self.weights.matrix(table);
                let shape = |part: &GpuPart| KernelShape::Embed {
                    table: WeightShape::new(&matrix.layout, part.start, part.rows),
                    out_stride: stride(Hidden),
                };
                let kernel = Kernel::Fixed(KernelVariant::Embed { workgroup: 64 });
                let parts = matrix.parts.iter().map(|part| {
                    let mut bindings = vec![header, (1, Read, &memory.rows), (2, ReadWrite, buffer(Hidden))];
                    bindings.extend(weight_bindings(part));
                    (shape(part), bindings)
                });
                parts.map(|(shape, bindings)| self.dispatch(kernel, shape, RowSet::Step, &bindings)).collect()
            }
            Op::RmsNorm { input, weight, out } => {
                let Some(weight) = self.weights.vector(weight) else { return Vec::new() };
                let shape = KernelShape::RmsNorm {
                    width: out.width(config),
                    stride: stride(out),
                    eps: literal(config.norm_eps),
                };
                let bindings = [header, (1, Read, buffer(input)), (2, Read, weight), (3, ReadWrite, buffer(out))];
                vec![self.dispatch(
                    Kernel::Fixed(KernelVariant::RmsNorm { workgroup: 64 }),
                    shape,
                    out.rows(),
                    &bindings,
                )]
            }
            Op::Product { input, weight, bias, out, accumulate } => {
                let matrix = self.weights.matrix(weight);
                let bias = bias.and_then(|bias| self.weights.vector(bias));
                let parts = matrix.parts.iter().map(|part| {
                    let shape = KernelShape::Product {
                        weight: WeightShape::new(&matrix.layout, part.start, part.rows),
                        in_stride: stride(input),
                        out_stride: stride(out),
                        bias: bias.is_some(),
                        accumulate,
                        head: out.rows() == RowSet::Outputs,
                    };
                    let mut bindings = vec![header, (1, Read, buffer(input)), (2, ReadWrite, buffer(out))];
                    bindings.extend(weight_bindings(part));
                    bindings.extend(bias.map(|bias| (6, Read, bias)));
                    (shape, bindings)
                });
                parts.map(|(shape, bindings)| self.dispatch(Kernel::Product, shape, out.rows(), &bindings)).collect()
            }
            Op::RopeKv { layer } => {
                let [keys, values] = memory.cache(layer);
                let bindings = [
                    header,
                    (1, Read, &memory.rows),
                    (2, Read, &memory.rotations),
                    (3, ReadWrite, buffer(Query)),
                    (4, Read, buffer(Key)),
                    (5, Read, buffer(Value)),
                    (6, ReadWrite, keys),
                    (7, ReadWrite, values),
                ];
                let kernel = Kernel::Fixed(KernelVariant::RopeKv { workgroup: 64 });
                vec![self.dispatch(kernel, self.heads(), RowSet::Step, &bindings)]
            }
            Op::Attention { layer } => {
                let [keys, values] = memory.cache(layer);
                let bindings = [
                    header,
                    (1, Read, &memory.rows),
                    (2, Read, &memory.block_tables),
                    (3, Read, buffer(Query)),
                    (4, Read, keys),
                    (5, Read, values),
                    (6, ReadWrite, buffer(Attended)),
                ];
                let kernel = Kernel::Fixed(KernelVariant::Attention { workgroup: 64 });
                vec![self.dispatch(kernel, self.heads(), RowSet::Step, &bindings)]
            }
            Op::SiluMul => {
                let bindings = [header, (1, ReadWrite, buffer(Gate)), (2, Read, buffer(Up))];
                let kernel = Kernel::Fixed(KernelVariant::SiluMul { workgroup: 64 });
                vec![self.dispatch(kernel, KernelShape::Rows { stride: stride(Gate) }, RowSet::Step, &bindings)]
            }
            Op::GatherRows => {
                let bindings = [
                    header,
                    (1, Read, &memory.output_rows),
                    (2, Read, buffer(Hidden)),
                    (3, ReadWrite, buffer(OutputHidden)),
                ];
                let kernel = Kernel::Fixed(KernelVariant::GatherRows { workgroup: 64 });
                vec![self.dispatch(kernel, KernelShape::Rows { stride: stride(Hidden) }, RowSet::Outputs, &bindings)]
            }
        }
    }

    fn heads(&self) -> KernelShape {
        let config = self.config;
        KernelShape::Heads {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            rotated: config.rope.dims,
            interleaved: config.rope.interleaved,
            q_stride: Activation::Query.stride(config),
            kv_stride: Activation::Key.stride(config),
            block_size: self.capacity.block_size,
            scale: literal(attention_scale(config)),
        }
    }

    fn dispatch(
        &mut self,
        kernel: Kernel,
        shape: KernelShape,
        rows: RowSet,
        bindings: &[(u32, Access, &wgpu::Buffer)],
    ) -> Dispatch {
        let kinds: BindingKinds = bindings.iter().map(|&(binding, access, _)| (binding, access)).collect();
        let layout = self.pipelines.layout(self.gpu, &kinds);
        let entries: Vec<_> = bindings
            .iter()
            .map(|(binding, _, buffer)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &layout,
            entries: &entries,
        });
        Dispatch { shape, kinds, bind_group, kernel, rows, pipelines: Vec::new() }
    }
}

/// Bindings 3 to 5 of the kernels that read a matrix.
fn weight_bindings(part: &GpuPart) -> impl Iterator<Item = (u32, Access, &wgpu::Buffer)> {
    let scales = part.scales.as_ref().map(|buffer| (4, Access::Read, buffer));
    let mins = part.mins.as_ref().map(|buffer| (5, Access::Read, buffer));
    [Some((3, Access::Read, &part.codes)), scales, mins].into_iter().flatten()
}
