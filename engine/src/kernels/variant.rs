//! How a kernel is built, as data.
//!
//! A [`KernelVariant`] is an operation and its tuning parameters, and nothing else: not the shapes it runs on, not an index
//! into a list. It can be printed, stored and read back by another version of the engine. [`KernelVariant::default_product`] is
//! the static choice; a tuner may replace it with any other variant of the same operation.

use crate::graph::KeySplit;
use crate::weights::WeightFormat;
use serde::{Deserialize, Serialize};

/// An operation with the parameters that its kernel is built from. Sizes are in elements unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kernel", rename_all = "snake_case")]
pub enum KernelVariant {
    /// Gathers embeddings.
    Embed {
        /// Invocations per workgroup, along a row.
        workgroup: u32,
    },
    /// Normalizes rows.
    RmsNorm {
        /// Invocations that share a row; a power of two.
        workgroup: u32,
    },
    /// Matrix product for few rows.
    Matvec {
        /// Invocations that share one output; a power of two.
        threads: u32,
        /// Teams of so many invocations per workgroup.
        outputs: u32,
        /// Rows of the input served by one fetch of the weights.
        columns: u32,
        /// Outputs of a team, served by one fetch of the input; even in the forms that work on pairs of outputs.
        block: u32,
        /// Packs of the input that go through workgroup memory at a time; 0: none. Otherwise `block` is 4.
        stage: u32,
        /// Whether sums meet by subgroup shuffles; `threads` is then at most the least subgroup size.
        #[serde(default)]
        subgroups: bool,
        /// Whether products are of f16, summed up in f32 from run to run: where a device has them.
        #[serde(default)]
        halves: bool,
    },
    /// Matrix product for few rows on a processor that stands in for a GPU: an invocation's outputs come one after the other.
    MatvecSerial {
        /// Invocations per workgroup.
        lanes: u32,
        /// Outputs of an invocation.
        block: u32,
        /// Rows of the input served by one fetch of the weights.
        columns: u32,
        /// Packs that an input is read for at a time; divides those of a row, and is a whole number of groups.
        span: u32,
    },
    /// Matrix product for few rows of 8-bit integers.
    MatvecPacked {
        /// Invocations that share one output; a power of two.
        threads: u32,
        /// Teams of so many invocations per workgroup.
        outputs: u32,
        /// Rows of the input served by one fetch of the weights.
        columns: u32,
        /// Outputs of a team; even in the forms that work on pairs of outputs.
        block: u32,
        /// Whether sums meet by subgroup shuffles; `threads` is then at most the least subgroup size.
        #[serde(default)]
        subgroups: bool,
    },
    /// Matrix product for many rows of 8-bit integers.
    MatmulPacked {
        /// Rows per workgroup; a multiple of `thread_m`.
        tile_m: u32,
        /// Outputs per workgroup; a multiple of `thread_n`.
        tile_n: u32,
        /// Rows per invocation.
        thread_m: u32,
        /// Outputs per invocation.
        thread_n: u32,
    },
    /// Matrix product of many rows by the matrix units of subgroups, from 8-bit integers that become f16.
    SubgroupMatmulPacked {
        /// Rows per workgroup; a multiple of `team_m`.
        tile_m: u32,
        /// Outputs per workgroup; a multiple of `team_n`.
        tile_n: u32,
        /// Rows per subgroup; a multiple of `unit_m`.
        team_m: u32,
        /// Outputs per subgroup; a multiple of `unit_n`, an even one in the forms that work on pairs of outputs.
        team_n: u32,
        /// Subgroups that share the columns of an output.
        parts: u32,
        /// Blocks of 32 columns in workgroup memory at a time; 32 times as many columns are a multiple of `parts * unit_k`.
        blocks: u32,
        /// Whether the next blocks are fetched while these are multiplied.
        ahead: bool,
        /// Invocations of a subgroup.
        lanes: u32,
        /// Rows that the units multiply at once.
        unit_m: u32,
        /// Outputs likewise.
        unit_n: u32,
        /// Columns likewise.
        unit_k: u32,
        /// Whether there are such units; else invocations do the same, to check it.
        units: bool,
    },
    /// Turns activations into 8-bit integers.
    Quantize {
        /// Invocations that share a row; a power of two.
        workgroup: u32,
    },
    /// Matrix product for many rows.
    Matmul {
        /// Rows per workgroup; a multiple of `thread_m`.
        tile_m: u32,
        /// Outputs per workgroup; a multiple of `thread_n`.
        tile_n: u32,
        /// Rows per invocation.
        thread_m: u32,
        /// Outputs per invocation.
        thread_n: u32,
        /// Whether products are of f16, summed up in f32 from run to run: where a device has them.
        #[serde(default)]
        halves: bool,
    },
    /// Rotary embedding and KV write.
    RopeKv {
        /// Invocations per workgroup, one for each rotated pair of its heads.
        workgroup: u32,
    },
    /// Paged attention for heads of any size.
    Attention {
        /// Invocations per row and head, and keys per tile; a power of two.
        workgroup: u32,
    },
    /// Paged attention for few rows, by parts of the keys.
    AttentionSplit {
        /// Invocations; a multiple of `tile`.
        workgroup: u32,
        /// Keys per tile.
        tile: u32,
        /// Query heads of one KV head that share its keys and values; divides how many there are.
        group: u32,
    },
    /// Paged attention by parts of the keys, on a processor that stands in for a GPU: a part is one invocation's.
    AttentionSerial {
        /// Invocations per workgroup.
        lanes: u32,
        /// Query heads of one KV head that share its keys and values; divides how many there are.
        group: u32,
    },
    /// Joins what [`KernelVariant::AttentionSplit`] and [`KernelVariant::AttentionSerial`] leave.
    AttentionReduce {
        /// Invocations per workgroup, along a row.
        workgroup: u32,
    },
    /// Paged attention for many rows, by tiles of queries.
    AttentionTile {
        /// Invocations; a multiple of `tile` and of a quarter of the head size.
        workgroup: u32,
        /// Rows per workgroup; their products with `tile` and with a quarter of the head size are multiples of `workgroup`.
        queries: u32,
        /// Keys per tile.
        tile: u32,
    },
    /// Gated activation.
    SiluMul {
        /// Invocations per workgroup, along a row.
        workgroup: u32,
    },
    /// Adds biases and applies penalties.
    SampleAdjust {
        /// Invocations per row.
        workgroup: u32,
    },
    /// Counts the logits of each part of a row by bins below its maximum.
    SampleSurvey {
        /// Invocations per part; a power of two, at least 16.
        workgroup: u32,
        /// Parts.
        groups: u32,
    },
    /// Lists the tokens that may be the least that top-k or top-p leaves.
    SampleSift {
        /// Invocations per part, at least 16.
        workgroup: u32,
        /// Parts.
        groups: u32,
    },
    /// Finds what top-k, top-p and min-p leave.
    SampleFilter {
        /// Invocations per row, at least 16.
        workgroup: u32,
        /// Parts of the survey.
        groups: u32,
    },
    /// Finds the best token of each part of a row.
    SampleScan {
        /// Invocations per part; a power of two.
        workgroup: u32,
        /// Parts.
        chunks: u32,
    },
    /// Picks the best of the parts.
    SamplePick {
        /// Invocations per row.
        workgroup: u32,
        /// Parts.
        chunks: u32,
    },
    /// Picks rows.
    GatherRows {
        /// Invocations per workgroup, along a row.
        workgroup: u32,
    },
}

