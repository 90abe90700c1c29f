//! What the scheduler wants done.
//!
//! Commands are carried out in the order given. For each request accepted there is a run of `Emit`s numbered from 0, then
//! one `Finish`, then nothing.

use crate::events::{ClientId, RequestId};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tilewright_plan::{Sampled, StepId, StepPlan, TokenId};

/// What the scheduler wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Issue a step. Its end is reported by `StepDone`, `StepFailed` or `ExecutorLost`.
    RunStep {
        /// To be given back with the result.
        epoch: u64,
        /// To be given back with the result; larger than every step before, over all epochs.
        step: StepId,
        /// What to compute.
        plan: StepPlan,
    },
    /// Tokens for a client, a final stop id included.
    Emit {
        /// Whose.
        client: ClientId,
        /// Of which request.
        request: RequestId,
        /// 0, 1, 2, ... for each request, whatever happens to it in between.
        seq: u64,
        /// Not empty.
        tokens: Vec<Sampled>,
    },
    /// An accepted request's end.
    Finish {
        /// Whose.
        client: ClientId,
        /// Which request.
        request: RequestId,
        /// Why.
        reason: FinishReason,
        /// How many tokens of its prompt were not computed for it, because blocks that hold them were there.
        cached_tokens: u32,
    },
    /// A request that was never accepted.
    Reject {
        /// Whose.
        client: ClientId,
        /// Which request. With [`RejectReason::DuplicateRequest`] there is a live one of this name, and it goes on.
        request: RequestId,
        /// Why.
        reason: RejectReason,
    },
    /// The executor was lost: make another one and report it by `ExecutorReady` with this epoch.
    WantExecutor {
        /// The new executor's epoch.
        epoch: u64,
    },
}

/// Why an accepted request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// A stop or end id was drawn; it is the last token emitted.
    Stop,
    /// `max_tokens`, the model's context or all KV blocks are used up.
    Length,
    /// The client cancelled it or left.
    Cancelled,
    /// It waited for its first step, the queue was full, and a request that matters more took its place.
    Displaced,
    /// The executor was lost twice within a minute while it ran.
    DeviceLost,
    /// The executor's memory was reduced below what the request needs.
    CapacityReduced,
    /// The executor could not compute it.
    Failed,
}

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectReason {
    /// With one token generated it would not fit into an otherwise empty executor.
    #[error("the prompt has {tokens} tokens and the longest that can be served has {limit}; shorten it")]
    PromptTooLong {
        /// The prompt's.
        tokens: u64,
        /// The most that would be accepted.
        limit: u64,
    },
    /// Too many requests wait already.
    #[error("{waiting} requests{scope} wait already; send this one again when one of them has ended")]
    QueueFull {
        /// Whose queue is full.
        scope: QueueScope,
        /// How many wait in it.
        waiting: u64,
    },
    /// The client has a live request of this id.
    #[error("request {0} is still running; give each request an id of its own")]
    DuplicateRequest(RequestId),
    /// There is nothing to continue.
    #[error("the prompt has no tokens; give it at least one")]
    EmptyPrompt,
    /// A prompt token that the model does not know.
    #[error(
        "the prompt holds token id {token} and the model's vocabulary ends at {vocabulary}; use this model's tokenizer"
    )]
    UnknownToken {
        /// The first such token.
        token: TokenId,
        /// Ids are below it.
        vocabulary: u32,
    },
}

/// Whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueScope {
    /// This client's.
    Client,
    /// All clients' together.
    Global,
}

impl std::fmt::Display for QueueScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client => " of this client",
            Self::Global => "",
        })
    }
}
