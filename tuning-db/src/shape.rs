//! What a kernel was measured on: the operation and its sizes.
//!
//! Weights have few sizes, which are kept exactly: the best tile for 4864 outputs is not that for 4096. Rows change with
//! every step, so they fall into buckets, one per power of two.

use crate::variant::map_without_doubles;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// An operation and its sizes: what a variant is looked up by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// The operation, which several kernels may compute: `matmul`, `attention`.
    pub op: String,
    /// How the weights are quantized: `q4_1`; empty where there are none.
    #[serde(default)]
    pub quantization: String,
    /// Number format of the activations.
    #[serde(default)]
    pub dtype: String,
    /// Outputs per row, exactly.
    #[serde(default)]
    pub n: u32,
    /// Inputs per row, exactly.
    #[serde(default)]
    pub k: u32,
    /// Rows, bucketed: see [`bucket`].
    pub m: u32,
    /// What else the op's kernels are built for, by name: `head_dim`, `heads_per_kv`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "map_without_doubles")]
    pub extents: BTreeMap<String, u32>,
}

/// The bucket of so many rows: the next power of two, for a kernel built for 8 columns also computes 5.
pub fn bucket(rows: u32) -> u32 {
    rows.max(1).checked_next_power_of_two().unwrap_or(1 << 31)
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.op)?;
        for word in [&self.quantization, &self.dtype] {
            if !word.is_empty() {
                write!(f, " {word}")?;
            }
        }
        if self.n > 0 || self.k > 0 {
            write!(f, " {}x{}", self.n, self.k)?;
        }
        write!(f, " m={}", self.m)?;
        for (name, extent) in &self.extents {
            write!(f, " {name}={extent}")?;
        }
        Ok(())
    }
}

/// Number formats of a kernel's operands.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Dtypes {
    /// Of what goes in.
    pub input: String,
    /// Of the weights as they lie in memory.
    pub weights: String,
    /// Of sums.
    pub accumulate: String,
    /// Of what comes out.
    pub output: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fall_into_the_next_power_of_two_and_none_overflows() {
        let buckets = [0, 1, 2, 3, 5, 8, 9, 1 << 31, u32::MAX].map(bucket);
        assert_eq!(buckets, [1, 1, 2, 4, 8, 8, 16, 1 << 31, 1 << 31]);
    }
}
