//! Chat templates: messages to the text that a model was trained on.
//!
//! A template is Jinja that came with the model, so it is a program of a stranger's. It runs in `minijinja` with the
//! settings of Hugging Face's `apply_chat_template` (`python` has the functions and the ways of printing that templates
//! rely on), without access to anything but its arguments, and with a budget (`FUEL`): a template that loops for ever
//! ends in an error. A template that doesn't parse isn't an error until a chat is asked for, since raw prompts need
//! none.

mod python;
mod source;

use minijinja::value::Value;
use minijinja::{Environment, ErrorKind};
use serde_json::Map;
use std::error::Error as _;
use thiserror::Error;

pub use source::from_tokenizer_config;

/// What a rendering may cost beyond what its messages allow: a unit is an instruction, or 64 bytes written. Templates
/// in common use take less than 200 a message. No more than that, since a template can nest a list once every seven
/// units, and dropping 20 000 nested lists overflows the stack of 1 MiB that wasm has. (Long chats allow more, so a
/// hostile template can still end its own worker there; it can't do so in a short one, nor take memory.)
const FUEL: u64 = 50_000;
/// What each message adds.
const FUEL_PER_MESSAGE: u64 = 500;
/// Bytes of text that add one unit: enough to copy it 32 times.
const BYTES_PER_FUEL: usize = 2;

/// Why messages didn't become a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The model is not for chat.
    #[error(
        "the model {model:?} has no chat template, so it can't answer messages; send a text to completions instead, or use a model that was trained for chat (often named \"instruct\")"
    )]
    Missing {
        /// The model's id.
        model: String,
    },
    /// `tokenizer_config.json` has templates of which none is the default.
    #[error(
        "the model has the chat templates {0}, and none is named \"default\"; add a chat_template.jinja with the one to use"
    )]
    NoDefault(String),
    /// The template is of no kind that we know.
    #[error(
        "chat_template is neither a text nor a list of named templates; fix tokenizer_config.json, or add a chat_template.jinja"
    )]
    Shape,
    /// It isn't Jinja.
    #[error(
        "the model's chat template is broken, line {line}: {message}; fix the template, or send a text to completions instead"
    )]
    Syntax {
        /// Line of the template, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It failed on these messages.
    #[error("the model's chat template failed on these messages, line {line}: {message}")]
    Render {
        /// Line of the template, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The template itself says that it doesn't take such messages.
    #[error("the model's chat template doesn't take these messages: {0}")]
    Refused(String),
    /// It ran out of `FUEL`.
    #[error("the model's chat template doesn't end, line {line}; fix the template, or send fewer messages")]
    Endless {
        /// Line of the template, from 1.
        line: usize,
    },
}

/// A chat template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    source: String,
}

/// What a template sees.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The messages, as objects.
    pub messages: &'a [serde_json::Value],
    /// Ends the prompt with the beginning of an answer.
    pub add_generation_prompt: bool,
    /// `bos_token`, as text.
    pub bos_token: &'a str,
    /// `eos_token`, as text.
    pub eos_token: &'a str,
    /// Further variables: a request's `chat_template_kwargs`.
    pub variables: &'a Map<String, serde_json::Value>,
    /// Seconds since 1970 on the user's clock (UTC plus their offset), for `strftime_now`; without it, that function
    /// is not defined, and templates fall back on a date of their own.
    pub local_time_s: Option<i64>,
}

impl ChatTemplate {
    /// Takes a template's text, which is not looked at yet.
    pub fn new(source: &str) -> Self {
        Self { source: source::without_generation_tags(source) }
    }

    /// Whether it parses.
    pub fn check(&self) -> Result<(), TemplateError> {
        self.parse(&environment(None)).map(|_| ())
    }

    /// Whether it knows a role, so far as one can tell without running it.
    pub fn mentions(&self, word: &str) -> bool {
        self.source.contains(word)
    }

    /// Renders the messages.
    pub fn render(&self, inputs: &Inputs<'_>) -> Result<String, TemplateError> {
        let mut environment = environment(inputs.local_time_s);
        let bytes: usize = inputs.messages.iter().chain(inputs.variables.values()).map(text_bytes).sum();
        let fuel = FUEL + FUEL_PER_MESSAGE * inputs.messages.len() as u64 + (bytes / BYTES_PER_FUEL) as u64;
        environment.set_fuel(Some(fuel));
        let template = self.parse(&environment)?;
        let none = || Value::from(());
        let given = [
            ("messages", inputs.messages.iter().map(python::value).collect()),
            ("add_generation_prompt", Value::from(inputs.add_generation_prompt)),
            ("bos_token", Value::from(inputs.bos_token)),
            ("eos_token", Value::from(inputs.eos_token)),
            // `apply_chat_template` passes these as None: templates test them with `is not none`.
            ("tools", none()),
            ("documents", none()),
        ];
        let given = given.into_iter().map(|(name, value)| (name.to_owned(), value));
        let further = inputs.variables.iter().map(|(name, json)| (name.clone(), python::value(json)));
        template.render(Value::from_pairs(further.chain(given))).map_err(|error| render_error(&error))
    }

    fn parse<'a>(&'a self, environment: &'a Environment<'a>) -> Result<minijinja::Template<'a, 'a>, TemplateError> {
        environment
            .template_from_named_str("chat_template", &self.source)
            .map_err(|error| TemplateError::Syntax { line: error.line().unwrap_or(1), message: describe(&error) })
    }
}

/// The settings of `transformers.utils.chat_template_utils`.
fn environment(local_time_s: Option<i64>) -> Environment<'static> {
    let mut environment = Environment::new();
    // The builder can only fail on delimiters, and these stay as they are.
    if let Ok(syntax) = minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    python::add_to(&mut environment, local_time_s);
    environment
}

/// How much text a value holds.
fn text_bytes(json: &serde_json::Value) -> usize {
    match json {
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(items) => items.iter().map(text_bytes).sum(),
        serde_json::Value::Object(fields) => fields.iter().map(|(name, json)| name.len() + text_bytes(json)).sum(),
        _ => 1,
    }
}

fn render_error(error: &minijinja::Error) -> TemplateError {
    let line = error.line().unwrap_or(1);
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(python::Refused(message)) = cause.downcast_ref() {
            return TemplateError::Refused(message.clone());
        }
        if cause.downcast_ref::<minijinja::Error>().is_some_and(|error| error.kind() == ErrorKind::OutOfFuel) {
            return TemplateError::Endless { line };
        }
        source = cause.source();
    }
    TemplateError::Render { line, message: describe(error) }
}

/// The innermost cause says most.
fn describe(error: &minijinja::Error) -> String {
    let detail =
        error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    error.source().map_or_else(|| detail.clone(), |cause| format!("{detail} ({cause})"))
}

#[cfg(test)]
mod tests;
