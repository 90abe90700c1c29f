//! The `OpenAI` protocol over a model's vocabulary: what a request means, and what its answer looks like.
//!
//! A request's body comes in as JSON and leaves as token ids and sampling parameters ([`ChatModel::prepare`]); sampled
//! tokens come in and leave as `OpenAI` chunks ([`Completion`]). Between the two stand a scheduler and an executor that
//! know neither text nor JSON. Nothing here does I/O, reads a clock or draws a random number: what depends on them
//! comes as an argument, so every answer can be replayed.
//!
//! - [`model`]: a vocabulary, a chat template, stop ids and sampling defaults, from a GGUF or a Hugging Face folder
//! - [`tokenizer`]: text to ids and ids to bytes
//! - [`template`]: messages to text
//! - [`request`]: JSON to typed, checked requests
//! - [`completion`]: sampled tokens to text and JSON, as they come
//! - [`error`]: the error object that a client sees

#![forbid(unsafe_code)]

pub mod completion;
pub mod error;
pub mod model;
pub mod request;
pub mod template;
pub mod tokenizer;

pub use completion::{Completion, FinishReason, Progress};
pub use error::ApiError;
pub use model::{ChatModel, HuggingFaceFiles, ModelError};
pub use request::{Endpoint, Limits, Prepared, Priority};
pub use template::{ChatTemplate, TemplateError};
pub use tokenizer::{GgufVocabulary, Tokenizer, TokenizerError};
