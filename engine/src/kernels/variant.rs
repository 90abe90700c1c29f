//! How a kernel is built, as data.
//!
//! A [`KernelVariant`] is an operation and its tuning parameters, and nothing else: not the shapes it runs on, not an index
//! into a list. It can be printed, stored and read back by another version of the engine. [`KernelVariant::default_product`] is
//! the static choice; a tuner may replace it with any other variant of the same operation.

use crate::graph::KeySplit;
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
        /// Invocations per workgroup; a multiple of `team`.
        workgroup: u32,
        /// Invocations that share the parts of four dimensions of a head.
        team: u32,
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
    /// Forbids what a mask does not allow.
    SampleMask {
        /// Invocations per workgroup, of four tokens each.
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
            Self::SampleMask { .. } => "sample_mask",
            Self::SampleSurvey { .. } => "sample_survey",
            Self::SampleSift { .. } => "sample_sift",
            Self::SampleFilter { .. } => "sample_filter",
            Self::SampleScan { .. } => "sample_scan",
            Self::SamplePick { .. } => "sample_pick",
        }
    }

    /// How the attention of few rows wants keys split into at most so many parts for all rows together.
    pub fn key_split(&self, most_parts: u32) -> KeySplit {
        match *self {
            // `attention_reduce` reads every part again, so there are no more than keep a GPU busy; or, on a processor, two workgroups for
            // each group of heads.
            Self::AttentionSplit { tile, .. } => KeySplit { tile, most_parts, most_of_row: 256 },
            Self::AttentionSerial { lanes, .. } => KeySplit { tile: 4, most_parts, most_of_row: 2 * lanes },
            _ => KeySplit { tile: 32, most_parts, most_of_row: u32::MAX },
        }
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
            | Self::AttentionReduce { workgroup, .. }
            | Self::AttentionTile { workgroup, .. }
            | Self::SiluMul { workgroup }
            | Self::SampleAdjust { workgroup }
            | Self::SampleMask { workgroup }
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
}