/// Parts of a row of logits that there is room for.
pub const MOST_CHUNKS: u32 = 32;

/// Parts of a row of logits that the filter's survey has room for.
pub const MOST_GROUPS: u32 = 32;

impl KernelVariant {
    /// Name of the WGSL file, without its ending.
    pub fn kernel(&self) -> &'static str {
        match self {
            Self::Embed { .. } => "embed",
            Self::RmsNorm { .. } => "rms_norm",
            Self::Matvec { .. } => "matvec",
            Self::Matmul { .. } => "matmul",
            Self::MatvecSerial { .. } => "matvec_serial",
            Self::MatvecPacked { .. } => "matvec_packed",
            Self::MatmulPacked { .. } => "matmul_packed",
            Self::SubgroupMatmulPacked { .. } => "subgroup_matmul_packed",
            Self::Quantize { .. } => "quantize",
            Self::RopeKv { .. } => "rope_kv",
            Self::Attention { .. } => "attention",
            Self::AttentionSplit { .. } => "attention_split",
            Self::AttentionSerial { .. } => "attention_serial",
            Self::AttentionReduce { .. } => "attention_reduce",
            Self::AttentionTile { .. } => "attention_tile",
            Self::SiluMul { .. } => "silu_mul",
            Self::GatherRows { .. } => "gather_rows",
            Self::SampleAdjust { .. } => "sample_adjust",
            Self::SampleSurvey { .. } => "sample_survey",
            Self::SampleSift { .. } => "sample_sift",
            Self::SampleFilter { .. } => "sample_filter",
            Self::SampleScan { .. } => "sample_scan",
            Self::SamplePick { .. } => "sample_pick",
        }
    }

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
            9..=16 => Self::Matmul { tile_m: 16, tile_n: 32, thread_m: 2, thread_n: 4, halves: false },
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

    /// The product used on a processor that stands in for a GPU, of a matrix in a format whose rows have so many packs.
    ///
    /// An input is read again for every `block` outputs, so a block is as large as leaves some workgroups for the processor's cores, and does
    /// not depend on how many more rows there are, which would be another kernel to compile. On SwiftShader (two cores) [8192, 576] in 4
    /// bits take 2.1 ms by blocks of 16, 1.6 by 64; eight rows of [1536, 576] take 1.6 ms with eight columns and turns of 32 elements, 2.1
    /// with four columns or turns of 64. `lanes` are those of the processor's vectors: Mesa's lavapipe has eight, with which it reads
    /// prompts 1.5 times as fast as with four.
    pub fn default_serial(rows: u32, format: WeightFormat, packs: u32, outputs: u32, lanes: u32) -> Self {
        let columns = rows.clamp(1, 8).next_power_of_two();
        let most = if columns > 2 { 32 } else { 64 };
        let workgroups = if columns > 4 { 4 } else { 8 };
        let block = outputs.div_ceil(workgroups * lanes).clamp(24, 64);
        Self::MatvecSerial { lanes, block, columns, span: serial_spans(format, packs, most).max().unwrap_or(1) }
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

    /// The norm of rows. As with the rotary embedding: SwiftShader takes 0.04 ms by workgroups of 8 for a row of 576, 0.08 by 64.
    pub fn default_norm(software: bool) -> Self {
        Self::RmsNorm { workgroup: if software { 8 } else { 64 } }
    }

    /// The attention used for few rows, `heads_per_kv` query heads sharing keys.
    pub fn default_split(head_dim: u32, heads_per_kv: u32) -> Self {
        // What shares a key is bound by 16 KiB of workgroup memory: queries, partial scores and weights.
        let (workgroup, tile) = (128, 32);
        let bytes = |group: u32| 4 * (group * (head_dim + workgroup + tile) + tile);
        let fits = |group: &u32| heads_per_kv.is_multiple_of(*group) && *group <= 16 && bytes(*group) <= 16_384;
        let group = (1..=heads_per_kv).rev().find(fits).unwrap_or(1);
        Self::AttentionSplit { workgroup, tile, group }
    }

    /// The attention used on a processor that stands in for a GPU. Queries and sums are an invocation's own: 64 vectors of each are
    /// compiled fast enough.
    pub fn default_attention_serial(head_dim: u32, heads_per_kv: u32, lanes: u32) -> Self {
        let fits = |group: &u32| heads_per_kv.is_multiple_of(*group) && group * head_dim <= 256;
        Self::AttentionSerial { lanes, group: (1..=heads_per_kv).rev().find(fits).unwrap_or(1) }
    }

    /// How the attention of few rows wants keys split into at most so many parts for all rows together.
    pub fn key_split(&self, most_parts: u32) -> KeySplit {
        match *self {
            Self::AttentionSplit { tile, .. } => KeySplit { tile, most_parts, most_of_row: u32::MAX },
            // Each part is joined to the others afterwards, which costs about as much as two keys.
            Self::AttentionSerial { lanes, .. } => KeySplit { tile: 4, most_parts, most_of_row: 2 * lanes.max(4) },
            _ => KeySplit { tile: 32, most_parts, most_of_row: u32::MAX },
        }
    }

    /// The attention used for many rows. On an H100 (Chromium) 512 rows of 14 heads of 64 take 67 us with tiles of 8 queries and 64
    /// keys, 108 with 16 and 32.
    pub fn default_attention(head_dim: u32, software: bool) -> Self {
        match head_dim {
            64 if !software => Self::AttentionTile { workgroup: 64, queries: 8, tile: 64 },
            32 | 64 | 128 => Self::AttentionTile { workgroup: 128, queries: 16, tile: 32 },
            _ => Self::Attention { workgroup: 64 },
        }
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

    /// What picks the best of a scan's parts.
    #[must_use]
    pub fn pick(&self) -> Self {
        let chunks = if let Self::SampleScan { chunks, .. } = *self { chunks } else { MOST_CHUNKS };
        Self::SamplePick { workgroup: chunks, chunks }
    }

    /// Whether it multiplies 8-bit integers, which [`KernelVariant::Quantize`] makes.
    pub fn is_packed(&self) -> bool {
        matches!(self, Self::MatvecPacked { .. } | Self::MatmulPacked { .. } | Self::SubgroupMatmulPacked { .. })
    }

    /// Rows of the input served by one fetch of the weights, of a product for few rows.
    pub fn columns(&self) -> Option<u32> {
        match *self {
            Self::Matvec { columns, .. } | Self::MatvecSerial { columns, .. } | Self::MatvecPacked { columns, .. } => {
                Some(columns)
            }
            _ => None,
        }
    }

    /// Whether it needs subgroups.
    pub fn uses_subgroups(&self) -> bool {
        matches!(self, Self::Matvec { subgroups: true, .. } | Self::MatvecPacked { subgroups: true, .. })
    }

    /// Whether it needs a device that computes in f16.
    pub fn uses_halves(&self) -> bool {
        matches!(self, Self::Matvec { halves: true, .. } | Self::Matmul { halves: true, .. }) || self.uses_units()
    }

    /// Whether it needs matrix units.
    pub fn uses_units(&self) -> bool {
        matches!(self, Self::SubgroupMatmulPacked { units: true, .. })
    }

    /// Invocations per workgroup.
    pub fn workgroup_size(&self) -> u32 {
        match *self {
            Self::Embed { workgroup }
            | Self::Quantize { workgroup }
            | Self::RmsNorm { workgroup }
            | Self::RopeKv { workgroup }
            | Self::Attention { workgroup }
            | Self::AttentionSplit { workgroup, .. }
            | Self::AttentionReduce { workgroup }
            | Self::AttentionTile { workgroup, .. }
            | Self::SiluMul { workgroup }
            | Self::SampleAdjust { workgroup }
            | Self::SampleSurvey { workgroup, .. }
            | Self::SampleSift { workgroup, .. }
            | Self::SampleFilter { workgroup, .. }
            | Self::SampleScan { workgroup, .. }
            | Self::SamplePick { workgroup, .. }
            | Self::GatherRows { workgroup } => workgroup,
            Self::MatvecSerial { lanes, .. } | Self::AttentionSerial { lanes, .. } => lanes,
            Self::Matvec { threads, outputs, .. } | Self::MatvecPacked { threads, outputs, .. } => threads * outputs,
            Self::Matmul { tile_m, tile_n, thread_m, thread_n, .. }
            | Self::MatmulPacked { tile_m, tile_n, thread_m, thread_n } => (tile_m / thread_m) * (tile_n / thread_n),
            Self::SubgroupMatmulPacked { tile_m, tile_n, team_m, team_n, parts, lanes, .. } => {
                (tile_m / team_m) * (tile_n / team_n) * parts * lanes
            }
        }
    }
}

/// As many packs as fit 16 KiB beside the squares that a staged product of `size` invocations keeps there.
fn stage(size: u32, columns: u32, pack: u32, packs: u32) -> u32 {
    let squares_bytes = size * columns * 4;
    packs.min((16_384 - squares_bytes) / (columns * pack * 4) - 1).min(64)
}

/// Turns that [`KernelVariant::MatvecSerial`] may take of rows of so many packs, of at most so many elements or one pack.
pub fn serial_spans(format: WeightFormat, packs: u32, most_elements: u32) -> impl Iterator<Item = u32> {
    let pack = format.pack();
    let group = format.quantization().map_or(pack, |quantization| quantization.group);
    [1, 2, 4, 8].into_iter().filter(move |span| {
        packs.is_multiple_of(*span)
            && (span * pack).is_multiple_of(group)
            && (*span == 1 || span * pack <= most_elements.max(group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_survives_json_by_value() {
        for rows in [1, 2, 3, 8, 9, 17, 512] {
            let variant = KernelVariant::default_product(rows, false);
            let text = serde_json::to_string(&variant).unwrap();
            assert!(text.contains(variant.kernel()), "{text}");
            assert_eq!(serde_json::from_str::<KernelVariant>(&text).unwrap(), variant);
        }
    }

    #[test]
    fn variants_that_were_stored_before_there_were_halves_compute_in_f32() {
        let text = r#"{"kernel":"matmul","tile_m":16,"tile_n":32,"thread_m":2,"thread_n":4}"#;
        let variant: KernelVariant = serde_json::from_str(text).unwrap();
        assert!(!variant.uses_halves());
        assert_eq!(variant, KernelVariant::default_product(12, false));
    }

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
