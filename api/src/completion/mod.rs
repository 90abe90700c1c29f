//! One answer being made: sampled tokens in, `OpenAI`'s JSON out.
//!
//! Three stages, each of which may hold something back and none of which takes anything back: bytes to text (`text`),
//! text to what no stop text can swallow (`stops`), and that to chunks (`objects`, with `logprobs`).
//!
//! A chat's answer begins as [`Tokenizer::decode`](crate::Tokenizer::decode) begins a text, without the space that
//! `SentencePiece` puts before a first word; a completion goes on where the prompt ended and keeps it.

mod logprobs;
mod objects;
mod stops;
mod text;

use crate::model::ChatModel;
use crate::request::{Endpoint, Prepared};
use logprobs::Logprobs;
use objects::Envelope;
use serde_json::{Value, json};
use std::sync::Arc;
use stops::StopTexts;
use text::TextDecoder;
use tilewright_plan::{Sampled, TokenId};

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop id or stop text.
    Stop,
    /// `max_tokens`, or the context is full.
    Length,
    /// The client cancelled it, if it wants to know still; `finish_reason` is "abort", as vLLM has it.
    Cancelled,
}

impl FinishReason {
    /// As `OpenAI` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Cancelled => "abort",
        }
    }
}

/// What came of some tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// To be sent now. Empty without `stream`.
    pub chunks: Vec<Value>,
    /// A stop text was met: cancel the sequence, and call [`Completion::finish`] with [`FinishReason::Stop`].
    pub stopped: bool,
}

/// One answer being made.
#[derive(Debug)]
pub struct Completion {
    model: Arc<ChatModel>,
    envelope: Envelope,
    stream: bool,
    stop_ids: Vec<TokenId>,
    min_tokens: u32,
    prompt_tokens: usize,
    /// Tokens taken.
    generated: usize,

    decoder: TextDecoder,
    stops: StopTexts,
    /// If they were asked for.
    logprobs: Option<Logprobs>,
    /// The first chunk was sent.
    began: bool,
    /// A stop text was met.
    stopped: bool,
    /// Bytes and characters of text that the tokens so far made certain, said or held back.
    certain: (usize, usize),
    /// Bytes of text that were said.
    said: usize,
    /// Without `stream`: what was said.
    whole_text: String,
    whole_logprobs: Vec<Value>,
}

impl Completion {
    /// An answer without tokens yet. `id` goes into every object ("chatcmpl-..."), `created_s` is in seconds since
    /// 1970.
    pub fn new(model: Arc<ChatModel>, prepared: &Prepared, id: String, created_s: u64) -> Self {
        let envelope = Envelope {
            endpoint: prepared.endpoint,
            id,
            created_s,
            model: model.id().to_owned(),
            include_usage: prepared.stream && prepared.include_usage,
        };
        let strips_space = prepared.endpoint == Endpoint::ChatCompletions && model.tokenizer().strips_space();
        Self {
            model,
            envelope,
            stream: prepared.stream,
            stop_ids: prepared.stop_ids.clone(),
            min_tokens: prepared.min_tokens,
            prompt_tokens: prepared.prompt.len(),
            generated: 0,
            decoder: TextDecoder::new(strips_space),
            stops: StopTexts::new(&prepared.stop_strings),
            logprobs: prepared.sampling.top_logprobs.map(|_| Logprobs::default()),
            began: false,
            stopped: false,
            certain: (0, 0),
            said: 0,
            whole_text: String::new(),
            whole_logprobs: Vec::new(),
        }
    }

    /// Takes tokens in the order in which they were sampled, the one that ends the answer included. After a stop text,
    /// further tokens are ignored.
    pub fn push(&mut self, sampled: &[Sampled]) -> Progress {
        let mut said = String::new();
        for token in sampled {
            if self.stopped {
                break;
            }
            let start = self.certain;
            let shown = self.take(token.token, &mut said);
            if let Some(logprobs) = self.logprobs.as_mut().filter(|_| shown) {
                logprobs.push(token, start, self.certain.0);
            }
        }
        Progress { chunks: self.say(&said, false), stopped: self.stopped }
    }

