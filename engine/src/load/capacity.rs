//! How many tokens there is room for.

use super::LoadError;
use crate::model::ModelConfig;
use tilewright_plan::Capacity;

/// Slots per KV block: vLLM's default. Smaller shares more prefixes, larger needs shorter tables.
pub const BLOCK_SIZE: u32 = 16;

/// Choices of whoever loads a model.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Most positions of a sequence; by default as many as the model was trained for, memory permitting.
    pub max_context: Option<u32>,
    /// Bytes for keys and values of all sequences together; 512 MiB by default.
    pub kv_bytes: Option<u64>,
    /// Most rows of a step; by default 256, or 64 on a software adapter, where a step of more would take seconds.
    pub max_rows: Option<u32>,
}

/// What a loaded model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Weights in the canonical layout.
    pub weights_bytes: u64,
    /// Keys and values.
    pub kv_bytes: u64,
    /// Activations and the data of a step.
    pub scratch_bytes: u64,
}

/// Sizes a KV cache. `max_binding_bytes` bounds one layer's keys.
pub fn capacity(
    config: &ModelConfig,
    options: &LoadOptions,
    default_rows: u32,
    max_binding_bytes: u64,
) -> Result<Capacity, LoadError> {
    let block_bytes = config.kv_bytes_per_token() * u64::from(BLOCK_SIZE);
    let budget_bytes = options.kv_bytes.unwrap_or(512 << 20);
    let by_budget = budget_bytes / block_bytes;
    let by_binding = max_binding_bytes / (u64::from(config.kv_width()) * u64::from(BLOCK_SIZE) * 4);
    let blocks = by_budget.min(by_binding).min(u64::from(u32::MAX / BLOCK_SIZE)) as u32;
    if blocks == 0 {
        return Err(LoadError::NoRoomForKv { budget_bytes, block_bytes });
    }
    let context = options.max_context.map_or(config.context, |context| context.clamp(1, config.context));
    // A large budget serves several full contexts at once; blocks beyond eight of them would lie idle.
    let blocks = blocks.min(context.div_ceil(BLOCK_SIZE).saturating_mul(8));
    Ok(Capacity {
        blocks,
        block_size: BLOCK_SIZE,
        max_rows: options.max_rows.unwrap_or(default_rows).clamp(1, 4096),
        max_chunks: 64,
        max_context: context.min(blocks * BLOCK_SIZE),
        vocabulary: config.vocabulary,
        depth: 1,
    })
}
