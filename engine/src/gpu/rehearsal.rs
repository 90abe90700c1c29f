//! Steps that serve nobody, to see how fast the real ones would be.
//!
//! A kernel that is fastest alone may not be in a step. A rehearsal is a whole step, body, head and sampler, of made-up tokens:
//! its keys and values go to a block of the cache that no sequence is ever told of, all positions of the sequence to the same
//! sixteen slots, and its token to a place that the next real step overwrites. So it may be run on a loaded model between
//! chats, and takes no memory.

use super::executor::GpuExecutor;
use super::flight::Read;
use crate::graph::StepData;
use crate::kernels::sample::{SampleRecords, SampledRow};
use crate::sampling::TokenHistory;
use std::rc::Weak;
use tilewright_plan::{BlockId, Chunk, ChunkOutput, SamplingParams, SequenceId, StepId, TokenId, TokenSource};

/// A made-up step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// One token for each of so many sequences of so many tokens.
    Decode {
        /// Rows of the step.
        sequences: u32,
        /// Tokens that each has.
        context: u32,
    },
    /// So many tokens of a prompt, from its beginning.
    Prefill {
        /// Rows of the step.
        tokens: u32,
    },
}

impl Rehearsal {
    /// Tokens that are computed.
    pub fn tokens(&self) -> u32 {
        match *self {
            Self::Decode { sequences, .. } => sequences,
            Self::Prefill { tokens } => tokens,
        }
    }
}

impl GpuExecutor {
    /// Submits a rehearsal; `false` while other steps are in flight, and on a lost device. It is smaller if the executor is.
    pub(super) fn rehearse(&mut self, rehearsal: &Rehearsal) -> bool {
        if self.gpu.check().is_err() || self.flight.borrow().len() > 0 {
            return false;
        }
        let capacity = self.capacity;
        let (sequences, start, rows) = match *rehearsal {
            Rehearsal::Decode { sequences, context } => {
                (sequences.min(capacity.max_chunks), context.min(capacity.max_context - 1), 1)
            }
            Rehearsal::Prefill { tokens } => (1, 0, tokens.min(capacity.max_rows).min(capacity.max_context)),
        };
        let spare = BlockId(capacity.blocks);
        let blocks = (start + rows).div_ceil(capacity.block_size) as usize;
        let token = |row: u32| TokenSource::Id(TokenId(row % capacity.vocabulary));
        let chunks: Vec<Chunk> = (0..sequences)
            .map(|sequence| Chunk {
                sequence: SequenceId(sequence.into()),
                start,
                tokens: (0..rows).map(token).collect(),
                block_table: vec![spare; blocks],
                output: ChunkOutput::Sample,
            })
            .collect();
        let ids: Vec<u32> = (0..sequences * rows).map(|row| row % capacity.vocabulary).collect();
        let data = StepData::new(&chunks, &ids, capacity.block_size, &self.frequencies);
        let (params, history) = (SamplingParams::default(), TokenHistory::new(&[], 0));
        let first_place = self.sampler.first_place(self.issued);
        let sampled = |place| {
            let position = start + rows;
            Some(SampledRow {
                params: &params,
                history: &history,
                position,
                place: first_place + place,
                pending: &[],
                mask: None,
            })
        };
        let sampled: Vec<_> = (0..sequences).map(sampled).collect();
        let records = SampleRecords::new(&sampled, capacity.vocabulary);
        // Nobody waits for its output, but its staging buffer is to be used again.
        self.rehearsed.retain_mut(|earlier| earlier.reads.iter_mut().any(Read::is_waiting));
        let in_flight = self.submit(StepId(0), &data, &chunks, Vec::new(), &records, first_place, Weak::new());
        self.rehearsed.push(in_flight);
        true
    }
}
