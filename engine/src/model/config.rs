//! The sizes of one model.

use super::{Family, Rope};
use thiserror::Error;
use tilewright_formats::FormatError;

/// What the engine has to know of a model besides its weights.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// What it shares with its kin.
    pub family: &'static Family,
    /// Size of the vocabulary.
    pub vocabulary: u32,
    /// Positions it was trained for.
    pub context: u32,
    /// Transformer layers.
    pub layers: u32,
    /// Elements of the residual stream.
    pub hidden: u32,
    /// Elements of the feed-forward layer.
    pub feed_forward: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; divides `heads`.
    pub kv_heads: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Added to the mean square by RMS norms.
    pub norm_eps: f32,
    /// Rotary embedding.
    pub rope: Rope,
    /// Whether the head is the embedding table.
    pub tied_head: bool,
}

impl ModelConfig {
    /// Elements of all query heads.
    pub fn query_width(&self) -> u32 {
        self.heads * self.head_dim
    }

    /// Elements of all key heads.
    pub fn kv_width(&self) -> u32 {
        self.kv_heads * self.head_dim
    }

    /// Bytes of keys and values per token, over all layers.
    pub fn kv_bytes_per_token(&self) -> u64 {
        u64::from(self.layers) * 2 * u64::from(self.kv_width()) * 4
    }

    /// Refuses sizes that no model has, before anything is allocated for them.
    pub(super) fn checked(self) -> Result<Self, ConfigError> {
        let sizes = [
            ("vocabulary", self.vocabulary, 1 << 24),
            ("context length", self.context, 1 << 28),
            ("layer count", self.layers, 1 << 12),
            ("hidden size", self.hidden, 1 << 20),
            ("feed-forward size", self.feed_forward, 1 << 22),
            ("head count", self.heads, 1 << 12),
            ("KV head count", self.kv_heads, 1 << 12),
            ("head size", self.head_dim, 1 << 12),
        ];
        for (what, value, limit) in sizes {
            if value == 0 || value > limit {
                return Err(ConfigError::Size { what, value: value.into(), limit: limit.into() });
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ConfigError::Inconsistent(format!(
                "{} query heads can't share {} KV heads evenly",
                self.heads, self.kv_heads
            )));
        }
        if !self.head_dim.is_multiple_of(4) {
            return Err(ConfigError::Inconsistent(format!("heads of {} elements: not a multiple of 4", self.head_dim)));
        }
        if self.rope.dims > self.head_dim || !self.rope.dims.is_multiple_of(2) || self.rope.dims == 0 {
            return Err(ConfigError::Inconsistent(format!(
                "{} rotated dimensions in heads of {}",
                self.rope.dims, self.head_dim
            )));
        }
        if !(self.rope.theta.is_finite() && self.rope.theta > 0.0) {
            return Err(ConfigError::Inconsistent(format!("a RoPE base of {}", self.rope.theta)));
        }
        if !(self.norm_eps.is_finite() && self.norm_eps >= 0.0) {
            return Err(ConfigError::Inconsistent(format!("a norm epsilon of {}", self.norm_eps)));
        }
        Ok(self)
    }
}

/// Why a model's description can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No family has this architecture.
    #[error("the architecture \"{name}\" is not supported; supported are: {known}")]
    UnknownArchitecture {
        /// As the file names it.
        name: String,
        /// What could be loaded.
        known: String,
    },
    /// The description isn't JSON of the expected form.
    #[error("config.json can't be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A GGUF key is missing or of the wrong type.
    #[error(transparent)]
    Metadata(#[from] FormatError),
    /// A size that no model has.
    #[error("the model says that its {what} is {value}; it has to be from 1 to {limit}, so the file is damaged")]
    Size {
        /// Which.
        what: &'static str,
        /// What the file says.
        value: u64,
        /// The largest that is believed.
        limit: u64,
    },
    /// Two facts that can't both be true.
    #[error("the model's description contradicts itself: {0}")]
    Inconsistent(String),
    /// A feature of the architecture that isn't built.
    #[error("the model needs {feature}, which this version of Tilewright does not have; use another model")]
    Unsupported {
        /// What it needs.
        feature: String,
    },
}
