//! A kernel bound to buffers: all that can be settled before a step is known.

use super::Gpu;
use super::pipelines::{BindingKinds, Compiled, Pipelines};
use super::tuned_op::TunedOp;
use crate::graph::RowSet;
use crate::kernels::KernelVariant;
use crate::kernels::source::{HeadsShape, KernelShape, QuantizeShape, WeightShape};

/// One kernel on fixed buffers, for any number of rows.
pub(super) struct Dispatch {
    pub(super) shape: KernelShape,
    pub(super) kinds: BindingKinds,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) kernel: Kernel,
    pub(super) rows: RowSet,
    /// Pipelines that were used so far.
    pub(super) pipelines: Vec<(KernelVariant, Compiled)>,
    /// Which of them was used last, for how many rows, and by which choices.
    pub(super) last: Option<(u32, u64, usize)>,
}

/// Which variants a dispatch may use.
#[derive(Clone, Copy)]
pub(super) enum Kernel {
    Fixed(KernelVariant),
    /// Attention by parts of the keys, by default this.
    Split(KernelVariant),
    /// What joins the parts.
    Reduce,
    /// Attention of many rows, by default this.
    Tile(KernelVariant),
    /// Activations turned into integers.
    Quantize,
    /// Norm of rows.
    RmsNorm,
    /// The best tokens of parts of a row.
    Scan,
    /// The best of the parts.
    Pick,
    /// Any matrix product, by the number of rows.
    Product,
    /// A matrix product with what is fused to it, by the number of rows.
    Matvec,
    /// Any matrix product, on a processor that stands in for a GPU.
    Serial,
    /// Any matrix product, without workgroup memory.
    Plain,
    /// Any matrix product, by tiles.
    Tiles,
    /// A product of integers for few rows.
    MatvecPacked,
    /// A product of integers for many rows.
    MatmulPacked,
}

/// What a step has of each thing that workgroups are counted by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) rows: u32,
    /// Of this segment.
    pub(super) outputs: u32,
    pub(super) tiles: u32,
    pub(super) splits: u32,
}

impl Counts {
    pub(super) fn of(&self, rows: RowSet) -> u32 {
        match rows {
            RowSet::Step => self.rows,
            RowSet::Outputs => self.outputs,
        }
    }
}

/// Most workgroups along one dimension (WebGPU's default limit is one more).
const MAX_GROUPS: u32 = 65_534;

impl Dispatch {
    /// Compiles what `rows` rows need, unless that was done before; says which of `pipelines` it is.
    pub(super) fn prepare(&mut self, gpu: &Gpu, pipelines: &mut Pipelines, rows: u32) -> usize {
        let generation = pipelines.choices.generation();
        if let Some((last_rows, last_generation, index)) = self.last
            && (last_rows, last_generation) == (rows, generation)
        {
            return index;
        }
        let variant = self.variant(gpu, pipelines, rows);
        let known = self.pipelines.iter().position(|(known, _)| *known == variant);
        let index = known.unwrap_or_else(|| {
            let pipeline = pipelines.pipeline(gpu, &self.kinds, &variant, &self.shape);
            self.pipelines.push((variant, pipeline));
            self.pipelines.len() - 1
        });
        self.last = Some((rows, generation, index));
        index
    }

    /// That kernel, for [`Pipelines::compile_ahead`].
    pub(super) fn wanted(
        &self,
        gpu: &Gpu,
        pipelines: &Pipelines,
        rows: u32,
    ) -> (&BindingKinds, KernelVariant, &KernelShape) {
        (&self.kinds, self.variant(gpu, pipelines, rows), &self.shape)
    }

    /// What was chosen for so many rows, or the default.
    pub(super) fn variant(&self, gpu: &Gpu, pipelines: &Pipelines, rows: u32) -> KernelVariant {
        let chosen = TunedOp::of(self, rows).and_then(|op| pipelines.choices.get(&op));
        match (chosen, self.kernel) {
            (Some(scan), Kernel::Pick) => scan.pick(),
            (Some(chosen), _) => chosen,
            (None, _) => self.default_variant(gpu, rows),
        }
    }

