//! How many tokens there is room for.

use super::LoadError;
use crate::gpu::MAX_OUTPUTS;
use crate::graph::{Activation, RowSet};
use crate::model::ModelConfig;
use crate::model::family::{Naming, Presence};
use crate::weights::{TensorLayout, WeightFormat};
use serde::{Deserialize, Serialize};
use tilewright_formats::TensorInfo;
use tilewright_plan::Capacity;

/// Rows of a step: enough to keep a GPU busy while a prompt is read.
pub(super) const DEFAULT_ROWS: u32 = 512;
/// On a software adapter a step of more would take seconds.
pub(super) const SOFTWARE_ROWS: u32 = 64;

/// On a CPU more rows than these make nothing faster, as weights are long in the cache when they are multiplied.
pub(super) const CPU_ROWS: u32 = 128;

/// Steps in flight on a GPU: one computes while the one before is read back and a third is ready. Browsers tell late that a step is done:
/// with two in flight Chromium decodes `qwen2-0.5b` on an H100 in 1.9 ms a token, with three in 1.1.
pub(super) const GPU_DEPTH: u32 = 3;
/// Steps in flight on a software adapter, whose steps are long: each step in flight is one that a new request waits for.
pub(super) const SOFTWARE_DEPTH: u32 = 2;

/// Slots per KV block: vLLM's default. Smaller shares more prefixes, larger needs shorter tables.
pub const BLOCK_SIZE: u32 = 16;

/// Fewer KV blocks are not asked for: 256 tokens are not much of a conversation.
pub(super) const LEAST_BLOCKS: u32 = 16;

/// Bytes for keys and values, at least.
const KV_BYTES: u64 = 512 << 20;

/// Choices of whoever loads a model.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Most positions of a sequence; by default as many as the model was trained for, memory permitting.
    pub max_context: Option<u32>,
    /// Bytes for keys and values of all sequences together; by default 512 MiB, on a GPU a quarter of the weights' if that is more.
    /// A GPU that has not as many is asked for less.
    pub kv_bytes: Option<u64>,
    /// Most rows of a step; by default 512, 128 on a CPU, or 64 on a software adapter, where a step of more would take seconds.
    pub max_rows: Option<u32>,
    /// Threads on a CPU; by default one for each core, and in a browser those of its pool.
    pub threads: Option<usize>,
    /// Most bytes that weight files may have together, said before they are read; as many as there are by default.
    pub max_bytes: Option<u64>,
}

/// What a loaded model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// Weights in the canonical layout.
    pub weights_bytes: u64,
    /// Keys and values.
    pub kv_bytes: u64,
    /// What steps work in: activations, the sampler's buffers, a step's data, and a spare block of keys and values.
    pub scratch_bytes: u64,
}

/// What a step that decodes one token takes of the device: what bounds its speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCost {
    /// Kernels that are run one after the other; 0 on the CPU.
    pub dispatches: u32,
    /// Bytes of weights that are read.
    pub weight_bytes: u64,
}

/// What a model will take, from its description alone: for saying so before anything is read.
///
/// # Errors
/// When there is no room for keys and values.
pub fn estimate(
    config: &ModelConfig,
    tensors: &[TensorInfo],
    naming: Naming,
    options: &LoadOptions,
) -> Result<(Capacity, MemoryUse), LoadError> {
    let used = |tensor: &&TensorInfo| {
        let rule = config.family.rule(naming, &tensor.name);
        rule.is_some_and(|(rule, _)| rule.presence != Presence::UnlessTied || !config.tied_head)
    };
    let bytes = |tensor: &TensorInfo| match *tensor.shape {
        [rows, cols] => {
            let format = WeightFormat::of(tensor.dtype);
            TensorLayout { rows: rows as u32, cols: cols as u32, format }.bytes()
        }
        _ => tensor.elements() * 4,
    };
    let weights_bytes = tensors.iter().filter(used).map(bytes).sum();
    let kv = options.kv_bytes.unwrap_or_else(|| default_kv_bytes(weights_bytes));
    let options = LoadOptions { kv_bytes: Some(kv), ..options.clone() };
    let capacity = capacity(config, &options, DEFAULT_ROWS, u64::MAX, GPU_DEPTH, 4)?;
    let memory = MemoryUse {
        weights_bytes,
        kv_bytes: kv_bytes(config, &capacity, 4),
        scratch_bytes: Activation::ALL
            .into_iter()
            .map(|activation| {
                let rows = if activation.rows() == RowSet::Step { capacity.max_rows } else { MAX_OUTPUTS as u32 };
                u64::from(rows) * u64::from(activation.stride(config)) * 4
            })
            .sum(),
    };
    Ok((capacity, memory))
}

/// Bytes for keys and values where nobody names them. A GPU that took large weights likely has some room beside them, and a
/// large model's tokens take more of it: 4 096 tokens of 8 billion weights fill 512 MiB.
pub(super) fn default_kv_bytes(weights_bytes: u64) -> u64 {
    KV_BYTES.max(weights_bytes / 4)
}

/// Bytes of keys and values that a capacity stands for, of elements of 4 bytes or 2.
pub fn kv_bytes(config: &ModelConfig, capacity: &Capacity, element_bytes: u64) -> u64 {
    u64::from(capacity.blocks) * u64::from(capacity.block_size) * config.kv_bytes_per_token() / 4 * element_bytes
}

/// Sizes a KV cache. `max_binding_bytes` bounds one layer's keys and values, whose elements have 4 bytes or 2.
pub fn capacity(
    config: &ModelConfig,
    options: &LoadOptions,
    default_rows: u32,
    max_binding_bytes: u64,
    depth: u32,
    element_bytes: u64,
) -> Result<Capacity, LoadError> {
    let block_bytes = config.kv_bytes_per_token() / 4 * element_bytes * u64::from(BLOCK_SIZE);
    let budget_bytes = options.kv_bytes.unwrap_or(KV_BYTES);
    let by_budget = budget_bytes / block_bytes;
    let by_binding = max_binding_bytes / (u64::from(config.kv_width()) * u64::from(BLOCK_SIZE) * 2 * element_bytes);
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
        depth,
    })
}
