//! From a request's JSON to something that can run: checked, rendered, tokenized, and known to fit.

use super::body::{Body, Message};
use super::fields::{Integer, Prompt, PromptItem};
use super::sampling::{self, integer};
use super::{Endpoint, Limits, Prepared};
use crate::template::{Inputs, TemplateError};
use crate::{ApiError, ChatModel};
use serde_json::{Map, Value};
use tilewright_plan::TokenId;

/// `OpenAI`'s default for completions.
const COMPLETION_TOKENS: u32 = 16;

impl ChatModel {
    /// Checks a request and makes its prompt. `fallback_seed` is used when the request has none, so give each request
    /// another. Templates that ask for the date are told that there is none; see [`prepare_at`](Self::prepare_at).
    pub fn prepare(
        &self,
        endpoint: Endpoint,
        body: &Value,
        limits: Limits,
        fallback_seed: u64,
    ) -> Result<Prepared, ApiError> {
        self.prepare_with(endpoint, body, limits, fallback_seed, None)
    }

    /// Like [`prepare`](Self::prepare), with the seconds since 1970 on the user's clock (UTC plus their offset) for
    /// templates that write the date into the prompt.
    pub fn prepare_at(
        &self,
        endpoint: Endpoint,
        body: &Value,
        limits: Limits,
        fallback_seed: u64,
        local_time_s: i64,
    ) -> Result<Prepared, ApiError> {
        self.prepare_with(endpoint, body, limits, fallback_seed, Some(local_time_s))
    }

    fn prepare_with(
        &self,
        endpoint: Endpoint,
        body: &Value,
        limits: Limits,
        fallback_seed: u64,
        local_time_s: Option<i64>,
    ) -> Result<Prepared, ApiError> {
        let body = Body::read(body)?;
        if body.n.is_some_and(|n| n != Integer(1)) {
            return Err(ApiError::unsupported(
                "n",
                "n has to be 1; send several requests instead, they run side by side",
            ));
        }
        let sampling = sampling::read(&body, endpoint, self.defaults(), self.vocabulary(), fallback_seed)?;
        let stop_strings = body.stop.as_ref().map(|stop| stop.0.clone()).unwrap_or_default();
        if let Some(empty) = stop_strings.iter().position(String::is_empty) {
            return Err(ApiError::invalid(&format!("stop[{empty}]"), "stop texts have to have at least one character"));
        }
        let ignore_eos = body.ignore_eos.unwrap_or(false);
        let mut stop_ids = if ignore_eos { Vec::new() } else { self.stop_ids().to_vec() };
        for (index, &id) in body.stop_token_ids.iter().flatten().enumerate() {
            let id = self.token_id(&format!("stop_token_ids[{index}]"), id)?;
            if !stop_ids.contains(&id) {
                stop_ids.push(id);
            }
        }
        let most = i128::from(u32::MAX);
        let max_completion_tokens = integer("max_completion_tokens", body.max_completion_tokens, 1, most)?;
        let max_tokens = integer("max_tokens", body.max_tokens, 1, most)?;
        let min_tokens = integer("min_tokens", body.min_tokens, 0, most)?.unwrap_or(0) as u32;

        let (param, prompt) = match endpoint {
            Endpoint::ChatCompletions => ("messages", self.chat_prompt(&body, limits, local_time_s)?),
            Endpoint::Completions => ("prompt", self.raw_prompt(body.prompt.as_ref(), limits)?),
        };
        if prompt.is_empty() {
            let message = "the prompt has no tokens; give it at least one character";
            return Err(ApiError::new("invalid_request_error", Some("empty_prompt"), Some(param), message));
        }
        if prompt.len() >= limits.max_context as usize {
            return Err(ApiError::context_length_exceeded(param, prompt.len(), limits.max_context));
        }
        let room = limits.max_context - prompt.len() as u32;
        let default = match endpoint {
            Endpoint::ChatCompletions => room,
            Endpoint::Completions => COMPLETION_TOKENS,
        };
        let max_tokens = max_completion_tokens.or(max_tokens).map_or(default, |tokens| tokens as u32).min(room);
        Ok(Prepared {
            endpoint,
            prompt,
            sampling,
            max_tokens,
            min_tokens,
            stop_ids,
            stop_strings,
            ignore_eos,
            stream: body.stream.unwrap_or(false),
            include_usage: body.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
            priority: body.priority.unwrap_or_default(),
            cache_salt: body.cache_salt,
        })
    }

