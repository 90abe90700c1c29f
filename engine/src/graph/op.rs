//! Operations and what they work on.

use crate::model::{ModelConfig, WeightKey};

/// A buffer of one row per row of the step (or of the head), reused by every layer. f32, rows padded to 8 elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Activation {
    /// The residual stream.
    Hidden,
    Normed,
    Query,
    Key,
    Value,
    Attended,
    Gate,
    Up,
    /// The rows of the residual stream whose logits are asked for.
    OutputHidden,
    OutputNormed,
    Logits,
}

impl Activation {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Hidden,
        Self::Normed,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Attended,
        Self::Gate,
        Self::Up,
        Self::OutputHidden,
        Self::OutputNormed,
        Self::Logits,
    ];

    /// Elements of a row.
    pub fn width(self, config: &ModelConfig) -> u32 {
        match self {
            Self::Hidden | Self::Normed | Self::OutputHidden | Self::OutputNormed => config.hidden,
            Self::Query | Self::Attended => config.query_width(),
            Self::Key | Self::Value => config.kv_width(),
            Self::Gate | Self::Up => config.feed_forward,
            Self::Logits => config.vocabulary,
        }
    }

    /// Elements from one row to the next. What lies between is zero and stays so: kernels read whole packs of a row.
    pub fn stride(self, config: &ModelConfig) -> u32 {
        self.width(config).next_multiple_of(8)
    }

    /// Whose rows it has.
    pub fn rows(self) -> RowSet {
        match self {
            Self::OutputHidden | Self::OutputNormed | Self::Logits => RowSet::Outputs,
            _ => RowSet::Step,
        }
    }
}

/// Which rows an operation works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowSet {
    /// All rows of the step.
    Step,
    /// The rows whose logits are asked for, a segment at a time.
    Outputs,
}

/// One operation. The rows are those of its output.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Hidden = table rows of the step's tokens.
    Embed {
        /// The table.
        table: WeightKey,
    },
    /// out = norm(input) * weight
    RmsNorm {
        /// What is normalized.
        input: Activation,
        /// Vector.
        weight: WeightKey,
        /// Where to.
        out: Activation,
    },
    /// out (+)= input . weight^T + bias
    Product {
        /// Rows.
        input: Activation,
        /// Matrix.
        weight: WeightKey,
        /// Vector, used where the model has it.
        bias: Option<WeightKey>,
        /// Where to.
        out: Activation,
        /// Whether it is added to what `out` holds.
        accumulate: bool,
    },
    /// Rotates Query in place, writes rotated Key and Value to the cache of `layer`.
    RopeKv {
        /// Which cache.
        layer: u32,
    },
    /// Attended = attention of Query over the cache of `layer`.
    Attention {
        /// Which cache.
        layer: u32,
    },
    /// Gate = silu(Gate) * Up
    SiluMul,
    /// `OutputHidden` = the asked-for rows of Hidden.
    GatherRows,
    /// Several operations as one, where a device and the weights allow.
    Fused {
        /// Which.
        fusion: Fusion,
        /// What it stands for; the last of them gives the rows.
        parts: Vec<Op>,
    },
}

/// Operations that one kernel carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fusion {
    /// Norm, the three products of attention, rotary embedding and KV write.
    NormQkvRope,
    /// Norm, gate and up product, gated activation.
    NormGate,
    /// The asked-for rows, norm and head.
    NormHead,
}
