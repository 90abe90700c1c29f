//! Sampling on the GPU: its dispatches, and the place of each sampled token.
//!
//! A sampled token is written to a ring of places, one per chunk of a step, where the embedding of a later step reads it: the
//! token need not be known to the CPU before that step is issued. What biases, penalties and masks need is in buffers of their
//! own that grow when they have to, since few requests have any.

use super::Gpu;
use super::binder::{Binder, bind_group};
use super::dispatch::{Dispatch, Kernel};
use super::memory::StepMemory;
use super::pipelines::{Access, Pipelines};
use super::sampler_memory::{RING, SamplerMemory};
use super::weights::lasting;
use crate::graph::{Activation, RowSet};
use crate::kernels::KernelVariant;
use crate::kernels::sample::SampleRecords;
use crate::kernels::source::KernelShape;
use Access::{Read, ReadWrite, Uniform};

/// The sampler's dispatches.
pub(super) struct Sampler {
    max_chunks: u32,
    adjust: Dispatch,
    mask: Dispatch,
    /// Survey, sift and search.
    filter: [Dispatch; 3],
    scan: Dispatch,
    pick: Dispatch,
}

impl Sampler {
    pub(super) fn new(binder: &mut Binder<'_>, max_chunks: u32) -> Self {
        let (gpu, config, memory) = (binder.gpu, binder.config, binder.memory);
        let software = gpu.is_software();
        let SamplerMemory { sampled, entries, masks, least, best, surveys, states, listed } = &memory.sampler;
        let logits = memory.activation(Activation::Logits);
        let shape = KernelShape::Logits { vocabulary: config.vocabulary, stride: Activation::Logits.stride(config) };
        let (header, words) = ((0, Uniform, &memory.step), (1, Read, &memory.step));
        let mut bind = |kernel, bindings: &[(u32, Access, &wgpu::Buffer)]| {
            let all = [&[header, words], bindings].concat();
            binder.dispatch(kernel, shape.clone(), RowSet::Outputs, &all)
        };
        let [survey, sift, search] = KernelVariant::filter(software).map(Kernel::Fixed);
        Self {
            adjust: bind(
                Kernel::Fixed(KernelVariant::default_adjust(software)),
                &[(2, ReadWrite, logits), (3, Read, entries), (4, Read, sampled)],
            ),
            mask: bind(
                Kernel::Fixed(KernelVariant::default_mask(software)),
                &[(2, ReadWrite, logits), (3, Read, masks)],
            ),
            filter: [
                bind(survey, &[(2, Read, logits), (3, ReadWrite, surveys), (4, ReadWrite, states)]),
                bind(sift, &[(2, Read, logits), (3, Read, surveys), (4, ReadWrite, states), (5, ReadWrite, listed)]),
                bind(search, &[(2, Read, logits), (3, Read, states), (4, Read, listed), (5, ReadWrite, least)]),
            ],
            scan: bind(Kernel::Scan, &[(2, Read, logits), (3, Read, least), (4, ReadWrite, best)]),
            pick: bind(Kernel::Pick, &[(2, Read, best), (3, ReadWrite, sampled)]),
            max_chunks,
        }
    }

    /// All of them.
    pub(super) fn all(&mut self) -> [&mut Dispatch; 7] {
        let [survey, sift, search] = &mut self.filter;
        [&mut self.adjust, &mut self.mask, survey, sift, search, &mut self.scan, &mut self.pick]
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

    /// Hands entries and masks to the device, in larger buffers if need be.
    pub(super) fn write(
        &mut self,
        gpu: &Gpu,
        pipelines: &mut Pipelines,
        memory: &mut StepMemory,
        records: &SampleRecords,
    ) {
        let entries_grew = write(gpu, &mut memory.sampler.entries, "biases and penalties", &records.entries);
        let masks_grew = write(gpu, &mut memory.sampler.masks, "masks", &records.masks);
        let (step, logits) = (&memory.step, memory.activation(Activation::Logits));
        let SamplerMemory { sampled, entries, masks, .. } = &memory.sampler;
        let header = [(0, Uniform, step), (1, Read, step), (2, ReadWrite, logits)];
        if entries_grew {
            let bindings = [&header[..], &[(3, Read, entries), (4, Read, sampled)]].concat();
            self.adjust.bind_group = bind_group(gpu, pipelines, step, &bindings);
        }
        if masks_grew {
            let bindings = [&header[..], &[(3, Read, masks)]].concat();
            self.mask.bind_group = bind_group(gpu, pipelines, step, &bindings);
        }
    }

    /// The dispatches that a step's rows need, in their order.
    pub(super) fn dispatches(&mut self, records: &SampleRecords) -> impl Iterator<Item = &mut Dispatch> {
        let SampleRecords { adjusted, filtered, any, .. } = *records;
        let needed = [adjusted, !records.masks.is_empty(), filtered, filtered, filtered, any, any];
        self.all().into_iter().zip(needed).filter_map(|(dispatch, needed)| needed.then_some(dispatch))
    }
}

/// Writes words to a buffer, or to a larger one that takes its place: whether it did.
fn write(gpu: &Gpu, buffer: &mut wgpu::Buffer, label: &str, words: &[u32]) -> bool {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let grows = bytes.len() as u64 > buffer.size();
    if grows {
        // Steps in flight keep the old one until they are done.
        gpu.release(buffer);
        *buffer = lasting(gpu, label, (bytes.len() as u64).next_power_of_two());
    }
    if !bytes.is_empty() {
        gpu.queue.write_buffer(buffer, 0, bytes);
    }
    grows
}