    fn chat_prompt(&self, body: &Body, limits: Limits, local_time_s: Option<i64>) -> Result<Vec<TokenId>, ApiError> {
        let messages = body.messages.as_deref().unwrap_or_default();
        if messages.is_empty() {
            return Err(ApiError::invalid("messages", "messages has to be a list of at least one message"));
        }
        let nothing = Map::new();
        let text = self.render_messages(
            messages,
            body.add_generation_prompt.unwrap_or(true),
            body.chat_template_kwargs.as_ref().unwrap_or(&nothing),
            local_time_s,
        )?;
        self.check_length("messages", &text, limits)?;
        Ok(self.tokenizer().encode_rendered(&text)?)
    }

    fn render_messages(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        variables: &Map<String, Value>,
        local_time_s: Option<i64>,
    ) -> Result<String, ApiError> {
        let template = self.chat_template()?;
        let knows_developer = template.mentions("developer");
        let messages: Vec<Value> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| message.for_template(index, knows_developer))
            .collect::<Result<_, _>>()?;
        let (bos_token, eos_token) = self.boundary_names();
        let inputs =
            Inputs { messages: &messages, add_generation_prompt, bos_token, eos_token, variables, local_time_s };
        Ok(template.render(&inputs)?)
    }

    /// The text that the chat template makes of `messages` (a JSON list), as `chat.completions` would send it to the
    /// model.
    pub fn render(&self, messages: &Value, local_time_s: Option<i64>) -> Result<String, ApiError> {
        let body = Body::read(&serde_json::json!({ "messages": messages }))?;
        self.render_messages(body.messages.as_deref().unwrap_or_default(), true, &Map::new(), local_time_s)
    }

    fn raw_prompt(&self, prompt: Option<&Prompt>, limits: Limits) -> Result<Vec<TokenId>, ApiError> {
        let text = |text: &str| {
            self.check_length("prompt", text, limits)?;
            Ok(self.tokenizer().encode(text)?)
        };
        match prompt {
            None => Err(ApiError::invalid("prompt", "prompt has to be a string or a list of token ids; there is none")),
            Some(Prompt::Text(prompt)) => text(prompt),
            Some(Prompt::List(items)) => match items.as_slice() {
                [PromptItem::Text(prompt)] => text(prompt),
                [PromptItem::Ids(ids)] => {
                    ids.iter().enumerate().map(|(at, &id)| self.token_id(&format!("prompt[0][{at}]"), id)).collect()
                }
                items => items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| match item {
                        PromptItem::Id(id) => self.token_id(&format!("prompt[{at}]"), *id),
                        PromptItem::Text(_) | PromptItem::Ids(_) => {
                            Err(ApiError::unsupported("prompt", "one prompt a request; send several requests instead"))
                        }
                    })
                    .collect(),
            },
        }
    }

    /// Refuses a text that can't fit before work is spent on it.
    fn check_length(&self, param: &str, text: &str, limits: Limits) -> Result<(), ApiError> {
        let fewest = self.tokenizer().fewest_tokens(text.len());
        if fewest < limits.max_context as usize {
            return Ok(());
        }
        let mut error = ApiError::context_length_exceeded(param, fewest, limits.max_context);
        error.message = error.message.replacen("has ", "has at least ", 1);
        Err(error)
    }

    fn token_id(&self, path: &str, Integer(id): Integer) -> Result<TokenId, ApiError> {
        let vocabulary = self.vocabulary();
        u32::try_from(id).ok().filter(|&id| id < vocabulary).map(TokenId).ok_or_else(|| {
            ApiError::invalid(path, format!("{path} has to be a token id below {vocabulary}; it is {id}"))
        })
    }
}

impl From<TemplateError> for ApiError {
    fn from(error: TemplateError) -> Self {
        let message = error.to_string();
        match error {
            TemplateError::Missing { .. } => {
                Self::new("invalid_request_error", Some("no_chat_template"), Some("messages"), message)
            }
            TemplateError::Refused(_) => {
                Self::new("invalid_request_error", Some("messages_refused"), Some("messages"), message)
            }
            _ => Self::new("server_error", Some("chat_template_error"), Some("messages"), message),
        }
    }
}
