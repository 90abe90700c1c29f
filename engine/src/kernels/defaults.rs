//! The variants used where nobody has measured anything better.
//!
//! Chosen by what was fastest on an NVIDIA H100 and on devices in software, which is said at each. A processor that stands in for a GPU has
//! [kernels of its own](super::serial); the choices for `software` here are for what it shares with GPUs.

use super::KernelVariant;
use super::variant::{MOST_CHUNKS, MOST_GROUPS};

impl KernelVariant {
    /// The matrix product used for `rows` rows where nothing better is known.
    ///
    /// Up to eight rows the weights' bytes bound the time and a fetch is shared by a power of two of rows; beyond, a tile in
    /// workgroup memory is cheaper. A `software` adapter pays for every barrier by switching between invocations: one
    /// invocation per output decodes `SmolLM2` six times as fast on SwiftShader (1.4 instead of 0.22 tokens/s on two cores) and half
    /// as fast again on lavapipe.
    pub fn default_product(rows: u32, software: bool) -> Self {
        if software {
            let columns = rows.clamp(1, 8).next_power_of_two();
            return Self::Matvec {
                threads: 1,
                outputs: 4,
                columns,
                block: 8,
                stage: 0,
                subgroups: false,
                halves: false,
            };
        }
        match rows {
            0..=8 => {
                let columns = rows.max(1).next_power_of_two();
                Self::Matvec { threads: 16, outputs: 4, columns, block: 1, stage: 0, subgroups: false, halves: false }
            }
            9.. => Self::default_tiles(rows),
        }
    }

    /// The matrix product by tiles, which serves any number of rows.
    pub fn default_tiles(rows: u32) -> Self {
        match rows {
            0..=16 => Self::Matmul { tile_m: 16, tile_n: 32, thread_m: 2, thread_n: 4, halves: false },
            _ => Self::Matmul { tile_m: 32, tile_n: 64, thread_m: 4, thread_n: 4, halves: false },
        }
    }

    /// The product used for few rows, with what may be fused to it.
    ///
    /// `packs` of `pack` elements are a row's, `outputs` the matrix has. On an H100 (Vulkan,
    /// `qwen2-0.5b`) a large matrix is read twice as fast when a team takes four outputs and the input is staged; a small one
    /// has too few outputs to keep the GPU busy that way, so its teams are larger and take fewer. A staged product is best with
    /// four columns: eight leave room for too few packs.
    pub fn default_matvec(rows: u32, pack: u32, packs: u32, outputs: u32, software: bool) -> Self {
        let columns = rows.clamp(1, 8).next_power_of_two();
        let plain = |threads, outputs, columns, block| Self::Matvec {
            threads,
            outputs,
            columns,
            block,
            stage: 0,
            subgroups: false,
            halves: false,
        };
        let staged = |threads, outputs, columns| {
            let stage = stage(threads * outputs, columns, pack, packs);
            Self::Matvec { threads, outputs, columns, block: 4, stage, subgroups: false, halves: false }
        };
        if software {
            // Nor is there a barrier: one invocation computes eight outputs, so that every input serves them all. On SwiftShader
            // (two cores, 12.6 million weights in bf16) eight rows take 62 ms that way and 84 with four outputs; one row takes 20.
            return plain(1, 4, columns, 8);
        }
        match (columns, outputs) {
            // Rows so long that a team of their own reads them as fast: [4096, 14336] in 24 us instead of 43 (Chromium, H100).
            (1, 4096..=8192) if packs * pack > 8192 => plain(64, 1, 1, 4),
            (1, 4096..) => staged(16, 8, 1),
            (1, _) if packs > 64 => plain(64, 2, 1, 2),
            (1, _) => staged(32, 4, 1),
            (_, 32_768..) => plain(4, 16, columns, 4),
            (_, 4096..) => staged(8, 8, columns.min(4)),
            _ => staged(16, 4, columns.min(4)),
        }
    }

