//! One request: its tokens, its block table, how far it is computed.
//!
//! Four lengths describe it, and they only differ while it moves:
//!
//! - `tokens.len()`: ids that are known;
//! - [`Sequence::len`]: those and the ones that steps in flight will sample (`pending`);
//! - `computed`: positions whose keys and values are written, or will be by steps in flight;
//! - `settled`: positions whose keys and values are written for certain, by steps that are done. Full blocks up to here
//!   can be shared.
//!
//! A running sequence with `computed + 1 == len()` decodes; with less computed it prefills, be it for the first time or again
//! after a preemption.

use crate::commands::FinishReason;
use crate::events::{ClientId, Millis, RequestId, RequestSpec};
use crate::prefix::PrefixHash;
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
    pub(crate) settled: usize,
    /// Names of the full blocks of `tokens`, as far as anybody asked.
    names: Vec<PrefixHash>,
    /// Blocks of the table that have their names.
    published: usize,
    /// The executor's name for it, from the first chunk after an admission on.
    pub(crate) open: Option<SequenceId>,
    /// The newest step with a chunk of this sequence since its admission.
    pub(crate) newest_step: Option<StepId>,
    /// The number of the chunk that it got last, over all requests.
    pub(crate) last_served: u64,
    /// Steps since it last had rows that it could have had some in, and stood back for others.
    pub(crate) skipped: u32,
    /// Whether it has ever been admitted.
    pub(crate) started: bool,
    /// Whether it has not been preempted since it first was.
    first_seat: bool,
    /// Prompt tokens that were not computed for it then.
    pub(crate) cached: usize,
    /// The number of its latest admission.
    pub(crate) admitted: u64,
    pub(crate) waiting_since: Millis,
    /// Classes that it has gained by waiting.
    pub(crate) raised: u64,
    /// The number of its next `Emit`.
    pub(crate) next_seq: u64,
    /// How many of those were acknowledged.
    pub(crate) acknowledged: u64,
    /// When the executor was last lost while it ran.
    pub(crate) lost_at: Option<Millis>,
}

impl Sequence {
    pub(crate) fn new(client: ClientId, request: RequestId, spec: RequestSpec, now: Millis) -> Self {
        Self {
            client,
            request,
            tokens: [&spec.prompt[..], &spec.generated[..]].concat(),
            spec,
            pending: VecDeque::new(),
            table: Vec::new(),
            computed: 0,
            settled: 0,
            names: Vec::new(),
            published: 0,
            open: None,
            newest_step: None,
            last_served: 0,
            skipped: 0,
            started: false,
            first_seat: false,
            cached: 0,
            admitted: 0,
            waiting_since: now,
            raised: 0,
            next_seq: 0,
            acknowledged: 0,
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

    /// Tokens emitted and not acknowledged: one per `Emit`.
    pub(crate) fn unacknowledged(&self) -> usize {
        (self.next_seq - self.acknowledged) as usize
    }

    /// Whether what is under way may already be all that the client has credit for.
    pub(crate) fn out_of_credit(&self, window: u32) -> bool {
        self.unacknowledged() + self.pending.len() >= window as usize
    }

    /// Rows that it could compute now. None once the tokens under way are as many as it may have: whether they are
    /// the last is known for lengths ahead of time, for stop ids only when they arrive.
    pub(crate) fn rows_left(&self, limit: usize) -> usize {
        let full = self.len() >= limit || self.generated() + self.pending.len() >= self.spec.max_tokens as usize;
        if full { 0 } else { self.len() - self.computed }
    }

    /// Whether it has one row to compute, and is not a newcomer whose whole prompt that is.
    pub(crate) fn decodes(&self, limit: usize) -> bool {
        self.newest_step.is_some() && self.rows_left(limit) == 1
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
        self.end(limit)
    }

    /// Whether the tokens so far are all.
    pub(crate) fn end(&self, limit: usize) -> Option<FinishReason> {
        let generated = self.generated();
        let stops = self.tokens.last().filter(|_| generated > 0).is_some_and(|token| {
            self.spec.stop_ids.contains(token) || (!self.spec.ignore_eos && self.spec.eos_ids.contains(token))
        });
        if stops && generated >= self.spec.min_tokens as usize {
            Some(FinishReason::Stop)
        } else if generated >= self.spec.max_tokens as usize || self.tokens.len() >= limit {
            Some(FinishReason::Length)
        } else {
            None
        }
    }

    /// Parent, name and tokens of the full block at `index`, all of whose tokens are known.
    pub(crate) fn block_name(&mut self, index: usize, block_size: usize) -> (PrefixHash, PrefixHash, &[TokenId]) {
        let root = PrefixHash::root(self.spec.cache_salt.as_deref());
        while self.names.len() <= index {
            let at = self.names.len() * block_size;
            let parent = self.names.last().copied().unwrap_or(root);
            self.names.push(parent.then(&self.tokens[at..at + block_size]));
        }
        let parent = index.checked_sub(1).map_or(root, |before| self.names[before]);
        (parent, self.names[index], &self.tokens[index * block_size..][..block_size])
    }

    /// Other blocks have other names.
    pub(crate) fn forget_names(&mut self) {
        self.names.clear();
    }

    /// Is seated on a table whose first `shared` blocks hold what it would write.
    pub(crate) fn seat(&mut self, table: Vec<BlockId>, shared: usize, block_size: usize) {
        self.table = table;
        self.published = shared;
        self.computed = shared * block_size;
        self.settled = self.computed;
        self.first_seat = !self.started;
        if self.first_seat {
            self.cached = self.computed.min(self.spec.prompt.len());
        }
        self.started = true;
        self.skipped = 0;
    }

    /// The block of the prompt that it computes next, if nothing of it is computed and it isn't the last.
    pub(crate) fn next_to_adopt(&self, block_size: usize) -> Option<usize> {
        let index = self.computed / block_size;
        let whole = self.computed.is_multiple_of(block_size) && self.published == index;
        (whole && index < (self.tokens.len() - 1) / block_size).then_some(index)
    }

    /// Takes a block that holds what it would compute next; gives the one that it had for it.
    pub(crate) fn adopt(&mut self, block: BlockId, index: usize, block_size: usize) -> BlockId {
        self.computed += block_size;
        self.settled = self.computed;
        self.published += 1;
        if self.first_seat {
            self.cached = (self.cached + block_size).min(self.spec.prompt.len());
        }
        std::mem::replace(&mut self.table[index], block)
    }

    /// The next block of the table that is settled and has no name yet.
    pub(crate) fn next_to_publish(&mut self, block_size: usize) -> Option<usize> {
        let next = self.published;
        let settled = self.settled.min(self.tokens.len());
        (next < self.table.len() && (next + 1) * block_size <= settled).then(|| {
            self.published += 1;
            next
        })
    }

    /// Back to nothing computed. Gives what the executor held: blocks, and the sequence to close if it was opened.
    /// Tokens under way stay so: they are right, and the next opening waits for them.
    pub(crate) fn unseat(&mut self) -> (Vec<BlockId>, Option<SequenceId>) {
        self.computed = 0;
        self.settled = 0;
        self.published = 0;
        self.newest_step = None;
        self.first_seat = false;
        self.skipped = 0;
        (std::mem::take(&mut self.table), self.open.take())
    }
}
