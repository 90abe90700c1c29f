//! The error object of the `OpenAI` API, which is what a page sees of anything that goes wrong.
//!
//! `type` says whose fault it is, `code` is for programs, `param` is the JSON path of the field that is wrong, and
//! `message` is for people: what was wrong, with the number, and what to do.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Serializes as `{"type", "code", "param", "message"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{message}")]
pub struct ApiError {
    /// `invalid_request_error`, `server_error`, ...
    pub r#type: String,
    /// A word that a program can match.
    pub code: Option<String>,
    /// JSON path of the field that is wrong: `messages[1].content`.
    pub param: Option<String>,
    /// What was wrong, for a person to read.
    pub message: String,
}

impl ApiError {
    /// Any error; prefer the constructors below.
    pub fn new(r#type: &str, code: Option<&str>, param: Option<&str>, message: impl Into<String>) -> Self {
        Self {
            r#type: r#type.to_owned(),
            code: code.map(str::to_owned),
            param: param.map(str::to_owned),
            message: message.into(),
        }
    }

    /// A field of the request is wrong.
    pub fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::new("invalid_request_error", Some("invalid_value"), Some(param), message)
    }

    /// A field of the request is known and would change the answer, and isn't supported.
    pub fn unsupported(param: &str, message: impl Into<String>) -> Self {
        Self::new("invalid_request_error", Some("unsupported_value"), Some(param), message)
    }

    /// The prompt doesn't fit. Both are counted in tokens.
    pub fn context_length_exceeded(param: &str, prompt: usize, max_context: u32) -> Self {
        Self::new(
            "invalid_request_error",
            Some("context_length_exceeded"),
            Some(param),
            format!(
                "the prompt has {prompt} tokens, and the context of {max_context} tokens has to hold it and at least one token \
                 of the answer; shorten the prompt"
            ),
        )
    }

    /// Something failed that isn't the request's fault.
    pub fn server(code: &str, message: impl Into<String>) -> Self {
        Self::new("server_error", Some(code), None, message)
    }
}
