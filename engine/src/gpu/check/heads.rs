//! Rotary embedding, the KV cache, and attention in every form.

use super::rig::{Random, Rig, bytes};
use crate::gpu::GpuError;
use crate::gpu::dispatch::Counts;
use crate::gpu::pipelines::Access;
use crate::graph::{KeySplit, RowData, StepData, StepHeader};
use crate::kernels::KernelVariant;
use crate::kernels::attention::{KvCache, attention, attention_scale};
use crate::kernels::rope_kv::{KvWrite, rope_kv};
use crate::kernels::source::{HeadsShape, KernelShape, literal};
use crate::model::{ModelConfig, Rope, RopeScaling, llama::LLAMA, rope::rotations};
use half::f16;

/// A model of which only the heads matter.
pub(in crate::gpu) fn config(heads: u32, kv_heads: u32, head_dim: u32, rotated: u32, interleaved: bool) -> ModelConfig {
    ModelConfig {
        family: &LLAMA,
        vocabulary: 1,
        context: 1024,
        layers: 1,
        hidden: 1,
        feed_forward: 1,
        heads,
        kv_heads,
        head_dim,
        norm_eps: 0.0,
        rope: Rope { theta: 10_000.0, dims: rotated, interleaved, scaling: RopeScaling::None },
        tied_head: true,
    }
}

pub(in crate::gpu) fn heads_shape(
    config: &ModelConfig,
    q_stride: u32,
    kv_stride: u32,
    block_size: u32,
    kv_half: bool,
) -> HeadsShape {
    HeadsShape {
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        rotated: config.rope.dims,
        interleaved: config.rope.interleaved,
        q_stride,
        kv_stride,
        joined_stride: 0,
        block_size,
        kv_half,
        scale: literal(attention_scale(config)),
    }
}

/// A cache `[slots, 2, width]` of keys and values `[slots, width]`.
pub(in crate::gpu) fn interleaved(keys: &[f32], values: &[f32], width: usize) -> Vec<f32> {
    keys.chunks_exact(width).zip(values.chunks_exact(width)).flat_map(|(k, v)| [k, v].concat()).collect()
}

/// A cache as the bytes of a binding.
pub(in crate::gpu) fn cache_bytes(cache: &[f32], kv_half: bool) -> Vec<u8> {
    let half = |&x: &f32| f16::from_f32(x).to_le_bytes();
    if kv_half { cache.iter().flat_map(half).collect() } else { bytes(cache) }
}

/// What a binding of a cache holds.
pub(in crate::gpu) fn cached(binding: &[f32], kv_half: bool) -> Vec<f32> {
    let halves: &[f16] = bytemuck::cast_slice(binding);
    if kv_half { halves.iter().map(|x| x.to_f32()).collect() } else { binding.to_vec() }
}

/// Elements of each head in the order in which a cache of halves has them: the members of a rotated pair side by side.
pub(in crate::gpu) fn placed(config: &ModelConfig, rows: &[f32], stride: usize) -> Vec<f32> {
    let (head_dim, half) = (config.head_dim as usize, config.rope.dims as usize / 2);
    let width = rows.len() / stride;
    let mut placed = rows.to_vec();
    for row in 0..width {
        for head in 0..stride / head_dim {
            let at = row * stride + head * head_dim;
            for pair in 0..half {
                let members = if config.rope.interleaved { [2 * pair, 2 * pair + 1] } else { [pair, pair + half] };
                for (side, member) in members.into_iter().enumerate() {
                    placed[at + 2 * pair + side] = rows[at + member];
                }
            }
        }
    }
    placed
}

/// Header and words of a step.
pub(in crate::gpu) fn step_bindings(
    step: &StepData,
    tiles: &[[u32; 2]],
    split: KeySplit,
) -> (StepHeader, [(u32, Access, Vec<u8>); 2]) {
    let mut words = Vec::new();
    let header = step.pack(tiles, &[], split, 0, &mut words);
    (header, [(0, Access::Uniform, bytes(&[header])), (1, Access::Read, bytes(&words))])
}

pub(in crate::gpu) const SPLIT: KeySplit = KeySplit { tile: 32, most_parts: 1024, most_of_row: u32::MAX };

/// Heads, heads of keys, elements of a head, how many of them are rotated, and whether pairs are neighbours.
const ROTATED: [(u32, u32, u32, u32, bool); 7] = [
    (4, 2, 16, 16, false),
    (9, 3, 64, 64, true),
    (3, 1, 20, 8, false),
    (5, 5, 12, 6, true),
    (8, 1, 128, 128, false),
    (2, 1, 320, 320, false),
    (1, 1, 1024, 1000, false),
];

/// Heads, heads of keys, elements of a head, and tokens of a block. First those that are always checked: sizes of common models, with tiles
/// of queries of their own.
const ATTENDED: [(u32, u32, u32, u32); 9] = [
    (9, 3, 64, 16),
    (8, 2, 128, 16),
    (4, 2, 16, 16),
    (6, 1, 20, 4),
    (2, 2, 256, 4),
    (14, 2, 64, 16),
    (16, 1, 32, 16),
    (4, 4, 80, 16),
    (6, 2, 96, 16),
];
const ALWAYS: usize = 2;