    /// The product of integers used for few rows, by what was fastest on an H100 (Vulkan) of a few hundred variants on the shapes of
    /// `qwen2-1.5b` and `llama-3.1-8b`, whose rows have so many blocks of 32: with 8 rows 16 us instead of 55 for gate and up, with 32 rows 36 instead of 126.
    ///
    /// Without subgroups: in Chromium sums that meet by shuffles take 12.4 us for [896, 4864] and 8 rows, those in workgroup memory 10.3.
    pub fn default_matvec_packed(rows: u32, outputs: u32, blocks: u32) -> Self {
        let columns = rows.clamp(1, 8).next_power_of_two();
        let variant =
            |threads, outputs, block| Self::MatvecPacked { threads, outputs, columns, block, subgroups: false };
        match (rows, outputs) {
            // 32 rows: [28672, 4096] in 134 us instead of 151, [4096, 14336] in 90 instead of 116 (Chromium).
            (9.., 8192..) if blocks > 64 => {
                Self::MatvecPacked { threads: 16, outputs: 8, columns: 16, block: 2, subgroups: false }
            }
            (9.., 2048..) | (_, 8192..) if blocks > 64 => variant(16, 4, 4),
            (0..=8, 8192..) => variant(8, 8, 2),
            (_, 8192..) => variant(8, 8, 4),
            _ => variant(32, 2, 2),
        }
    }

    /// The product of integers used for many rows: 66 TFLOP/s on an H100 (Vulkan) for a large matrix, where that of floats reaches 21; a small
    /// matrix needs smaller tiles to keep the GPU busy: 512 rows by [896, 4864] take 108 us with tiles of 16 by 32, 123 with 32 by 32.
    pub fn default_matmul_packed(outputs: u32) -> Self {
        match outputs {
            4096.. => Self::MatmulPacked { tile_m: 32, tile_n: 64, thread_m: 4, thread_n: 8 },
            _ => Self::MatmulPacked { tile_m: 16, tile_n: 32, thread_m: 4, thread_n: 4 },
        }
    }

    /// What turns activations into integers; with a norm before that, one workgroup has a row to itself: long rows are bound by how
    /// many of it work on them.
    pub fn default_quantize(norm: bool, width: u32) -> Self {
        Self::Quantize { workgroup: if norm && width > 1024 { 256 } else { 64 } }
    }

    /// The rotary embedding used for heads of a size. Processors that stand in for a GPU switch between invocations at its barrier:
    /// SwiftShader takes 0.05 ms by workgroups of 8 for 12 heads of 64, 0.1 by 64.
    pub fn default_rope(head_dim: u32, software: bool) -> Self {
        let pairs = head_dim / 2;
        let workgroup = if software { (pairs / 4).clamp(8, 64) } else { pairs.next_multiple_of(32).clamp(64, 256) };
        Self::RopeKv { workgroup }
    }

    /// The gather of embeddings.
    pub fn default_embed() -> Self {
        Self::Embed { workgroup: 64 }
    }

    /// The gated activation.
    pub fn default_silu() -> Self {
        Self::SiluMul { workgroup: 64 }
    }

    /// The gather of rows.
    pub fn default_gather() -> Self {
        Self::GatherRows { workgroup: 64 }
    }

    /// The norm of rows. As with the rotary embedding: SwiftShader takes 0.04 ms by workgroups of 8 for a row of 576, 0.08 by 64.
    pub fn default_norm(software: bool) -> Self {
        Self::RmsNorm { workgroup: if software { 8 } else { 64 } }
    }

    /// The attention used for few rows, `heads_per_kv` query heads sharing keys.
    ///
    /// One row is bound by waiting, so it has many short parts: on an H100 (Vulkan, 480 keys) tiles of 16 keys whose values are asked for
    /// with the keys, and parts joined by teams, decode `SmolLM2-135M` 1.15 times as fast as tiles of 32 did whose values came later and whose
    /// parts one invocation joined; `qwen2-0.5b` 1.09 and `qwen2-1.5b` 1.10 times.
    pub fn default_split(head_dim: u32, heads_per_kv: u32) -> Self {
        let (tile, dims) = (16, head_dim / 4);
        // An invocation for each four dimensions of the heads, if as many can share the keys of a tile evenly.
        let workgroup = |group: u32| if group * dims > 64 && dims.is_multiple_of(128 / tile) { 128 } else { 64 };
        // What shares a key is bound by 16 KiB of workgroup memory: queries, partial scores and weights.
        let bytes = |group: u32| 4 * (group * (head_dim + workgroup(group) + tile) + tile);
        let fits = |group: &u32| heads_per_kv.is_multiple_of(*group) && *group <= 16 && bytes(*group) <= 16_384;
        let group = (1..=heads_per_kv).rev().find(fits).unwrap_or(1);
        Self::AttentionSplit { workgroup: workgroup(group), tile, group }
    }

