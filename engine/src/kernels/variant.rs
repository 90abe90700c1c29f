//! How a kernel is built, as data.
//!
//! A [`KernelVariant`] is an operation and its tuning parameters, and nothing else: not the shapes it runs on, not an index
//! into a list. It can be printed, stored and read back by another version of the engine. [`KernelVariant::default_product`] is
//! the static choice; a tuner may replace it with any other variant of the same operation.

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
        /// Outputs per workgroup.
        outputs: u32,
        /// Rows of the input served by one fetch of the weights.
        columns: u32,
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
    },
    /// Rotary embedding and KV write.
    RopeKv {
        /// Invocations per workgroup, along a row's pairs.
        workgroup: u32,
    },
    /// Paged attention.
    Attention {
        /// Invocations per row and head, and keys per tile; a power of two.
        workgroup: u32,
    },
    /// Gated activation.
    SiluMul {
        /// Invocations per workgroup, along a row.
        workgroup: u32,
    },
    /// Picks rows.
    GatherRows {
        /// Invocations per workgroup, along a row.
        workgroup: u32,
    },
}

impl KernelVariant {
    /// Name of the WGSL file, without its ending.
    pub fn kernel(&self) -> &'static str {
        match self {
            Self::Embed { .. } => "embed",
            Self::RmsNorm { .. } => "rms_norm",
            Self::Matvec { .. } => "matvec",
            Self::Matmul { .. } => "matmul",
            Self::RopeKv { .. } => "rope_kv",
            Self::Attention { .. } => "attention",
            Self::SiluMul { .. } => "silu_mul",
            Self::GatherRows { .. } => "gather_rows",
        }
    }

    /// The matrix product used for `rows` rows where nothing better is known.
    ///
    /// Up to eight rows the weights' bytes bound the time and a fetch is shared by a power of two of rows; beyond, a tile in
    /// workgroup memory is cheaper. A `software` adapter pays for every barrier by switching between invocations: one
    /// invocation per output decodes `SmolLM2` six times as fast on SwiftShader (1.4 instead of 0.22 tokens/s on two cores) and half
    /// as fast again on lavapipe.
    pub fn default_product(rows: u32, software: bool) -> Self {
        match rows {
            0..=8 => {
                let (threads, outputs) = if software { (1, 4) } else { (16, 4) };
                Self::Matvec { threads, outputs, columns: rows.max(1).next_power_of_two() }
            }
            9..=16 => Self::Matmul { tile_m: 16, tile_n: 32, thread_m: 2, thread_n: 4 },
            _ => Self::Matmul { tile_m: 32, tile_n: 32, thread_m: 4, thread_n: 4 },
        }
    }

    /// Invocations per workgroup.
    pub fn workgroup_size(&self) -> u32 {
        match *self {
            Self::Embed { workgroup }
            | Self::RmsNorm { workgroup }
            | Self::RopeKv { workgroup }
            | Self::Attention { workgroup }
            | Self::SiluMul { workgroup }
            | Self::GatherRows { workgroup } => workgroup,
            Self::Matvec { threads, outputs, .. } => threads * outputs,
            Self::Matmul { tile_m, tile_n, thread_m, thread_n } => (tile_m / thread_m) * (tile_n / thread_n),
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
}
