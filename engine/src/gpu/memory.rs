//! What a step works in: activations, step data and the KV cache. Made once, for the largest step that the executor takes.

use super::Gpu;
use super::weights::storage;
use crate::graph::{Activation, RowSet, StepData, StepHeader};
use crate::model::ModelConfig;
use std::collections::BTreeMap;
use tilewright_plan::Capacity;

/// The buffers of one executor.
pub(super) struct StepMemory {
    pub(super) header: wgpu::Buffer,
    pub(super) rows: wgpu::Buffer,
    pub(super) block_tables: wgpu::Buffer,
    pub(super) rotations: wgpu::Buffer,
    pub(super) output_rows: wgpu::Buffer,
    activations: BTreeMap<Activation, wgpu::Buffer>,
    /// Keys and values by layer, f32 `[slots, kv_width]`.
    cache: Vec<[wgpu::Buffer; 2]>,
    /// Rows of the logits buffer.
    pub(super) max_outputs: u32,
    /// Bytes of everything but the cache.
    pub(super) scratch_bytes: u64,
}

/// Rows of logits that are computed at a time, memory permitting. More are computed in segments.
pub(crate) const MAX_OUTPUTS: u64 = 64;

impl StepMemory {
    pub(super) fn new(gpu: &Gpu, config: &ModelConfig, capacity: &Capacity) -> Self {
        let mut scratch_bytes = 0;
        let mut scratch = |label: &str, bytes: u64| {
            scratch_bytes += bytes;
            storage(gpu, label, bytes)
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
        let cache_bytes =
            u64::from(capacity.blocks) * u64::from(capacity.block_size) * u64::from(config.kv_width()) * 4;
        Self {
            header: gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("step"),
                size: size_of::<StepHeader>() as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
            rows: scratch("rows", rows * 16),
            block_tables: scratch("block tables", u64::from(capacity.max_chunks) * blocks_per_sequence * 4),
            rotations: scratch("rotations", rows * u64::from(config.rope.dims / 2) * 8),
            output_rows: scratch("output rows", rows * 4),
            activations,
            cache: (0..config.layers)
                .map(|layer| {
                    [format!("keys of layer {layer}"), format!("values of layer {layer}")]
                        .map(|label| storage(gpu, &label, cache_bytes))
                })
                .collect(),
            max_outputs: max_outputs as u32,
            scratch_bytes,
        }
    }

    pub(super) fn activation(&self, activation: Activation) -> &wgpu::Buffer {
        &self.activations[&activation]
    }

    pub(super) fn cache(&self, layer: u32) -> &[wgpu::Buffer; 2] {
        &self.cache[layer as usize]
    }

    /// Hands the step's data to the device, all but the header.
    pub(super) fn write(&self, gpu: &Gpu, step: &StepData) {
        let write = |buffer: &wgpu::Buffer, bytes: &[u8]| {
            if !bytes.is_empty() {
                gpu.queue.write_buffer(buffer, 0, bytes);
            }
        };
        write(&self.rows, bytemuck::cast_slice(&step.rows));
        write(&self.block_tables, bytemuck::cast_slice(&step.block_tables));
        write(&self.rotations, bytemuck::cast_slice(&step.rotations));
        write(&self.output_rows, bytemuck::cast_slice(&step.output_rows));
    }

    /// Points the head at the segment that starts with output row `output_base`; returns its rows.
    pub(super) fn write_header(&self, gpu: &Gpu, step: &StepData, output_base: u32) -> u32 {
        let outputs = (step.output_rows.len() as u32 - output_base).min(self.max_outputs);
        let header = StepHeader { rows: step.rows.len() as u32, table_stride: step.table_stride, output_base, outputs };
        gpu.queue.write_buffer(&self.header, 0, bytemuck::bytes_of(&header));
        outputs
    }
}