/// Rotary embedding and KV write, of floats and of halves, from three buffers and from one where all lie side by side; unless `thorough`,
/// each variant has one of either in turn.
pub(super) async fn rotary(rig: &mut Rig, thorough: bool) -> Result<(), GpuError> {
    let mut random = Random(4000);
    let both = ROTATED.into_iter().zip(0..).flat_map(|(sizes, turn)| [(sizes, turn, false), (sizes, turn + 1, true)]);
    for ((heads, kv_heads, head_dim, rotated, interleaved_pairs), turn, kv_half) in both {
        let config = config(heads, kv_heads, head_dim, rotated, interleaved_pairs);
        let (query_width, kv_width) = (config.query_width(), config.kv_width());
        let (q_stride, kv_stride) = (query_width.next_multiple_of(8), kv_width.next_multiple_of(8));
        let slots = 40;
        let rows: Vec<RowData> =
            (0..7).map(|i| RowData { position: random.below(2000), slot: 39 - 5 * i, ..RowData::default() }).collect();
        let frequencies = config.rope.frequencies();
        let turns: Vec<[f32; 2]> = rows.iter().flat_map(|row| rotations(&frequencies, row.position)).collect();
        let step = StepData { rows: rows.clone(), rotations: turns.clone(), ..StepData::default() };
        let joined_stride = query_width + 2 * kv_width;
        let joined = random.floats(7 * joined_stride);
        let part = |from: u32, width: u32, stride: u32| -> Vec<f32> {
            let padding = vec![0.0; (stride - width) as usize];
            let of_row = |row: &[f32]| [&row[from as usize..][..width as usize], &padding[..]].concat();
            joined.chunks_exact(joined_stride as usize).flat_map(of_row).collect()
        };
        let mut query = part(0, query_width, q_stride);
        let (key, value) = (part(query_width, kv_width, kv_stride), part(query_width + kv_width, kv_width, kv_stride));
        let mut key_cache = vec![0.0; (slots * kv_width) as usize];
        let mut value_cache = key_cache.clone();
        let width = kv_width as usize;
        let cache = cache_bytes(&interleaved(&key_cache, &value_cache, width), kv_half);
        let apart = vec![
            (2, Access::ReadWrite, bytes(&query)),
            (3, Access::Read, bytes(&key)),
            (4, Access::Read, bytes(&value)),
        ];
        let beside =
            vec![(2, Access::ReadWrite, bytes(&vec![0.0_f32; query.len()])), (3, Access::Read, bytes(&joined))];
        let mut kv = KvWrite {
            key: &key,
            value: &value,
            stride: kv_stride as usize,
            key_cache: &mut key_cache,
            value_cache: &mut value_cache,
        };
        rope_kv(&config, &rows, &turns, &mut query, q_stride as usize, &mut kv);
        if kv_half {
            query = placed(&config, &query, q_stride as usize);
            key_cache = placed(&config, &key_cache, width);
        }
        let (expected, tolerance) = (interleaved(&key_cache, &value_cache, width), if kv_half { 1e-3 } else { 1e-5 });
        for (joined_stride, operands) in [(0, apart), (joined_stride, beside)] {
            let shape = HeadsShape { joined_stride, ..heads_shape(&config, q_stride, kv_stride, 16, kv_half) };
            let shape = KernelShape::Heads(shape);
            let mut bindings = [&step_bindings(&step, &[], SPLIT).1[..], &operands].concat();
            bindings.push((5, Access::ReadWrite, cache.clone()));
            let what =
                format!("{heads} heads of {head_dim}, {rotated} rotated, halves: {kv_half}, row: {joined_stride}");
            for software in [false, true] {
                if !thorough && (joined_stride > 0) == (software == (turn % 2 == 0)) {
                    continue;
                }
                let variant = KernelVariant::default_rope(head_dim, software);
                let actual = rig.run(&variant, &shape, 7, &bindings).await?;
                rig.close(&variant, &format!("queries, {what}"), &actual[0], &query, 1e-5);
                rig.close(&variant, &format!("cache, {what}"), &cached(&actual[1], kv_half), &expected, tolerance);
            }
        }
    }
    Ok(())
}

