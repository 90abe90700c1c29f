//! Operands of attention: half a thousand keys in shuffled blocks, and rows that see all of them or those before them.

use super::{MOST_COPIES, Operands, Random, Trial, Written, close, compared_rows};
use crate::gpu::binder::bind_group;
use crate::gpu::check::heads::{cache_bytes, config, heads_shape, interleaved};
use crate::gpu::dispatch::Counts;
use crate::gpu::memory::{MOST_PARTS, WORDS_AT};
use crate::gpu::pipelines::{Access, BindingKinds};
use crate::gpu::tuned_op::HeadsOp;
use crate::gpu::weights::storage;
use crate::graph::{RowData, StepData};
use crate::kernels::KernelVariant;
use crate::kernels::attention::{KvCache, attention};
use crate::kernels::source::KernelShape;
use half::f16;

/// Keys that the last row sees.
const KEYS: u32 = 512;

impl Trial {
    pub(super) fn attention(&mut self, op: &HeadsOp, variant: &KernelVariant) -> Operands {
        let gpu = self.gpu.clone();
        let mut random = Random(0);
        let config = config(op.heads, op.kv_heads, op.head_dim, op.head_dim, false);
        let q_stride = config.query_width().next_multiple_of(8);
        let is_tile = matches!(variant, KernelVariant::AttentionTile { .. });
        let stride = KEYS.max(op.rows).div_ceil(op.block_size);
        let blocks = stride + 3;
        // 37 has no divisor in common with any number of blocks that it doesn't divide.
        let table = (0..stride).map(|block| block * if blocks.is_multiple_of(37) { 1 } else { 37 } % blocks);
        // Rows that decode are of sequences of their own; those of a prompt follow one another.
        let row = |index: u32| RowData {
            position: if is_tile { index } else { KEYS - 1 },
            chunk: if is_tile { 0 } else { index },
            ..RowData::default()
        };
        let chunks = if is_tile { 1 } else { op.rows };
        let step = StepData {
            rows: (0..op.rows).map(row).collect(),
            block_tables: (0..chunks).flat_map(|_| table.clone()).collect(),
            table_stride: stride,
            ..StepData::default()
        };
        let query: Vec<f32> = (0..op.rows * q_stride)
            .map(|i| if i % q_stride < config.query_width() { random.float() * 4.0 } else { 0.0 })
            .collect();
        // What halves hold exactly, so that both forms have one answer.
        let mut elements = || {
            let count = blocks * op.block_size * config.kv_width();
            (0..count).map(|_| f16::from_f32(random.float()).to_f32()).collect::<Vec<f32>>()
        };
        let (keys, values) = (elements(), elements());
        let rows = compared_rows(op.rows);
        let some = StepData { rows: rows.iter().map(|&index| step.rows[index as usize]).collect(), ..step.clone() };
        let stretch = |&row: &u32| &query[(row * q_stride) as usize..][..q_stride as usize];
        let some_queries: Vec<f32> = rows.iter().flat_map(|row| stretch(row).to_vec()).collect();
        let mut expected = vec![0.0; some_queries.len()];
        let cache = KvCache { keys: &keys, values: &values, block_size: op.block_size };
        attention(&config, &some, &cache, &some_queries, &mut expected, q_stride as usize);

        let queries = if let KernelVariant::AttentionTile { queries, .. } = *variant { queries } else { u32::MAX };
        let tiles = if is_tile { step.tiles(queries) } else { Vec::new() };
        let mut words = Vec::new();
        let room = (WORDS_AT / 4) as usize;
        let header = step.pack(&tiles, &[], variant.key_split(MOST_PARTS), room, &mut words);
        let step_buffer = self.step(&header, &mut words);
        let query = self.filled(&query);
        let cache = cache_bytes(&interleaved(&keys, &values, config.kv_width() as usize), op.kv_half);
        let caches: Vec<_> = (0..MOST_COPIES).map(|_| self.filled(&cache)).collect();
        let out = storage(&gpu, "trial", u64::from(op.rows * q_stride) * 4);
        let shape = KernelShape::Heads(heads_shape(&config, q_stride, 0, op.block_size, op.kv_half));
        let records = u64::from(op.rows * op.heads * header.splits * (op.head_dim + 4)) * 4;
        let partials = storage(&gpu, "trial", if is_tile { 16 } else { records });
        let written = if is_tile { &out } else { &partials };
        let mut kinds = BindingKinds::default();
        let bind_groups = caches
            .iter()
            .map(|cache| {
                let bindings = [
                    (0, Access::Uniform, &step_buffer),
                    (1, Access::Read, &step_buffer),
                    (2, Access::Read, &query),
                    (3, Access::Read, cache),
                    (4, Access::ReadWrite, written),
                ];
                kinds = bindings.iter().map(|&(binding, access, _)| (binding, access)).collect();
                bind_group(&gpu, &mut self.pipelines, &step_buffer, &bindings)
            })
            .collect();
        let then = (!is_tile).then(|| {
            let bindings = [
                (0, Access::Uniform, &step_buffer),
                (1, Access::Read, &step_buffer),
                (2, Access::Read, &partials),
                (3, Access::ReadWrite, &out),
            ];
            let kinds = bindings.iter().map(|&(binding, access, _)| (binding, access)).collect();
            let bind_group = bind_group(&gpu, &mut self.pipelines, &step_buffer, &bindings);
            self.then(
                KernelVariant::default_reduce(op.heads, op.head_dim, op.rows, gpu.is_software()),
                shape.clone(),
                &kinds,
                bind_group,
            )
        });
        let row_bytes = u64::from(q_stride) * 4;
        Operands {
            shape,
            kinds,
            counts: Counts { rows: op.rows, tiles: tiles.len() as u32, splits: header.splits, outputs: 0 },
            bind_groups,
            then,
            written: vec![Written::cleared(
                out,
                rows.iter().map(|&row| (u64::from(row) * row_bytes, row_bytes)).collect(),
            )],
            judge: close(expected),
            buffers: [vec![step_buffer, query, partials], caches].concat(),
        }
    }
}
