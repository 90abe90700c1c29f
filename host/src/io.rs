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
    /// What a client's user sees. The first-come scheduler doesn't look at it.
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
    },
    /// A request is no longer wanted. It ends with what it has; unknown ones are ignored.
    Cancel {
        /// Whose.
        client: ClientId,
        /// Which.
        request: RequestId,
    },
    /// A client has received a request's chunks up to and including `seq`. The first-come scheduler doesn't look at it.
    Ack {
        /// Who.
        client: ClientId,
        /// Of which request.
        request: RequestId,
        /// The newest chunk received.
        seq: u64,
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
    /// What it answered, a final stop id included.
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
