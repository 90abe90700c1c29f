//! What the sampler works in: the ring of places where sampled tokens are written, and what its kernels tell each other of a row.
//!
//! What few requests have, biases, penalties and masks, has little room at first; [`sampler`](super::sampler) makes more.

use super::Gpu;
use super::weights::lasting;
use crate::kernels::sample::{LISTED, STATE_WORDS, SURVEY_WORDS};
use crate::kernels::variant::{MOST_CHUNKS, MOST_GROUPS};

/// Steps whose sampled tokens have places of their own.
pub(super) const RING: u32 = 8;

/// Bytes of entries that there is room for at first: a history of some two thousand tokens.
const ENTRIES_BYTES: u64 = 24 << 10;

/// The sampler's buffers.
pub(super) struct SamplerMemory {
    /// Token and whether its logits were finite, two words each `[RING, max_chunks]`.
    pub(super) sampled: wgpu::Buffer,
    /// Token, bias and occurrences, three words each.
    pub(super) entries: wgpu::Buffer,
    /// A bit for each token that may be drawn, `[rows that have a mask, vocabulary / 32, rounded up]`.
    pub(super) masks: wgpu::Buffer,
    /// What filters leave, two words each `[outputs]`.
    pub(super) least: wgpu::Buffer,
    /// The best of each part, four words each `[outputs, parts]`.
    pub(super) best: wgpu::Buffer,
    /// `[outputs, parts, SURVEY_WORDS]`.
    pub(super) surveys: wgpu::Buffer,
    /// `[outputs, STATE_WORDS]`.
    pub(super) states: wgpu::Buffer,
    /// Candidates, two words each `[outputs, LISTED]`.
    pub(super) listed: wgpu::Buffer,
}

impl SamplerMemory {
    /// For so many chunks and rows of logits at a time.
    pub(super) fn new(gpu: &Gpu, vocabulary: u32, max_chunks: u32, max_outputs: u64) -> Self {
        let groups = if gpu.is_software() { 4 } else { MOST_GROUPS };
        let of_outputs = |label: &str, bytes: u64| lasting(gpu, label, max_outputs * bytes);
        Self {
            sampled: lasting(gpu, "sampled tokens", u64::from(RING * max_chunks) * 8),
            entries: lasting(gpu, "biases and penalties", ENTRIES_BYTES),
            masks: lasting(gpu, "masks", u64::from(vocabulary.div_ceil(32)) * 4),
            least: of_outputs("least candidates", 8),
            best: of_outputs("best of parts", u64::from(MOST_CHUNKS) * 16),
            surveys: of_outputs("surveys of logits", u64::from(groups * SURVEY_WORDS) * 4),
            states: of_outputs("states of filters", u64::from(STATE_WORDS) * 4),
            listed: of_outputs("listed candidates", u64::from(LISTED) * 8),
        }
    }

    /// Bytes of all.
    pub(super) fn bytes(&self) -> u64 {
        let Self { sampled, entries, masks, least, best, surveys, states, listed } = self;
        [sampled, entries, masks, least, best, surveys, states, listed].map(wgpu::Buffer::size).iter().sum()
    }
}