    /// What is used for so many rows where nobody knows better.
    pub(super) fn default_variant(&self, gpu: &Gpu, rows: u32) -> KernelVariant {
        match (self.kernel, &self.shape) {
            (Kernel::Fixed(variant) | Kernel::Split(variant) | Kernel::Tile(variant), _) => variant,
            (Kernel::Quantize, KernelShape::Quantize(QuantizeShape { norm, width, .. })) => {
                KernelVariant::default_quantize(*norm, *width)
            }
            (Kernel::Reduce, KernelShape::Heads(HeadsShape { heads, head_dim, .. })) => {
                KernelVariant::default_reduce(*heads, *head_dim, rows, gpu.is_software())
            }
            (Kernel::RmsNorm, _) => KernelVariant::default_norm(gpu.is_software()),
            (Kernel::Scan, _) => KernelVariant::default_scan(gpu.is_software()),
            (Kernel::Pick, _) => KernelVariant::default_scan(gpu.is_software()).pick(),
            (Kernel::Plain, _) => KernelVariant::default_product(rows, true),
            (Kernel::Tiles, _) => KernelVariant::default_tiles(rows),
            (Kernel::Serial, KernelShape::Product(product)) => {
                let WeightShape { weight_format, packs, part_rows, .. } = product.weight;
                KernelVariant::default_serial(rows, weight_format, packs, part_rows, gpu.serial_lanes())
            }
            (Kernel::Matvec, KernelShape::Product(product)) => {
                let WeightShape { pack, packs, part_rows, .. } = product.weight;
                KernelVariant::default_matvec(rows, pack, packs, part_rows, gpu.is_software())
            }
            (kernel @ (Kernel::MatvecPacked | Kernel::MatmulPacked), KernelShape::Product(product)) => {
                let (outputs, blocks) = (product.weight.part_rows, product.in_stride / 32);
                let by_units = |unit| KernelVariant::default_subgroup_matmul_packed(unit, rows, outputs, blocks);
                let fits = |variant: &KernelVariant| {
                    let limits = gpu.limits();
                    variant.unit_bytes() <= limits.workgroup_bytes && variant.workgroup_size() <= limits.workgroup_size
                };
                gpu.matrix_unit().and_then(by_units).filter(fits).unwrap_or_else(|| match kernel {
                    Kernel::MatvecPacked => KernelVariant::default_matvec_packed(rows, outputs, blocks),
                    _ => KernelVariant::default_matmul_packed(outputs),
                })
            }
            _ => KernelVariant::default_product(rows, gpu.is_software()),
        }
    }

    /// Which pipeline is used for `rows` rows: the one meant for them, or where the device has not accepted that (yet), one that
    /// it has: a product's variants all take any number of rows, and when a model is loaded one of each dispatch is waited for.
    fn usable(&mut self, gpu: &Gpu, pipelines: &mut Pipelines, rows: u32) -> usize {
        let meant = self.prepare(gpu, pipelines, rows);
        if self.pipelines[meant].1.is_awaited() {
            pipelines.look(gpu);
        }
        if self.pipelines[meant].1.is_accepted() {
            return meant;
        }
        self.pipelines.iter().position(|(_, compiled)| compiled.is_accepted()).unwrap_or(meant)
    }

    /// For a profile: the kernel, and what it works on where that tells kernels apart.
    pub(super) fn label(&self, counts: &Counts) -> String {
        let (kernel, rows) = (self.kernel_name(), counts.of(self.rows));
        match &self.shape {
            KernelShape::Product(product) => {
                format!("{kernel} [{}, {}], {rows} rows", product.weight.part_rows, product.in_stride)
            }
            _ => format!("{kernel}, {rows} rows"),
        }
    }

