//! Requests of `chat.completions` and `completions`: what they may say, and what they mean here.
//!
//! - `body`: the JSON as typed fields; a field of the wrong type is an error that names its path
//! - `fields`: the types of fields that have several forms
//! - `unsupported`: fields that would change the answer and can't yet
//! - `sampling`: ranges and defaults of everything that says how tokens are drawn
//! - `prepare`: messages or a text to a prompt, and all of it together
//!
//! Fields that nobody here knows are ignored, as `OpenAI`'s servers do. `model` is not compared: a page is connected to
//! one model, and the answer carries its id.
//!
//! # Defaults
//!
//! A field that the request leaves out has the model's own default where the model has one (`generation_config.json`,
//! or `general.sampling.*` of a GGUF: temperature, `top_k`, `top_p`, `min_p`, `repetition_penalty`), and `OpenAI`'s
//! otherwise: temperature 1, `top_p` 1, no `top_k`, no `min_p`, no penalties. So a request that says nothing of
//! temperature is sampled, not greedy. `do_sample` of `generation_config.json` is not looked at. `max_tokens` is what
//! the context has left for a chat, and 16 for a completion (`OpenAI`'s default); more than the context has left is cut
//! to that.

mod body;
mod fields;
mod prepare;
mod sampling;
mod unsupported;

use serde::{Deserialize, Serialize};
use tilewright_plan::{SamplingParams, TokenId};

pub(crate) use sampling::Defaults;

/// Which kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Endpoint {
    /// Messages in, a message out.
    #[serde(rename = "chat.completions")]
    ChatCompletions,
    /// A text or token ids in, a text out.
    #[serde(rename = "completions")]
    Completions,
}

/// What the engine can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of prompt and answer together.
    pub max_context: u32,
}

/// How urgent a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Someone waits for it.
    #[default]
    Interactive,
    /// Nobody waits for it.
    Batch,
}

/// A request that is ready to run: checked, rendered, tokenized.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// What was asked for.
    pub endpoint: Endpoint,
    /// At least one token; shorter than the context.
    pub prompt: Vec<TokenId>,
    /// How tokens are drawn.
    pub sampling: SamplingParams,
    /// At least 1; fits into the context after the prompt.
    pub max_tokens: u32,
    /// Before so many tokens neither stop ids nor stop strings end it.
    pub min_tokens: u32,
    /// Ids that end it: the model's own unless `ignore_eos`, and the request's `stop_token_ids`.
    pub stop_ids: Vec<TokenId>,
    /// Texts that end it; they are not part of the answer. None is empty.
    pub stop_strings: Vec<String>,
    /// The model's own stop ids don't end it; they are left out of `stop_ids` already.
    pub ignore_eos: bool,
    /// Chunks as they come, rather than one object.
    pub stream: bool,
    /// `stream_options.include_usage`: usage comes in a chunk of its own after the last choice. Without it, the last
    /// chunk carries it.
    pub include_usage: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// Splits the prefix cache.
    pub cache_salt: Option<String>,
}

#[cfg(test)]
mod tests;