    /// Takes up an answer that was begun elsewhere: all chunks that [`push`](Self::push) gave for these tokens there were
    /// sent. Comes before anything else, once. Says whether they end the answer: at a stop id or stop text, after which
    /// further tokens are ignored.
    ///
    /// Chunks go on where those ended. The one thing lost is the log-probability of a token whose text was just then held
    /// back: it has no entry.
    pub fn resume(&mut self, tokens: &[TokenId]) -> Option<FinishReason> {
        let mut said = String::new();
        let ended = tokens.iter().any(|&token| !self.take(token, &mut said) || self.stopped);
        self.began = true;
        self.said += said.len();
        if !self.stream {
            self.whole_text.push_str(&said);
        }
        ended.then_some(FinishReason::Stop)
    }

    /// No more tokens come: what was held back, the reason, and usage; or the whole answer if it wasn't streamed. After
    /// a stop text the reason is [`FinishReason::Stop`], whatever the sequence ended with.
    pub fn finish(&mut self, reason: FinishReason, cached_tokens: u32) -> Vec<Value> {
        let mut said = String::new();
        if !self.stopped {
            let mut text = String::new();
            self.decoder.finish(&mut text);
            self.stopped = self.pass(&text, &mut said);
            if !self.stopped {
                self.stops.finish(&mut said);
            }
        }
        let reason = if self.stopped { FinishReason::Stop } else { reason };
        let mut chunks = self.say(&said, true);
        let usage = json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.generated,
            "total_tokens": self.prompt_tokens + self.generated,
            "prompt_tokens_details": { "cached_tokens": cached_tokens },
        });
        if self.stream {
            chunks.extend(self.envelope.last_chunks(reason.as_str(), usage));
        } else {
            let entries = std::mem::take(&mut self.whole_logprobs);
            let logprobs = self.logprobs.as_ref().map(|_| logprobs::object(&entries, self.envelope.endpoint));
            chunks.push(self.envelope.whole(&self.whole_text, logprobs, reason.as_str(), usage));
        }
        chunks
    }

    /// How many tokens were taken.
    pub fn completion_tokens(&self) -> usize {
        self.generated
    }

    /// Text up to what is certain; false if it is a stop id, which ends the answer and is no part of it, whether it has a
    /// text or not.
    fn take(&mut self, token: TokenId, said: &mut String) -> bool {
        self.generated += 1;
        if self.generated >= self.min_tokens as usize && self.stop_ids.contains(&token) {
            return false;
        }
        let mut text = String::new();
        self.decoder.push(self.model.tokenizer().visible(token), &mut text);
        self.stopped = self.pass(&text, said);
        true
    }

    /// Certain text through the stop texts; true if one was met.
    fn pass(&mut self, text: &str, said: &mut String) -> bool {
        self.certain = (self.certain.0 + text.len(), self.certain.1 + text.chars().count());
        if self.generated < self.min_tokens as usize {
            said.push_str(text);
            return false;
        }
        self.stops.push(text, said)
    }

    fn say(&mut self, text: &str, end: bool) -> Vec<Value> {
        self.said += text.len();
        let mut entries = Vec::new();
        if let Some(logprobs) = &mut self.logprobs {
            let end = end || self.stopped;
            entries = logprobs.take(self.said, end, self.envelope.endpoint, self.model.tokenizer());
        }
        if !self.stream {
            self.whole_text.push_str(text);
            self.whole_logprobs.append(&mut entries);
            return Vec::new();
        }
        let mut chunks = Vec::new();
        if !self.began {
            self.began = true;
            chunks.extend(self.envelope.first_chunk());
        }
        if !text.is_empty() || !entries.is_empty() {
            let logprobs = self.logprobs.as_ref().map(|_| logprobs::object(&entries, self.envelope.endpoint));
            chunks.push(self.envelope.text_chunk(text, logprobs));
        }
        chunks
    }
}

#[cfg(test)]
mod tests;