    fn kernel_name(&self) -> &'static str {
        match self.kernel {
            Kernel::Fixed(variant) | Kernel::Split(variant) | Kernel::Tile(variant) => variant.kernel(),
            Kernel::Reduce => "attention_reduce",
            Kernel::Quantize => "quantize",
            Kernel::RmsNorm => "rms_norm",
            Kernel::Scan => "sample_scan",
            Kernel::Pick => "sample_pick",
            Kernel::Product | Kernel::Matvec | Kernel::Serial | Kernel::Plain | Kernel::Tiles => "product",
            Kernel::MatvecPacked | Kernel::MatmulPacked => "packed product",
        }
    }

    /// Sets pipeline and bind group and dispatches, compiling on first use.
    pub(super) fn encode(
        &mut self,
        gpu: &Gpu,
        pipelines: &mut Pipelines,
        pass: &mut wgpu::ComputePass<'_>,
        counts: &Counts,
    ) {
        let index = self.usable(gpu, pipelines, counts.of(self.rows));
        let (variant, compiled) = &self.pipelines[index];
        let [x, y, z] = workgroups(variant, &self.shape, self.rows, counts);
        pass.set_pipeline(&compiled.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// How many workgroups a variant needs for a shape.
pub(super) fn workgroups(variant: &KernelVariant, shape: &KernelShape, rows: RowSet, counts: &Counts) -> [u32; 3] {
    let rows = counts.of(rows);
    match (*variant, shape) {
        (
            KernelVariant::Matvec { outputs, columns, block, .. }
            | KernelVariant::MatvecPacked { outputs, columns, block, .. },
            KernelShape::Product(product),
        ) => {
            let groups = product.weight.part_rows.div_ceil(outputs * block);
            let x = groups.min(MAX_GROUPS);
            [x, groups.div_ceil(x), rows.div_ceil(columns)]
        }
        (KernelVariant::MatvecSerial { lanes, block, columns, .. }, KernelShape::Product(product)) => {
            [product.weight.part_rows.div_ceil(lanes * block), 1, rows.div_ceil(columns)]
        }
        (
            KernelVariant::Matmul { tile_m, tile_n, .. }
            | KernelVariant::MatmulPacked { tile_m, tile_n, .. }
            | KernelVariant::SubgroupMatmulPacked { tile_m, tile_n, .. },
            KernelShape::Product(product),
        ) => [product.weight.part_rows.div_ceil(tile_n), rows.div_ceil(tile_m), 1],
        (KernelVariant::Embed { workgroup }, KernelShape::Embed { table, .. }) => {
            [table.packs.div_ceil(workgroup), rows, 1]
        }
        (KernelVariant::RopeKv { workgroup }, KernelShape::Heads(HeadsShape { heads, kv_heads, head_dim, .. })) => {
            [(heads + kv_heads).div_ceil((workgroup / (head_dim / 2)).max(1)), rows, 1]
        }
        (KernelVariant::Attention { .. }, KernelShape::Heads(shape)) => [shape.heads, rows, 1],
        (KernelVariant::AttentionTile { .. }, KernelShape::Heads(shape)) => [shape.heads, counts.tiles, 1],
        (KernelVariant::AttentionSplit { group, .. }, KernelShape::Heads(shape)) => {
            [shape.heads / group, rows, counts.splits]
        }
        (KernelVariant::AttentionSerial { lanes, group }, KernelShape::Heads(shape)) => {
            [shape.heads / group, rows, counts.splits.div_ceil(lanes)]
        }
        (KernelVariant::AttentionReduce { workgroup, team }, KernelShape::Heads(shape)) => {
            [(shape.heads * shape.head_dim / 4).div_ceil(workgroup / team), rows, 1]
        }
        (
            KernelVariant::SiluMul { workgroup } | KernelVariant::GatherRows { workgroup },
            KernelShape::Rows { stride },
        ) => [(stride / 4).div_ceil(workgroup), rows, 1],
        (KernelVariant::Quantize { workgroup }, KernelShape::Quantize(QuantizeShape { norm, width, .. })) => {
            // The norm needs the whole row.
            [if *norm { 1 } else { (width / 32).div_ceil(workgroup) }, rows, 1]
        }
        (KernelVariant::SampleMask { workgroup }, KernelShape::Logits { stride, .. }) => {
            [(stride / 4).div_ceil(workgroup), rows, 1]
        }
        (KernelVariant::SampleScan { chunks, .. }, _) => [chunks, rows, 1],
        (KernelVariant::SampleSurvey { groups, .. } | KernelVariant::SampleSift { groups, .. }, _) => [groups, rows, 1],
        _ => [rows, 1, 1],
    }
}
