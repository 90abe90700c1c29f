//! What a service is told and what it says.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tilewright_api::{ApiError, Endpoint};
use tilewright_plan::TokenId;
use tilewright_scheduler::{ClientId, FinishReason, RequestId, Snapshot};

/// What a service is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client came.
    Hello {
        /// Who.
        client: ClientId,
    },
    /// A client left. Its requests end and nothing more is said to it.
    Gone {
        /// Who.
        client: ClientId,
    },
    /// What a client's user sees: it decides whose requests go first.
    State {
        /// Whose state.
        client: ClientId,
        /// The tab is at least partly on screen.
        visible: bool,
        /// The tab has the keyboard.
        focused: bool,
        /// The browser has stopped the tab's scripts.
        frozen: bool,
    },
    /// A request in `OpenAI`'s form. Answered by chunks and `Done`, or by `Error`.
    Submit {
        /// Whose.
        client: ClientId,
        /// Not the id of another live request of this client.
        request: RequestId,
        /// What the body is for.
        endpoint: Endpoint,
        /// The JSON body.
        body: Value,
        /// What an engine that is gone had already answered, if one had begun.
        resume: Option<Resume>,
    },
    /// A request is no longer wanted. It ends with what it has; unknown ones are ignored.
    Cancel {
        /// Whose.
        client: ClientId,
        /// Which.
        request: RequestId,
    },
    /// A client has read a request's chunks up to and including `seq`. A request whose client leaves 256 tokens unread
    /// stands still until it reads on. Chunks that were never sent can't be acknowledged: that changes nothing.
    Ack {
        /// Who.
        client: ClientId,
        /// Of which request.
        request: RequestId,
        /// The newest chunk read.
        seq: u64,
    },
    /// The executor has less memory from now on, or as much as it had before: so many KV blocks, never more than it was made
    /// with. Requests that fit no longer end with an error, the others go on.
    Capacity {
        /// The new number.
        blocks: u32,
    },
    /// The executor is gone, though no step says so, or a better one can be had: another one is asked of the source, now and
    /// not when the next request comes. Ignored while one is being made.
    ExecutorGone {
        /// Why.
        reason: String,
    },
    /// Tell a client what goes on, all clients' requests included. Answered by [`Output::Snapshot`]; nothing is computed for it
    /// unless it is asked for.
    Inspect {
        /// Who asks.
        client: ClientId,
        /// Names the question.
        id: u64,
    },
    /// End every request with an error and return.
    Shutdown,
}

/// An answer that another engine had begun: what its client has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The [tokens](Output::Chunk::tokens) of all chunks that came. They count as generated, and are not said again.
    pub tokens: Vec<TokenId>,
    /// The answer's `id`, for the chunks to come.
    pub id: String,
    /// The answer's `created`, in seconds since 1970.
    #[serde(rename = "created")]
    pub created_s: u64,
}

/// What a service says.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A part of an answer: a `chat.completion.chunk`; or all of it, without `stream`.
    Chunk {
        /// To whom.
        client: ClientId,
        /// Of which request.
        request: RequestId,
        /// 0, 1, 2, ... for each request.
        seq: u64,
        /// In `OpenAI`'s form.
        body: Value,
        /// What the answer has come to since the chunk before: the tokens to resume it with, should this engine be lost.
        tokens: Vec<TokenId>,
    },
    /// A request's end, after its last chunk.
    Done {
        /// To whom.
        client: ClientId,
        /// Which request.
        request: RequestId,
    },
    /// A request's other end, after whatever chunks it has had.
    Error {
        /// To whom.
        client: ClientId,
        /// Which request; `None`: it is about none in particular.
        request: Option<RequestId>,
        /// What was wrong and what to do.
        error: ApiError,
    },
    /// The executor is gone and another one is being made, to everyone: requests wait for it.
    ExecutorGone {
        /// What is known of why.
        reason: String,
    },
    /// Another executor computes from now on, to everyone.
    ExecutorReady {
        /// What computes.
        device: String,
    },
    /// The answer to [`Input::Inspect`].
    Snapshot {
        /// To whom.
        client: ClientId,
        /// Which question.
        id: u64,
        /// What goes on.
        snapshot: Box<Snapshot>,
    },
}

/// A request that has ended, for those who want to know more than the client: see
/// [`Service::on_ended`](crate::Service::on_ended).
#[derive(Clone, Debug, PartialEq)]
pub struct RequestReport {
    /// Whose.
    pub client: ClientId,
    /// Which.
    pub request: RequestId,
    /// The prompt as the model read it.
    pub prompt: Vec<TokenId>,
    /// What it answered, what it was resumed with and a final stop id included.
    pub output: Vec<TokenId>,
    /// How it ended: a stop string counts as [`FinishReason::Stop`].
    pub reason: FinishReason,
    /// How fast.
    pub timings: Timings,
}

/// How fast a request was, seen from the service: with others in line, their time counts too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// From the request to its first token, the wait in the queue included; `None` if it had none.
    pub time_to_first_token_ms: Option<f64>,
    /// Prompt tokens by the time to the first token.
    pub prefill_tokens_per_s: Option<f64>,
    /// Tokens after the first, by the time from the first to the last; `None` with fewer than two.
    pub decode_tokens_per_s: Option<f64>,
}