/// Every form of attention over the same rows, decoding ones and runs of consecutive ones, over shuffled blocks of floats and of
/// halves.
pub(super) async fn paged_attention(rig: &mut Rig, thorough: bool) -> Result<(), GpuError> {
    let mut random = Random(5000);
    let sizes = ATTENDED.into_iter().take(if thorough { ATTENDED.len() } else { ALWAYS });
    for ((heads, kv_heads, head_dim, block_size), kv_half) in
        sizes.flat_map(|sizes| [false, true].map(|half| (sizes, half)))
    {
        let config = config(heads, kv_heads, head_dim, head_dim, false);
        let q_stride = config.query_width().next_multiple_of(8);
        let (stride, blocks) = (20, 64);
        let mut order: Vec<u32> = (0..blocks).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i as u32 + 1) as usize);
        }
        let last = stride * block_size - 1;
        // Two runs longer than a tile of queries, and single rows.
        let positions =
            (0..20).map(|p| (p, 0)).chain((last - 36..=last).map(|p| (p, 1))).chain([(33, 2), (0, 1), (last / 2, 0)]);
        let step = StepData {
            rows: positions.map(|(position, chunk)| RowData { position, chunk, ..RowData::default() }).collect(),
            block_tables: order[..60].to_vec(),
            table_stride: stride,
            ..StepData::default()
        };
        let rows = step.rows.len() as u32;
        let query: Vec<f32> = random.rows(rows, config.query_width(), q_stride).iter().map(|x| x * 4.0).collect();
        // What halves hold exactly, so that both forms have one answer.
        let mut elements = || {
            let floats = random.floats(blocks * block_size * config.kv_width());
            floats.into_iter().map(|x| f16::from_f32(x).to_f32()).collect::<Vec<f32>>()
        };
        let (keys, values) = (elements(), elements());
        let mut expected = vec![0.0; query.len()];
        let cache = KvCache { keys: &keys, values: &values, block_size };
        attention(&config, &step, &cache, &query, &mut expected, q_stride as usize);
        let cache = interleaved(&keys, &values, config.kv_width() as usize);
        let shape = KernelShape::Heads(heads_shape(&config, q_stride, 0, block_size, kv_half));
        let inputs = [(2, Access::Read, bytes(&query)), (3, Access::Read, cache_bytes(&cache, kv_half))];
        let zeros = |count: usize| bytes(&vec![0.0_f32; count]);

        let [on_gpu, in_software] = [false, true].map(|software| KernelVariant::default_attention(head_dim, software));
        let mut variants = vec![KernelVariant::Attention { workgroup: 64 }, on_gpu, in_software];
        variants.dedup();
        for variant in variants {
            if let KernelVariant::AttentionTile { queries, .. } = variant {
                let tiles = step.tiles(queries);
                let (_, words) = step_bindings(&step, &tiles, SPLIT);
                let bindings = [&words[..], &inputs, &[(4, Access::ReadWrite, zeros(query.len()))]].concat();
                let counts = Counts { rows, tiles: tiles.len() as u32, ..Counts::default() };
                let actual = rig.run_counted(&variant, &shape, &counts, &bindings).await?;
                rig.close(&variant, &format!("tiles, {heads} heads of {head_dim}"), &actual[0], &expected, 1e-5);
                continue;
            }
            let (_, words) = step_bindings(&step, &[], SPLIT);
            let bindings = [&words[..], &inputs, &[(4, Access::ReadWrite, zeros(query.len()))]].concat();
            let actual = rig.run(&variant, &shape, rows, &bindings).await?;
            rig.close(&variant, &format!("{heads} heads of {head_dim}"), &actual[0], &expected, 1e-5);
        }

        let split = KernelVariant::default_split(head_dim, heads / kv_heads);
        // Of SwiftShader's and of lavapipe's vectors.
        let [serial, wider] =
            [4, 8].map(|lanes| KernelVariant::default_attention_serial(head_dim, heads / kv_heads, lanes));
        // Too many values to be asked for before their weights are known.
        let late = KernelVariant::AttentionSplit { workgroup: 128, tile: 64, group: 1 };
        let parts_of_four = KeySplit { tile: 4, most_parts: 8192, most_of_row: u32::MAX };
        let splits = [
            (split, false, split.key_split(1024)),
            (serial, true, serial.key_split(150)),
            (wider, true, wider.key_split(1024)),
            (split, false, split.key_split(150)),
            (split, false, split.key_split(1)),
            (split, false, parts_of_four),
            (late, false, late.key_split(150)),
        ];
        for (split, software, key_split) in splits.into_iter().take(if thorough { splits.len() } else { 2 }) {
            let (header, words) = step_bindings(&step, &[], key_split);
            let records = (rows * heads * header.splits * (head_dim + 4)) as usize;
            let bindings = [&words[..], &inputs, &[(4, Access::ReadWrite, zeros(records))]].concat();
            let counts = Counts { rows, splits: header.splits, ..Counts::default() };
            let partials = rig.run_counted(&split, &shape, &counts, &bindings).await?.swap_remove(0);
            let outputs = [(2, Access::Read, bytes(&partials)), (3, Access::ReadWrite, zeros(query.len()))];
            let bindings = [&words[..], &outputs].concat();
            let what = format!("{} parts, {heads} heads of {head_dim}", header.splits);
            let mut reduces =
                [1, rows].map(|rows| KernelVariant::default_reduce(heads, head_dim, rows, software)).to_vec();
            reduces.dedup();
            for reduce in reduces {
                let actual = rig.run(&reduce, &shape, rows, &bindings).await?;
                for variant in [split, reduce] {
                    rig.close(&variant, &what, &actual[0], &expected, 1e-5);
                }
            }
        }
    }
    Ok(())
}
