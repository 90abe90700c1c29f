//! One request: its tokens, its block table, how far it is computed.
//!
//! Three lengths describe it, and they only differ while it moves:
//!
//! - `tokens.len()`: ids that are known;
//! - [`Sequence::len`]: those and the ones that steps in flight will sample (`pending`);
//! - `computed`: positions whose keys and values are written, or will be by steps in flight.
//!
//! A running sequence with `computed + 1 == len()` decodes; with less computed it prefills, be it for the first time or again
//! after a preemption.

use crate::commands::FinishReason;
use crate::events::{ClientId, Millis, RequestId, RequestSpec};
use std::collections::VecDeque;
use tilewright_plan::{BlockId, OpenSequence, SequenceId, StepId, TokenId, TokenSource};

/// Where a request stands in line: a larger number came later. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrival(pub(crate) u64);

/// One request.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) client: ClientId,
    pub(crate) request: RequestId,
    pub(crate) spec: RequestSpec,
    /// The prompt, then what was generated.
    pub(crate) tokens: Vec<TokenId>,
    /// Steps in flight that will each add a token, in order.
    pub(crate) pending: VecDeque<StepId>,
    /// Covers at least `computed` positions. Empty unless running.
    pub(crate) table: Vec<BlockId>,
    pub(crate) computed: usize,
    /// The executor's name for it, from the first chunk after an admission on.
    pub(crate) open: Option<SequenceId>,
    /// The newest step with a chunk of this sequence since its admission.
    pub(crate) newest_step: Option<StepId>,
    /// Whether it has ever been admitted.
    pub(crate) started: bool,
    /// The number of its next `Emit`.
    pub(crate) next_seq: u64,
    /// When the executor was last lost while it ran.
    pub(crate) lost_at: Option<Millis>,
}

impl Sequence {
    pub(crate) fn new(client: ClientId, request: RequestId, spec: RequestSpec) -> Self {
        Self {
            client,
            request,
            tokens: spec.prompt.clone(),
            spec,
            pending: VecDeque::new(),
            table: Vec::new(),
            computed: 0,
            open: None,
            newest_step: None,
            started: false,
            next_seq: 0,
            lost_at: None,
        }
    }

    /// Tokens known and under way.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len() + self.pending.len()
    }

    fn generated(&self) -> usize {
        self.tokens.len() - self.spec.prompt.len()
    }

    /// Rows that it could compute now. None once the tokens under way are as many as it may have: whether they are
    /// the last is known for lengths ahead of time, for stop ids only when they arrive.
    pub(crate) fn rows_left(&self, limit: usize) -> usize {
        let full = self.len() >= limit || self.generated() + self.pending.len() >= self.spec.max_tokens as usize;
        if full { 0 } else { self.len() - self.computed }
    }

    /// What the rows at the next `count` positions read.
    pub(crate) fn sources(&self, count: usize) -> Vec<TokenSource> {
        (self.computed..self.computed + count)
            .filter_map(|position| match self.tokens.get(position) {
                Some(&token) => Some(TokenSource::Id(token)),
                None => self.pending.get(position - self.tokens.len()).map(|&step| TokenSource::SampledBy(step)),
            })
            .collect()
    }

    /// How the executor is told of it.
    pub(crate) fn opening(&self, sequence: SequenceId) -> OpenSequence {
        OpenSequence {
            sequence,
            tokens: self.tokens.clone(),
            prompt_len: self.spec.prompt.len() as u32,
            sampling: self.spec.sampling.clone(),
        }
    }

    /// Takes a token; says whether it was the last.
    pub(crate) fn push(&mut self, token: TokenId, limit: usize) -> Option<FinishReason> {
        self.tokens.push(token);
        let ends = self.spec.stop_ids.contains(&token) || (!self.spec.ignore_eos && self.spec.eos_ids.contains(&token));
        if ends && self.generated() >= self.spec.min_tokens as usize {
            Some(FinishReason::Stop)
        } else if self.generated() >= self.spec.max_tokens as usize || self.tokens.len() >= limit {
            Some(FinishReason::Length)
        } else {
            None
        }
    }

    /// Back to nothing computed. Gives what the executor held: blocks, and the sequence to close if it was opened.
    /// Tokens under way stay so: they are right, and the next opening waits for them.
    pub(crate) fn unseat(&mut self) -> (Vec<BlockId>, Option<SequenceId>) {
        self.computed = 0;
        self.newest_step = None;
        (std::mem::take(&mut self.table), self.open.take())
    }
}
