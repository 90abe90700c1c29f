//! What happens to the scheduler.
//!
//! A request is named by its client and an id of the client's choosing, so that one tab can neither guess nor hit
//! another tab's request. Times are the caller's: the scheduler compares them and never asks for one.

use serde::{Deserialize, Serialize};
use std::fmt;
use tilewright_plan::{Capacity, Sampled, SamplingParams, SequenceId, StepId, TokenId};

/// A client: one tab, or one native caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u64);

/// A request, unique among its client's live ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// A duration in microseconds: a step on a fast GPU takes a few hundred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

/// Milliseconds since any fixed moment; never goes backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// Time since `earlier`; zero if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

macro_rules! shows_its_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
shows_its_number!(ClientId, RequestId, Micros, Millis);

/// How urgent a request says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Someone waits for it: ordered by what the client's user looks at.
    #[default]
    Interactive,
    /// Nobody waits for it: it comes after everything interactive, whatever its client's user looks at.
    Batch,
}

/// What a request asks for, ready to run: validated and tokenized by others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestSpec {
    /// Not empty.
    pub prompt: Vec<TokenId>,
    /// What an engine that is gone had already answered, for a request that goes on here. These tokens count as generated
    /// (`max_tokens`, `min_tokens`, penalties, positions of the random numbers) and are not emitted again.
    pub generated: Vec<TokenId>,
    /// Most tokens to generate; the context or the pool may end it earlier. 0 ends at once.
    pub max_tokens: u32,
    /// A stop or end id among the first `min_tokens - 1` generated tokens does not end the request. (The token itself
    /// is still drawn and emitted: ids are not masked.)
    pub min_tokens: u32,
    /// The request's own stop ids.
    pub stop_ids: Vec<TokenId>,
    /// The model's end-of-sequence ids.
    pub eos_ids: Vec<TokenId>,
    /// Go on after the model's end ids; `stop_ids` still count.
    pub ignore_eos: bool,
    /// How tokens are drawn; passed to the executor whenever the sequence is opened.
    pub sampling: SamplingParams,
    /// How urgent it is.
    pub priority: Priority,
    /// Splits the prefix cache: only requests with equal salts share blocks.
    pub cache_salt: Option<String>,
}

impl RequestSpec {
    /// A greedy request without stops.
    pub fn new(prompt: Vec<TokenId>, max_tokens: u32) -> Self {
        Self {
            prompt,
            generated: Vec::new(),
            max_tokens,
            min_tokens: 0,
            stop_ids: Vec::new(),
            eos_ids: Vec::new(),
            ignore_eos: false,
            sampling: SamplingParams::default(),
            priority: Priority::default(),
            cache_salt: None,
        }
    }
}

/// Why an executor that still works gave no output for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepFailure {
    /// It refused the plan and did nothing of it. The step's requests end with
    /// [`FinishReason::Failed`](crate::FinishReason::Failed).
    Refused,
    /// It ran the plan and this sequence's logits were not numbers. That request ends with
    /// [`FinishReason::Failed`](crate::FinishReason::Failed), the step's others are computed again.
    NotFinite(SequenceId),
}

/// What happens to the scheduler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A client wants tokens. Answered by `Reject`, or sooner or later by exactly one `Finish`.
    Submit {
        /// Whose request.
        client: ClientId,
        /// Not the id of another live request of that client.
        request: RequestId,
        /// What it asks for.
        spec: RequestSpec,
    },
    /// A client no longer wants a request. Unknown and ended ones are ignored, so it may be sent twice.
    Cancel {
        /// Whose request.
        client: ClientId,
        /// Which.
        request: RequestId,
    },
    /// A client came. Until it says otherwise it is visible and not focused.
    ClientHello {
        /// Who.
        client: ClientId,
    },
    /// A client left: all its requests are cancelled.
    ClientGone {
        /// Who.
        client: ClientId,
    },
    /// What the client's user sees: it decides who goes first, and a frozen client's requests stand still.
    ClientState {
        /// Whose state.
        client: ClientId,
        /// The tab is at least partly on screen.
        visible: bool,
        /// The tab has the keyboard.
        focused: bool,
        /// The browser has stopped the tab's scripts.
        frozen: bool,
    },
    /// A client has received a request's messages up to and including `seq`. A request whose client leaves
    /// [`credit_window`](crate::Config::credit_window) tokens unacknowledged stands still. A `seq` that was never emitted
    /// changes nothing.
    Ack {
        /// Who received.
        client: ClientId,
        /// Of which request.
        request: RequestId,
        /// The newest message received.
        seq: u64,
    },
    /// A step's output was read back. Any order is fine: outputs are used in the order of the steps.
    StepDone {
        /// Of the executor that ran it; other epochs than the current one are ignored.
        epoch: u64,
        /// The step.
        step: StepId,
        /// One token per chunk that sampled. Those of sequences closed meanwhile may be left out.
        tokens: Vec<Sampled>,
        /// How long the executor worked on it: since its issue, or since the end of the step before it if that was later.
        elapsed: Micros,
    },
    /// A step gave no output though the executor still works.
    StepFailed {
        /// Of the executor that ran it; other epochs than the current one are ignored.
        epoch: u64,
        /// The step.
        step: StepId,
        /// What went wrong.
        failure: StepFailure,
    },
    /// The executor is gone, with every block and every step in flight.
    ExecutorLost {
        /// Which one; others than the current one are ignored.
        epoch: u64,
        /// No request can be its cause: it moved, because a page was closed, or a better device came.
        moved: bool,
    },
    /// An executor can take steps.
    ExecutorReady {
        /// 0 for the first one, then the epoch of [`Command::WantExecutor`](crate::Command::WantExecutor); others are ignored.
        epoch: u64,
        /// What it can hold.
        capacity: Capacity,
    },
    /// The executor now has this many KV blocks: ids at or above are gone.
    Capacity {
        /// The new number.
        blocks: u32,
    },
}
