//! The live requests' text side: tokens to chunks, numbered, and how fast they came.

use crate::acks::Acks;
use crate::io::{Output, RequestReport, Timings};
use crate::service::Outside;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tilewright_api::{ApiError, Completion, Prepared};
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
    /// How many of `output` another engine sampled.
    resumed: usize,
    /// How another engine's tokens ended the answer, if they did.
    resumed_end: Option<tilewright_api::FinishReason>,
    /// How many of `output` the client has: the rest comes with the next chunk.
    carried: usize,
    next_seq: u64,
    pub(crate) acks: Acks,
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

/// A part of an answer, on its way.
pub(crate) struct Chunk {
    pub(crate) seq: u64,
    body: Value,
    tokens: Vec<TokenId>,
}

pub(crate) fn send((client, request): Name, chunks: Vec<Chunk>, outside: &mut Outside<'_>) {
    for Chunk { seq, body, tokens } in chunks {
        (outside.emit)(Output::Chunk { client, request, seq, body, tokens });
    }
}

impl Request {
    pub(crate) fn new(completion: Completion, prompt: Vec<TokenId>, submitted: Duration) -> Self {
        Self {
            completion,
            prompt,
            output: Vec::new(),
            resumed: 0,
            resumed_end: None,
            carried: 0,
            next_seq: 0,
            acks: Acks::default(),
            submitted,
            first_token: None,
            last_token: None,
            ending: None,
        }
    }

    /// Takes what another engine answered and the client has.
    pub(crate) fn resume(&mut self, tokens: Vec<TokenId>) {
        self.resumed_end = self.completion.resume(&tokens);
        (self.resumed, self.carried) = (tokens.len(), tokens.len());
        self.output = tokens;
    }

    /// How it ends if there is nothing left to compute: the other engine had come to the end, and was lost before it could
    /// say so.
    pub(crate) fn resumed_to_its_end(&self, prepared: &Prepared) -> Option<FinishReason> {
        let full = self.output.len() >= prepared.max_tokens as usize;
        match self.resumed_end {
            Some(_) => Some(FinishReason::Stop),
            None => (self.resumed > 0 && full).then_some(FinishReason::Length),
        }
    }

    pub(crate) fn output(&self) -> &[TokenId] {
        &self.output
    }

    /// Takes tokens; gives chunks, and whether a stop string was met.
    pub(crate) fn push(&mut self, sampled: &[Sampled], now: Duration) -> (Vec<Chunk>, bool) {
        self.first_token.get_or_insert(now);
        self.last_token = Some(now);
        self.output.extend(sampled.iter().map(|sampled| sampled.token));
        let progress = self.completion.push(sampled);
        (self.number(progress.chunks), progress.stopped)
    }

    /// Says how it ended, after what was held back.
    pub(crate) fn end(mut self, name: Name, reason: FinishReason, cached_tokens: u32, outside: &mut Outside<'_>) {
        let last = self.completion.finish(
            match reason {
                FinishReason::Stop => tilewright_api::FinishReason::Stop,
                FinishReason::Length => tilewright_api::FinishReason::Length,
                _ => tilewright_api::FinishReason::Cancelled,
            },
            cached_tokens,
        );
        send(name, self.number(last), outside);
        let (client, request) = name;
        (outside.emit)(Output::Done { client, request });
        (outside.ended)(self.report(name, reason));
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
            decode_tokens_per_s: decoding.and_then(|ms| rate((self.output.len() - self.resumed).saturating_sub(1), ms)),
        }
    }

    fn number(&mut self, chunks: Vec<Value>) -> Vec<Chunk> {
        let first = self.next_seq;
        self.next_seq += chunks.len() as u64;
        let mut chunks: Vec<Chunk> =
            (first..).zip(chunks).map(|(seq, body)| Chunk { seq, body, tokens: Vec::new() }).collect();
        // The last, so that whoever has some of them has no token whose text is still to come.
        if let Some(last) = chunks.last_mut() {
            last.tokens = self.output[self.carried..].to_vec();
            self.carried = self.output.len();
        }
        chunks
    }
}
