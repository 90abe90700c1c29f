//! One step: ragged rows of many sequences over paged KV blocks.
//!
//! A step holds at most one [`Chunk`] per sequence: one row while it decodes, many while its prompt is prefilled; both
//! kinds share a step. Row `i` of a chunk is the token at position `start + i`; its key and value are written to slot
//! `position % block_size` of block `block_table[position / block_size]` and it attends to positions `0..=position` of
//! the same table. Whoever plans guarantees that earlier positions were computed by earlier steps (or stand in shared
//! prefix blocks), and that no two chunks write the same slot.
//!
//! Sampler state lives with the executor: a sequence is opened once with its parameters and all its tokens so far
//! (penalties look at them), and the executor appends each token that it samples. That is what lets a step be issued
//! before the last one's token is known to anyone but the GPU.

use crate::{BlockId, SamplingParams, SequenceId, StepId, TokenId};
use serde::{Deserialize, Serialize};

/// What one forward pass computes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    /// Sequences whose sampler state is dropped, before anything else of this step.
    pub close: Vec<SequenceId>,
    /// Sequences that begin, or begin again after a preemption.
    pub open: Vec<OpenSequence>,
    /// Rows to compute. May be empty when a step only closes sequences.
    pub chunks: Vec<Chunk>,
    /// What the sequences of some chunks that sample may draw; the others draw from the whole vocabulary.
    pub masks: Vec<TokenMask>,
}

/// Tokens that a sequence may draw in a step: a grammar's, say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMask {
    /// Whose draw it is for.
    pub sequence: SequenceId,
    /// A bit per token, u32 `[vocabulary / 32, rounded up]`: token `t` may be drawn if bit `t % 32` of word `t / 32` is set. One at
    /// least is.
    pub allowed: Vec<u32>,
}

impl StepPlan {
    /// Rows over all chunks.
    pub fn rows(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.tokens.len()).sum()
    }

    /// The bits of a sequence's [`TokenMask`], if it has one.
    pub fn mask(&self, sequence: SequenceId) -> Option<&[u32]> {
        self.masks.iter().find(|mask| mask.sequence == sequence).map(|mask| mask.allowed.as_slice())
    }
}

/// A sequence's sampler state at its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenSequence {
    /// The sequence.
    pub sequence: SequenceId,
    /// Prompt tokens, then tokens generated before a preemption.
    pub tokens: Vec<TokenId>,
    /// How many of `tokens` are the prompt: frequency and presence penalties count only what comes after.
    pub prompt_len: u32,
    /// How its tokens are drawn.
    pub sampling: SamplingParams,
}

/// Consecutive rows of one sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// Whose rows these are.
    pub sequence: SequenceId,
    /// Position of the first row.
    pub start: u32,
    /// One source per row; not empty.
    pub tokens: Vec<TokenSource>,
    /// Covers positions `0 .. start + tokens.len()`; may be longer.
    pub block_table: Vec<BlockId>,
    /// What is asked of the rows.
    pub output: ChunkOutput,
}

impl Chunk {
    /// Rows whose logits are needed: the last, all of them, or none.
    pub fn outputs(&self) -> usize {
        match self.output {
            ChunkOutput::None => 0,
            ChunkOutput::Sample | ChunkOutput::LastLogits => 1,
            ChunkOutput::AllLogits => self.tokens.len(),
        }
    }
}

/// Where a row's token id comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenSource {
    /// A known id.
    Id(TokenId),
    /// The id that this sequence samples in an earlier step, which may still be in flight.
    SampledBy(StepId),
}

/// What a chunk gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChunkOutput {
    /// Only its keys and values matter: a prompt's chunk before the last.
    None,
    /// A token sampled from the last row's logits.
    Sample,
    /// The logits of the last row.
    LastLogits,
    /// The logits of every row.
    AllLogits,
}

/// What a step gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepOutput {
    /// One entry per chunk that asked for [`ChunkOutput::Sample`], in the plan's order.
    pub sampled: Vec<Sampled>,
    /// f32 `[rows asked for, vocabulary]`, in the plan's order; empty when no chunk asked for logits.
    pub logits: Vec<f32>,
}

/// A sampled token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Whose token it is.
    pub sequence: SequenceId,
    /// The token.
    pub token: TokenId,
    /// Its natural log-probability before penalties and temperature; `Some` if [`SamplingParams::top_logprobs`] is.
    pub logprob: Option<f32>,
    /// The most likely tokens with theirs, most likely first.
    pub top_logprobs: Vec<(TokenId, f32)>,
}
