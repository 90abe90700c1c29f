//! What a step works in: activations, step data and the KV cache. Made once, for the largest step that the executor takes.

use super::Gpu;
use super::rung::Rung;
use super::sampler_memory::SamplerMemory;
use super::weights::lasting;
use crate::graph::{Activation, KeySplit, RowSet, StepHeader};
use crate::kernels::sample::RECORD_WORDS;
use crate::kernels::{KernelVariant, quantize};
use crate::model::ModelConfig;
use std::collections::BTreeMap;
use tilewright_plan::Capacity;

/// The buffers of one executor.
pub(crate) struct StepMemory {
    /// The step's header, and from [`WORDS_AT`] on its words: all that the CPU tells the GPU of a step, in one write.
    pub(super) step: wgpu::Buffer,
    activations: BTreeMap<Activation, wgpu::Buffer>,
    /// Partial softmaxes of the rows' heads.
    pub(super) partials: wgpu::Buffer,
    /// Where products are of integers: the input of the next one, and what a product of joined matrices gives.
    pub(super) integers: Option<IntegerMemory>,
    pub(super) sampler: SamplerMemory,
    /// Keys and values by layer, f32 or f16 `[slots, 2, kv_width]`; what they take is what the rest leaves, so they come last.
    cache: Vec<wgpu::Buffer>,
    /// How keys are split.
    pub(super) split: KeySplit,
    /// Rows of the logits buffer.
    pub(super) max_outputs: u32,
    /// Bytes of everything but the blocks that sequences are told of.
    pub(crate) scratch_bytes: u64,
}

/// What products of integers need beside the activations.
pub(super) struct IntegerMemory {
    /// Activations as integers, records of 32 elements, `[rows, blocks]`.
    pub(super) packed: wgpu::Buffer,
    /// The same as f16, where there are matrix units.
    pub(super) halves: Option<wgpu::Buffer>,
    /// Query, key and value, or gate and up, f32 `[rows, all of them]`.
    pub(super) joined: wgpu::Buffer,
}

/// Rows of logits that are computed at a time, memory permitting. More are computed in segments.
pub(crate) const MAX_OUTPUTS: u64 = 64;

/// Rows up to which a step is bound by reading the weights, and takes the fused kernels.
pub(super) const FEW_ROWS: u32 = 32;

/// Rows from which products are of integers, where a device multiplies them: what turning activations into integers costs is then less
/// than what it saves.
pub(super) const INTEGER_ROWS: u32 = 2;

/// Bytes of a block of activations as integers.
const RECORD_BYTES: u64 = quantize::RECORD_WORDS as u64 * 4;

/// The same as f16.
const HALVES_BYTES: u64 = quantize::HALVES_WORDS as u64 * 4;

/// Where words begin behind the header, bytes: a binding's offset is a multiple of it on every device.
pub(super) const WORDS_AT: u64 = 256;

/// Parts of keys over all rows of a step with few rows.
pub(super) const MOST_PARTS: u32 = 1024;

