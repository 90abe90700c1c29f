//! The live requests' text side: tokens to chunks, numbered, and how fast they came.

use crate::io::{RequestReport, Timings};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tilewright_api::{ApiError, Completion};
use tilewright_plan::{Sampled, TokenId};
use tilewright_scheduler::{ClientId, FinishReason, RequestId};

/// A client and its id of a request.
pub(crate) type Name = (ClientId, RequestId);

/// All live requests.
pub(crate) type Requests = BTreeMap<Name, Request>;

/// One request that the scheduler knows.
pub(crate) struct Request {
    completion: Completion,
    prompt: Vec<TokenId>,
    output: Vec<TokenId>,
    next_seq: u64,
    submitted: Duration,
    first_token: Option<Duration>,
    last_token: Option<Duration>,
    /// Set when it is cancelled for a reason of the service's own: what its client hears instead.
    pub(crate) ending: Option<Ending>,
}

/// Why the service itself ended a request.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// A stop string was met.
    StopString,
    /// Something failed.
    Error(ApiError),
    /// Nobody listens.
    Gone,
}

impl Request {
    pub(crate) fn new(completion: Completion, prompt: Vec<TokenId>, submitted: Duration) -> Self {
        Self {
            completion,
            prompt,
            output: Vec::new(),
            next_seq: 0,
            submitted,
            first_token: None,
            last_token: None,
            ending: None,
        }
    }

    /// Takes tokens; gives chunks, and whether a stop string was met.
    pub(crate) fn push(&mut self, sampled: &[Sampled], now: Duration) -> (Vec<(u64, Value)>, bool) {
        self.first_token.get_or_insert(now);
        self.last_token = Some(now);
        self.output.extend(sampled.iter().map(|sampled| sampled.token));
        let progress = self.completion.push(sampled);
        (self.number(progress.chunks), progress.stopped)
    }

    /// The last chunks.
    pub(crate) fn finish(&mut self, reason: tilewright_api::FinishReason) -> Vec<(u64, Value)> {
        let chunks = self.completion.finish(reason, 0);
        self.number(chunks)
    }

    pub(crate) fn report(self, (client, request): Name, reason: FinishReason) -> RequestReport {
        let timings = self.timings();
        RequestReport { client, request, prompt: self.prompt, output: self.output, reason, timings }
    }

    fn timings(&self) -> Timings {
        let ms = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() * 1e3;
        let to_first = self.first_token.map(|first| ms(self.submitted, first));
        let decoding = self.first_token.zip(self.last_token).map(|(first, last)| ms(first, last));
        let rate = |tokens: usize, ms: f64| (tokens > 0 && ms > 0.0).then(|| tokens as f64 * 1000.0 / ms);
        Timings {
            time_to_first_token_ms: to_first,
            prefill_tokens_per_s: to_first.and_then(|ms| rate(self.prompt.len(), ms)),
            decode_tokens_per_s: decoding.and_then(|ms| rate(self.output.len().saturating_sub(1), ms)),
        }
    }

    fn number(&mut self, chunks: Vec<Value>) -> Vec<(u64, Value)> {
        let first = self.next_seq;
        self.next_seq += chunks.len() as u64;
        (first..).zip(chunks).collect()
    }
}
