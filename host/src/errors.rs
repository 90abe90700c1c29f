//! What ends a request other than its own end, as the client reads it.

use crate::load::LoadError;
use tilewright_api::ApiError;
use tilewright_plan::{ExecutorError, TokenId};
use tilewright_scheduler::{RejectReason, RequestId};

/// The scheduler did not take it.
pub(crate) fn rejected(reason: &RejectReason) -> ApiError {
    let (r#type, code, param) = match reason {
        RejectReason::PromptTooLong { .. } => ("invalid_request_error", "context_length_exceeded", Some("messages")),
        RejectReason::QueueFull { .. } => ("rate_limit_error", "queue_full", None),
        RejectReason::DuplicateRequest(_) => ("invalid_request_error", "duplicate_request", None),
        _ => ("invalid_request_error", "invalid_prompt", Some("prompt")),
    };
    ApiError::new(r#type, Some(code), param, reason.to_string())
}

/// The client has a live request of this id.
pub(crate) fn duplicate(request: RequestId) -> ApiError {
    rejected(&RejectReason::DuplicateRequest(request))
}

/// The executor answered a step with an error that is not a loss.
pub(crate) fn step_failed(error: &ExecutorError) -> ApiError {
    let code = match error {
        ExecutorError::NotFinite(_) => "logits_not_finite",
        _ => "step_failed",
    };
    ApiError::server(code, error.to_string())
}

/// The executor was lost and there is no way to make another.
pub(crate) fn lost(reason: &str) -> ApiError {
    ApiError::server(
        "device_lost",
        format!("the device that computes was lost ({reason}); load the model again and repeat the request"),
    )
}

/// The executor was lost twice in a short time while this request ran.
pub(crate) fn lost_twice() -> ApiError {
    ApiError::server(
        "device_lost",
        "the device that computes was lost twice within a minute while it worked on this request, so it was given up; try a shorter \
         prompt or a smaller model",
    )
}

/// The executor was lost, and making another failed.
pub(crate) fn not_restored(error: &LoadError) -> ApiError {
    ApiError::server(
        "device_lost",
        format!(
            "the device that computes was lost and could not be set up again: {error}; the next request tries once more"
        ),
    )
}

/// The executor has less memory than before.
pub(crate) fn capacity_reduced(limit: usize) -> ApiError {
    ApiError::server(
        "capacity_reduced",
        format!(
            "the device now has room for {limit} tokens only, fewer than this request already has; start a shorter conversation"
        ),
    )
}

/// Its place in the queue went to another.
pub(crate) fn displaced() -> ApiError {
    ApiError::new(
        "rate_limit_error",
        Some("displaced"),
        None,
        "the queue was full and a request that someone is looking at took this one's place; send it again when others have ended",
    )
}

/// A token that a request is to be resumed with.
pub(crate) fn unknown_resumed_token(at: usize, token: TokenId, vocabulary: u32) -> ApiError {
    ApiError::new(
        "invalid_request_error",
        Some("invalid_resume"),
        Some(&format!("resume.tokens[{at}]")),
        format!(
            "resume.tokens[{at}] is {token} and the model's vocabulary ends at {vocabulary}; resume a request with the tokens of its own \
             chunks, on the same model"
        ),
    )
}

/// The service ends.
pub(crate) fn shut_down() -> ApiError {
    ApiError::server("shut_down", "the engine was shut down; load the model again and repeat the request")
}