impl StepMemory {
    /// All but keys and values, for which see [`take_cache`](Self::take_cache).
    pub(crate) fn new(gpu: &Gpu, config: &ModelConfig, capacity: &Capacity) -> Self {
        let mut scratch_bytes = 0;
        let mut scratch = |label: &str, bytes: u64| {
            scratch_bytes += bytes;
            lasting(gpu, label, bytes)
        };
        let rows = u64::from(capacity.max_rows);
        let logits_stride = u64::from(Activation::Logits.stride(config)) * 4;
        let max_outputs = (gpu.max_binding_bytes / logits_stride).clamp(1, MAX_OUTPUTS.min(rows));
        let activations = Activation::ALL
            .into_iter()
            .map(|activation| {
                let rows = match activation.rows() {
                    RowSet::Step => rows,
                    RowSet::Outputs => max_outputs,
                };
                let bytes = rows * u64::from(activation.stride(config)) * 4;
                (activation, scratch(&format!("{activation:?}"), bytes))
            })
            .collect();
        let blocks_per_sequence = u64::from(capacity.max_context.div_ceil(capacity.block_size));
        // Of a row: its data, rotations, place among the outputs, tile, and how it is sampled.
        let row_words = 8 + 4 + u64::from(config.rope.dims) + 1 + 2 + RECORD_WORDS as u64;
        let words = rows * row_words + u64::from(capacity.max_chunks) * blocks_per_sequence;
        let bytes = WORDS_AT + words * 4;
        let record_bytes = u64::from(config.heads) * u64::from(config.head_dim + 4) * 4;
        let split = Rung::new(gpu, config).split(gpu, config);
        // Every row has a part. A processor that stands in for a GPU goes by parts however many rows there are.
        let by_parts = match split {
            KernelVariant::AttentionSerial { .. } => rows,
            _ => rows.min(FEW_ROWS.into()),
        };
        let most_parts = u64::from(MOST_PARTS).min(gpu.max_binding_bytes / record_bytes).max(by_parts);
        let partials = scratch("partial attention", most_parts * record_bytes);
        let integers = gpu.multiplies_integers().then(|| {
            let widest = config.hidden.max(config.query_width()).max(config.feed_forward);
            let joined = (config.query_width() + 2 * config.kv_width()).max(2 * config.feed_forward);
            let blocks = rows * u64::from(widest.div_ceil(32));
            IntegerMemory {
                packed: scratch("integers", blocks * RECORD_BYTES),
                halves: gpu.matrix_unit().map(|_| scratch("halves", blocks * HALVES_BYTES)),
                joined: scratch("joined outputs", rows * u64::from(joined) * 4),
            }
        });
        let sampler = SamplerMemory::new(gpu, config.vocabulary, capacity.max_chunks, max_outputs);
        let scratch_bytes = scratch_bytes + bytes + sampler.bytes();
        Self {
            step: gpu.buffer("step", bytes, STEP),
            activations,
            partials,
            integers,
            cache: Vec::new(),
            split: split.key_split(most_parts as u32),
            max_outputs: max_outputs as u32,
            sampler,
            scratch_bytes,
        }
    }

    /// Takes a buffer of keys and values for each layer, unless the device has no memory for them. They have one block more than
    /// sequences are told of: [rehearsals](super::rehearsal) write there.
    pub(crate) async fn take_cache(&mut self, gpu: &Gpu, config: &ModelConfig, capacity: &Capacity) -> bool {
        let element_bytes = if gpu.halves_cache() { 2 } else { 4 };
        let slots = u64::from(capacity.blocks + 1) * u64::from(capacity.block_size);
        let layer_bytes = slots * u64::from(config.kv_width()) * 2 * element_bytes;
        if !gpu.has_room(layer_bytes * u64::from(config.layers)) {
            return false;
        }
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let cache: Vec<_> =
            (0..config.layers).map(|layer| lasting(gpu, &format!("cache of layer {layer}"), layer_bytes)).collect();
        let taken = scope.pop().await.is_none();
        if taken {
            self.cache = cache;
            self.scratch_bytes += layer_bytes / u64::from(capacity.blocks + 1) * u64::from(config.layers);
        } else {
            for buffer in &cache {
                gpu.release(buffer);
            }
        }
        taken
    }

    pub(super) fn activation(&self, activation: Activation) -> &wgpu::Buffer {
        &self.activations[&activation]
    }

    pub(super) fn cache(&self, layer: u32) -> &wgpu::Buffer {
        &self.cache[layer as usize]
    }

    /// Hands the step's data to the device. `bytes` begins with room for the header.
    pub(super) fn write(&self, gpu: &Gpu, header: &StepHeader, bytes: &mut [u8]) {
        bytes[..size_of::<StepHeader>()].copy_from_slice(bytemuck::bytes_of(header));
        gpu.queue.write_buffer(&self.step, 0, bytes);
    }

    /// Hands over a new header alone, for a further segment of outputs.
    pub(super) fn write_header(&self, gpu: &Gpu, header: &StepHeader) {
        gpu.queue.write_buffer(&self.step, 0, bytemuck::bytes_of(header));
    }
}

/// A buffer of a made-up step's data: its header is a uniform of kernels, its words are storage.
pub(super) fn step_buffer(gpu: &Gpu, label: &str, bytes: u64) -> wgpu::Buffer {
    let (label, size) = (Some(label), bytes);
    gpu.device.create_buffer(&wgpu::BufferDescriptor { label, size, usage: STEP, mapped_at_creation: false })
}

const STEP: wgpu::BufferUsages =
    wgpu::BufferUsages::UNIFORM.union(wgpu::BufferUsages::STORAGE).union(wgpu::BufferUsages::COPY_DST);
