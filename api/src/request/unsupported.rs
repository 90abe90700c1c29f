//! Fields that would change the answer and that can't be honoured yet. Ignoring them would be a wrong answer in
//! silence, so they are refused; the values that ask for nothing special are let through.

use crate::ApiError;
use serde_json::{Map, Value};

/// A field, which values of it change nothing, and what to do without it.
type Rule = (&'static str, fn(&Value) -> bool, &'static str);

const RULES: &[Rule] = &[
    ("tools", is_empty, "tools are not supported yet; leave the field out, or describe them in a message"),
    ("functions", is_empty, "functions are not supported yet; leave the field out, or describe them in a message"),
    ("tool_choice", chooses_no_tool, "tools are not supported yet; leave the field out"),
    ("function_call", chooses_no_tool, "functions are not supported yet; leave the field out"),
    (
        "response_format",
        is_text_format,
        "response formats other than text are not supported yet; ask for the format in a message",
    ),
    ("structured_outputs", never, "structured output is not supported yet; ask for the format in a message"),
    ("guided_json", never, "guided decoding is not supported yet; ask for the format in a message"),
    ("guided_regex", never, "guided decoding is not supported yet; ask for the format in a message"),
    ("guided_choice", never, "guided decoding is not supported yet; ask for the format in a message"),
    ("guided_grammar", never, "guided decoding is not supported yet; ask for the format in a message"),
    ("grammar", never, "grammars are not supported yet; ask for the format in a message"),
    ("modalities", is_text_only, "modalities other than text are not supported; leave the field out"),
    ("audio", never, "audio is not supported; leave the field out"),
    ("web_search_options", never, "web search is not supported; leave the field out"),
    ("suffix", is_empty, "suffix is not supported yet; leave it out"),
    ("echo", is_false, "echo is not supported yet; put the prompt before the answer yourself"),
    (
        "continue_final_message",
        is_false,
        "continuing a message is not supported yet; render the prompt and use completions",
    ),
    ("use_beam_search", is_false, "beam search is not supported; leave the field out"),
    ("best_of", is_one, "best_of has to be 1; send several requests instead"),
];

pub(super) fn check(body: &Map<String, Value>) -> Result<(), ApiError> {
    for (name, changes_nothing, message) in RULES {
        if body.get(*name).is_some_and(|value| !value.is_null() && !changes_nothing(value)) {
            return Err(ApiError::unsupported(name, *message));
        }
    }
    Ok(())
}

fn never(_: &Value) -> bool {
    false
}

fn is_false(value: &Value) -> bool {
    value == &Value::Bool(false)
}

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_str().is_some_and(str::is_empty)
}

fn chooses_no_tool(value: &Value) -> bool {
    // "auto" without tools is the same as "none".
    matches!(value.as_str(), Some("none" | "auto"))
}

fn is_text_format(value: &Value) -> bool {
    value.get("type").and_then(Value::as_str) == Some("text")
}

fn is_text_only(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(|item| item == "text"))
}
