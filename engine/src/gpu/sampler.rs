//! Sampling on the GPU: its buffers, its dispatches, and the place of each sampled token.
//!
//! A sampled token is written to a ring of places, one per chunk of a step, where the embedding of a later step reads it: the
//! token need not be known to the CPU before that step is issued. What biases and penalties need is in a buffer of its own that
//! grows with the longest history, since few requests have any.

use super::Gpu;
use super::binder::{Binder, bind_group};
use super::dispatch::{Dispatch, Kernel};
use super::memory::StepMemory;
use super::pipelines::{Access, Pipelines};
use super::weights::storage;
use crate::graph::{Activation, RowSet};
use crate::kernels::KernelVariant;
use crate::kernels::sample::SampleRecords;
use crate::kernels::source::KernelShape;
use crate::kernels::variant::{MOST_CHUNKS, SEGMENT};
use Access::{Read, ReadWrite, Uniform};

/// Steps whose sampled tokens have places of their own.
pub(super) const RING: u32 = 8;

/// The sampler's buffers and dispatches.
pub(super) struct Sampler {
    /// Token and whether its logits were finite, two words each `[RING, max_chunks]`.
    pub(super) sampled: wgpu::Buffer,
    max_chunks: u32,
    entries: wgpu::Buffer,
    adjust: Dispatch,
    survey: Dispatch,
    filter: Dispatch,
    scan: Dispatch,
    pick: Dispatch,
    /// Bytes of its buffers.
    pub(super) scratch_bytes: u64,
}

/// Candidates of a row that are listed: more than top-p leaves of most rows, and little beside the row's logits.
const CANDIDATES: u32 = 4096;

/// Bytes of entries that there is room for at first: a history of some two thousand tokens.
const ENTRIES_BYTES: u64 = 24 << 10;

/// Where sampled tokens go.
pub(super) fn places(gpu: &Gpu, max_chunks: u32) -> wgpu::Buffer {
    storage(gpu, "sampled tokens", u64::from(RING * max_chunks) * 8)
}

impl Sampler {
    pub(super) fn new(binder: &mut Binder<'_>, max_chunks: u32) -> Self {
        let (gpu, config, memory) = (binder.gpu, binder.config, binder.memory);
        let software = gpu.is_software();
        let outputs = u64::from(memory.max_outputs);
        let sampled = binder.sampled.clone();
        let entries = storage(gpu, "biases and penalties", ENTRIES_BYTES);
        let least = storage(gpu, "least candidates", outputs * 8);
        let best = storage(gpu, "best of parts", outputs * u64::from(MOST_CHUNKS) * 16);
        let logits = memory.activation(Activation::Logits);
        let shape = KernelShape::Logits { vocabulary: config.vocabulary, stride: Activation::Logits.stride(config) };
        let (header, words) = ((0, Uniform, &memory.step), (1, Read, &memory.step));
        let mut bind = |kernel, bindings: &[(u32, Access, &wgpu::Buffer)]| {
            let all = [&[header, words], bindings].concat();
            binder.dispatch(kernel, shape.clone(), RowSet::Outputs, &all)
        };
        let segments =
            storage(gpu, "stretches of logits", outputs * u64::from(config.vocabulary.div_ceil(SEGMENT)) * 8);
        let listed = storage(gpu, "candidates", outputs * u64::from(CANDIDATES) * 8);
        let workgroup = if software { 16 } else { 128 };
        Self {
            adjust: bind(
                Kernel::Fixed(KernelVariant::SampleAdjust { workgroup: if software { 16 } else { 64 } }),
                &[(2, ReadWrite, logits), (3, Read, &entries), (4, Read, &sampled)],
            ),
            survey: bind(
                Kernel::Fixed(KernelVariant::SampleSurvey { workgroup: workgroup.min(64) }),
                &[(2, Read, logits), (3, ReadWrite, &segments)],
            ),
            filter: bind(
                Kernel::Fixed(KernelVariant::SampleFilter { workgroup, capacity: CANDIDATES }),
                &[(2, Read, logits), (3, Read, &segments), (4, ReadWrite, &listed), (5, ReadWrite, &least)],
            ),
            scan: bind(Kernel::Scan, &[(2, Read, logits), (3, Read, &least), (4, ReadWrite, &best)]),
            pick: bind(Kernel::Pick, &[(2, Read, &best), (3, ReadWrite, &sampled)]),
            scratch_bytes: [&sampled, &entries, &segments, &listed, &least, &best].map(wgpu::Buffer::size).iter().sum(),
            sampled,
            entries,
            max_chunks,
        }
    }

    /// All of them.
    pub(super) fn all(&mut self) -> [&mut Dispatch; 5] {
        [&mut self.adjust, &mut self.survey, &mut self.filter, &mut self.scan, &mut self.pick]
    }

    /// What finds tokens, whose variant may be chosen.
    pub(super) fn scan(&self) -> &Dispatch {
        &self.scan
    }

    /// The first place of a step's tokens; `ring` counts steps.
    pub(super) fn first_place(&self, ring: u64) -> u32 {
        (ring % u64::from(RING)) as u32 * self.max_chunks
    }

    /// Dispatches of a row without penalties and filters.
    pub(super) const DISPATCHES: u32 = 2;

    /// Compiles all of it: nothing could stand in for what is refused later.
    pub(super) fn prepare(&mut self, gpu: &Gpu, pipelines: &mut Pipelines) {
        for dispatch in self.all() {
            dispatch.prepare(gpu, pipelines, 1);
        }
    }

    /// Hands the entries to the device, in a larger buffer if need be.
    pub(super) fn write(&mut self, gpu: &Gpu, pipelines: &mut Pipelines, memory: &StepMemory, records: &SampleRecords) {
        if records.entries.is_empty() {
            return;
        }
        let bytes: &[u8] = bytemuck::cast_slice(&records.entries);
        if bytes.len() as u64 > self.entries.size() {
            self.entries = storage(gpu, "biases and penalties", (bytes.len() as u64).next_power_of_two());
            let logits = memory.activation(Activation::Logits);
            let bindings = [
                (0, Uniform, &memory.step),
                (1, Read, &memory.step),
                (2, ReadWrite, logits),
                (3, Read, &self.entries),
                (4, Read, &self.sampled),
            ];
            self.adjust.bind_group = bind_group(gpu, pipelines, &memory.step, &bindings);
        }
        gpu.queue.write_buffer(&self.entries, 0, bytes);
    }

    /// The dispatches that a step's rows need, in their order.
    pub(super) fn dispatches(&mut self, records: &SampleRecords) -> impl Iterator<Item = &mut Dispatch> {
        let adjust = records.adjusted.then_some(&mut self.adjust);
        let (survey, filter) =
            if records.filtered { (Some(&mut self.survey), Some(&mut self.filter)) } else { (None, None) };
        let (scan, pick) = if records.any { (Some(&mut self.scan), Some(&mut self.pick)) } else { (None, None) };
        [adjust, survey, filter, scan, pick].into_iter().flatten()
    }
}