    /// What joins the parts that are left of `rows` rows. Where they alone keep a GPU busy, larger teams cost more than they spare: 32 rows of
    /// 32 heads of 128 take 10.4 us on an H100 with one invocation for four dimensions, 11.4 with eight; one row of 9 heads of 64 takes 7.6 and 6.0.
    /// A processor that stands in for a GPU would switch between invocations at the barrier.
    pub fn default_reduce(heads: u32, head_dim: u32, rows: u32, software: bool) -> Self {
        let alone = heads * head_dim / 4 * rows.max(1);
        let fits = |team: &u32| !software && alone * team <= BUSY;
        Self::AttentionReduce { workgroup: 64, team: [8, 4, 2].into_iter().find(fits).unwrap_or(1) }
    }

    /// The attention used for many rows. On an H100 (Chromium) 512 rows of 14 heads of 64 take 67 us with tiles of 8 queries and 64
    /// keys, 108 with 16 and 32.
    pub fn default_attention(head_dim: u32, software: bool) -> Self {
        match head_dim {
            64 if !software => Self::AttentionTile { workgroup: 64, queries: 8, tile: 64 },
            32 | 64 | 128 => Self::AttentionTile { workgroup: 128, queries: 16, tile: 32 },
            // As whole numbers of keys, queries and vectors of four dimensions for each invocation go.
            80 => Self::AttentionTile { workgroup: 80, queries: 20, tile: 16 },
            96 => Self::AttentionTile { workgroup: 96, queries: 12, tile: 32 },
            256 => Self::AttentionTile { workgroup: 128, queries: 8, tile: 32 },
            _ => Self::Attention { workgroup: 64 },
        }
    }

    /// Biases and penalties.
    pub fn default_adjust(software: bool) -> Self {
        Self::SampleAdjust { workgroup: if software { 16 } else { 64 } }
    }

    /// What a mask forbids.
    pub fn default_mask(software: bool) -> Self {
        Self::SampleMask { workgroup: if software { 16 } else { 64 } }
    }

    /// The search for the best tokens.
    pub fn default_scan(software: bool) -> Self {
        let (workgroup, chunks) = if software { (4, 2) } else { (256, MOST_CHUNKS) };
        Self::SampleScan { workgroup, chunks }
    }

    /// The three kernels that find what top-k, top-p and min-p leave, in their order.
    pub fn filter(software: bool) -> [Self; 3] {
        let (workgroup, groups) = if software { (16, 4) } else { (256, MOST_GROUPS) };
        [
            Self::SampleSurvey { workgroup, groups },
            Self::SampleSift { workgroup, groups },
            Self::SampleFilter { workgroup: workgroup.max(64), groups },
        ]
    }
}

/// So many invocations keep a large GPU busy.
const BUSY: u32 = 1 << 16;

/// As many packs as fit 16 KiB beside the squares that a staged product of `size` invocations keeps there.
fn stage(size: u32, columns: u32, pack: u32, packs: u32) -> u32 {
    let squares_bytes = size * columns * 4;
    packs.min((16_384 - squares_bytes) / (columns * pack * 4) - 1).min(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_products_keep_within_the_least_workgroup_memory_and_size() {
        for (rows, (pack, packs)) in
            [1, 2, 3, 8, 32].into_iter().flat_map(|r| [(4, 9), (8, 512), (16, 56), (32, 448)].map(|p| (r, p)))
        {
            for (outputs, software) in [(1, false), (6000, false), (152_000, false), (960, true)] {
                let variant = KernelVariant::default_matvec(rows, pack, packs, outputs, software);
                let KernelVariant::Matvec { threads, outputs: teams, columns, block, stage, .. } = variant else {
                    panic!("{variant:?} is a product for few rows");
                };
                let size = threads * teams;
                let sums = if stage > 0 {
                    (columns * pack / 4 * (stage + 1)).max(columns * size) * 4
                } else {
                    size * block * columns
                };
                let bytes = if threads > 1 { 4 * (sums + size * columns) } else { 0 };
                assert!(bytes <= 16_384 && size <= 256, "{variant:?} takes {bytes} bytes");
                assert!(block.is_multiple_of(2) || outputs == 1, "{variant:?} works on pairs");
                assert!(stage == 0 || block == 4, "{variant:?} is staged");
            }
        }
    }
}
