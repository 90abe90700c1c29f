//! A request's JSON as typed fields, and its messages.
//!
//! Every field is optional here and `null` is the same as nothing, as with `OpenAI`; what has to be there is asked for
//! where it is used. One struct serves both endpoints: they share all but `messages` and `prompt`.

use super::fields::{Content, Integer, Logprobs, Prompt, Texts};
use super::{Priority, unsupported};
use crate::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The fields that mean something.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Body {
    pub(super) messages: Option<Vec<Message>>,
    pub(super) prompt: Option<Prompt>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) max_tokens: Option<Integer>,
    pub(super) max_completion_tokens: Option<Integer>,
    pub(super) min_tokens: Option<Integer>,
    pub(super) temperature: Option<f64>,
    pub(super) top_k: Option<Integer>,
    pub(super) top_p: Option<f64>,
    pub(super) min_p: Option<f64>,
    pub(super) repetition_penalty: Option<f64>,
    pub(super) frequency_penalty: Option<f64>,
    pub(super) presence_penalty: Option<f64>,
    pub(super) logit_bias: Option<BTreeMap<String, f64>>,
    pub(super) seed: Option<Integer>,
    pub(super) stop: Option<Texts>,
    pub(super) stop_token_ids: Option<Vec<Integer>>,
    pub(super) ignore_eos: Option<bool>,
    pub(super) logprobs: Option<Logprobs>,
    pub(super) top_logprobs: Option<Integer>,
    pub(super) n: Option<Integer>,
    pub(super) priority: Option<Priority>,
    pub(super) cache_salt: Option<String>,
    pub(super) add_generation_prompt: Option<bool>,
    pub(super) chat_template_kwargs: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

/// A message; what isn't named here goes to the template as it is (`name`, `tool_call_id`, `reasoning_content`, ...).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Message {
    role: Option<String>,
    content: Option<Content>,
    #[serde(flatten)]
    further: Map<String, Value>,
}

const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

impl Body {
    /// Types are checked, and fields that can't be honoured refused.
    pub(super) fn read(json: &Value) -> Result<Self, ApiError> {
        let Value::Object(fields) = json else {
            return Err(ApiError::new(
                "invalid_request_error",
                Some("invalid_value"),
                None,
                "the request has to be a JSON object",
            ));
        };
        unsupported::check(fields)?;
        serde_path_to_error::deserialize(json).map_err(|error| {
            let path = error.path().to_string();
            ApiError::invalid(&path, format!("{path}: {}", error.inner()))
        })
    }
}

impl Message {
    /// The message as a template sees it: content is one text, roles are those that templates know.
    pub(super) fn for_template(&self, index: usize, knows_developer: bool) -> Result<Value, ApiError> {
        let path = format!("messages[{index}]");
        let role = self.role.as_deref().filter(|role| ROLES.contains(role)).ok_or_else(|| {
            let found = self.role.as_ref().map_or_else(|| "there is none".to_owned(), |role| format!("not {role:?}"));
            ApiError::invalid(
                &format!("{path}.role"),
                format!("{path}.role has to be one of {}; {found}", ROLES.join(", ")),
            )
        })?;
        let mut message = Map::new();
        // "developer" is OpenAI's newer name for "system", which most templates have never heard of.
        let known = if role == "developer" && !knows_developer { "system" } else { role };
        message.insert("role".to_owned(), Value::from(known));

        let calls_tools = self.further.get("tool_calls").is_some_and(|calls| !calls.is_null());
        match &self.content {
            Some(Content::Text(text)) => {
                message.insert("content".to_owned(), Value::from(text.as_str()));
            }
            Some(Content::Parts(parts)) => {
                let mut texts = Vec::with_capacity(parts.len());
                for (part, fields) in parts.iter().enumerate() {
                    let path = format!("{path}.content[{part}]");
                    if fields.r#type.as_deref() != Some("text") {
                        let found = fields.r#type.as_deref().unwrap_or("nothing");
                        let message = format!("{path}.type has to be \"text\"; {found:?} is not supported yet");
                        return Err(ApiError::unsupported(&format!("{path}.type"), message));
                    }
                    let text = fields.text.as_deref();
                    texts.push(text.ok_or_else(|| {
                        ApiError::invalid(
                            &format!("{path}.text"),
                            format!("{path}.text has to be a string; there is none"),
                        )
                    })?);
                }
                message.insert("content".to_owned(), Value::from(texts.join("\n")));
            }
            None if role == "assistant" => {
                message.insert("content".to_owned(), if calls_tools { Value::Null } else { Value::from("") });
            }
            None => {
                let path = format!("{path}.content");
                return Err(ApiError::invalid(
                    &path,
                    format!("{path} has to be a string or a list of text parts; there is none"),
                ));
            }
        }
        for (name, value) in &self.further {
            message
                .insert(name.clone(), if name == "tool_calls" { with_parsed_arguments(value) } else { value.clone() });
        }
        Ok(Value::Object(message))
    }
}

/// `OpenAI` writes a call's arguments as a text of JSON; templates expect the object.
fn with_parsed_arguments(calls: &Value) -> Value {
    let mut calls = calls.clone();
    for call in calls.as_array_mut().into_iter().flatten() {
        if let Some(arguments) = call.pointer_mut("/function/arguments")
            && let Some(parsed) =
                arguments.as_str().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok())
        {
            *arguments = Value::Object(parsed);
        }
    }
    calls
}
