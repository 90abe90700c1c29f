//! A model as this crate sees it: a vocabulary, a chat template, the ids that end an answer, and sampling defaults.
//!
//! What tokens end an answer is spread over a model's files, and no single place has all of it: a GGUF names an
//! end-of-sequence token, and chat models often end a turn with another one that is only known by its name; so every
//! id that a file gives is taken, and in a GGUF every control token with one of the usual names (`END_NAMES`).

use crate::ApiError;
use crate::request::Defaults;
use crate::template::{ChatTemplate, TemplateError, from_tokenizer_config};
use crate::tokenizer::{AddedByConfig, GgufVocabulary, Tokenizer, TokenizerError};
use serde_json::{Map, Value};
use thiserror::Error;
use tilewright_formats::FormatError;
use tilewright_formats::gguf::Metadata;
use tilewright_plan::TokenId;

/// Names that mean "my answer ends here" in the vocabularies of common models.
const END_NAMES: [&str; 12] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<EOT>",
    "</s>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
];

/// Why a model can't be talked to.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The GGUF's metadata lacks something, or has something of the wrong type.
    #[error(transparent)]
    Metadata(#[from] FormatError),
    /// The vocabulary can't be used.
    #[error("model {model:?}: {error}")]
    Tokenizer {
        /// The model's id.
        model: String,
        /// Why not.
        error: TokenizerError,
    },
    /// A file isn't JSON.
    #[error("model {model:?}: {file} is not JSON ({error}); fetch it again")]
    Json {
        /// The model's id.
        model: String,
        /// Which file.
        file: &'static str,
        /// What is wrong and where.
        error: String,
    },
    /// A sampling default is out of range.
    #[error("model {model:?}: the default in {place} is wrong: {error}")]
    Default {
        /// The model's id.
        model: String,
        /// File or key.
        place: &'static str,
        /// What is wrong.
        error: String,
    },
}

impl From<TokenizerError> for ApiError {
    fn from(error: TokenizerError) -> Self {
        Self::server("tokenizer_error", error.to_string())
    }
}

impl From<ModelError> for ApiError {
    fn from(error: ModelError) -> Self {
        Self::server("model_error", error.to_string())
    }
}

/// The text files of a folder in Hugging Face layout.
#[derive(Clone, Debug, Default)]
pub struct HuggingFaceFiles {
    /// `config.json`.
    pub config_json: String,
    /// `tokenizer.json`.
    pub tokenizer_json: String,
    /// `tokenizer_config.json`.
    pub tokenizer_config_json: Option<String>,
    /// `generation_config.json`.
    pub generation_config_json: Option<String>,
    /// `chat_template.jinja`; wins over the template in `tokenizer_config.json`.
    pub chat_template_jinja: Option<String>,
}

/// What has to be known of a model to talk to it.
#[derive(Debug)]
pub struct ChatModel {
    id: String,
    tokenizer: Tokenizer,
    template: Result<ChatTemplate, TemplateError>,
    stop_ids: Vec<TokenId>,
    vocabulary: u32,
    /// Names of BOS and EOS, for templates.
    bos_name: String,
    eos_name: String,
    defaults: Defaults,
}

impl ChatModel {
    /// From a GGUF's metadata. A chat template that doesn't parse is not an error here: raw prompts work without.
    pub fn from_gguf(id: &str, metadata: &Metadata) -> Result<Self, ModelError> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let vocabulary = GgufVocabulary {
            model: metadata.string(&key("model"))?,
            pre: metadata.optional_string(&key("pre"))?,
            tokens: metadata.strings(&key("tokens"))?,
            token_types: metadata.optional_integers(&key("token_type"))?.unwrap_or_default(),
            scores: metadata.optional_floats(&key("scores"))?.unwrap_or_default(),
            merges: metadata.optional_strings(&key("merges"))?.unwrap_or_default(),
            bos: metadata.optional_u64(&key("bos_token_id"))?,
            eos: metadata.optional_u64(&key("eos_token_id"))?,
            unknown: metadata.optional_u64(&key("unknown_token_id"))?,
            add_bos: metadata.optional_bool(&key("add_bos_token"))?,
            add_eos: metadata.optional_bool(&key("add_eos_token"))?,
            add_space_prefix: metadata.optional_bool(&key("add_space_prefix"))?,
        };
        let tokenizer = vocabulary.build().map_err(|error| ModelError::Tokenizer { model: id.to_owned(), error })?;

        let mut stop_ids = Vec::new();
        let ids = [
            vocabulary.eos,
            metadata.optional_u64(&key("eot_token_id"))?,
            metadata.optional_u64(&key("eom_token_id"))?,
        ];
        let named = END_NAMES.iter().filter_map(|name| tokenizer.token(name));
        let named = named.filter(|id| vocabulary.is_whole(id.0 as usize)).map(|id| u64::from(id.0));
        for id in ids.into_iter().flatten().chain(named) {
            add_id(&mut stop_ids, id, tokenizer.vocabulary());
        }

        let mut sampling = Map::new();
        for (name, key) in [
            ("temperature", "general.sampling.temp"),
            ("top_k", "general.sampling.top_k"),
            ("top_p", "general.sampling.top_p"),
            ("min_p", "general.sampling.min_p"),
            ("repetition_penalty", "general.sampling.penalty_repeat"),
        ] {
            if let Some(value) = metadata.get(key) {
                let number = value.as_i64().map(Value::from).or_else(|| value.as_f64().map(Value::from));
                sampling.insert(name.to_owned(), number.unwrap_or_default());
            }
        }
        let name_of = |id: Option<u64>| {
            id.and_then(|id| vocabulary.tokens.get(usize::try_from(id).ok()?)).cloned().unwrap_or_default()
        };
        Ok(Self {
            id: id.to_owned(),
            template: checked(id, Ok(metadata.optional_string("tokenizer.chat_template")?.map(str::to_owned))),
            stop_ids,
            vocabulary: tokenizer.vocabulary(),
            bos_name: name_of(vocabulary.bos),
            eos_name: name_of(vocabulary.eos),
            defaults: read_defaults(id, "general.sampling", &Value::Object(sampling))?,
            tokenizer,
        })
    }

    /// From a folder in Hugging Face layout. A chat template that doesn't parse is not an error here: raw prompts work
    /// without.
    pub fn from_hugging_face(id: &str, files: HuggingFaceFiles) -> Result<Self, ModelError> {
        let json = |file: &'static str, text: &str| {
            serde_json::from_str::<Value>(text).map_err(|error| ModelError::Json {
                model: id.to_owned(),
                file,
                error: error.to_string(),
            })
        };
        let optional = |file, text: &Option<String>| text.as_deref().map_or(Ok(Value::Null), |text| json(file, text));
        let config = json("config.json", &files.config_json)?;
        let tokenizer_config = optional("tokenizer_config.json", &files.tokenizer_config_json)?;
        let generation = optional("generation_config.json", &files.generation_config_json)?;

        // A special token is its text, or an object with it.
        let name = |key: &str| {
            let token = tokenizer_config.get(key)?;
            token.as_str().or_else(|| token.get("content")?.as_str()).map(str::to_owned)
        };
        let flag = |key: &str| tokenizer_config.get(key).and_then(Value::as_bool);
        let (bos, eos) = (name("bos_token"), name("eos_token"));
        let added = AddedByConfig {
            add_bos: flag("add_bos_token"),
            add_eos: flag("add_eos_token"),
            bos: bos.clone(),
            eos: eos.clone(),
        };
        let tokenizer = Tokenizer::from_json(&files.tokenizer_json, &added)
            .map_err(|error| ModelError::Tokenizer { model: id.to_owned(), error })?;

        let width = config.get("vocab_size").and_then(Value::as_u64).and_then(|size| u32::try_from(size).ok());
        let vocabulary = tokenizer.vocabulary().max(width.unwrap_or(0));
        let mut stop_ids = Vec::new();
        for source in [&generation, &config] {
            match source.get("eos_token_id") {
                Some(Value::Array(ids)) => {
                    ids.iter().filter_map(Value::as_u64).for_each(|id| add_id(&mut stop_ids, id, vocabulary));
                }
                Some(id) => id.as_u64().into_iter().for_each(|id| add_id(&mut stop_ids, id, vocabulary)),
                None => {}
            }
        }
        if let Some(id) = eos.as_deref().and_then(|eos| tokenizer.token(eos)) {
            add_id(&mut stop_ids, id.0.into(), vocabulary);
        }

        let template = match files.chat_template_jinja {
            Some(template) => Ok(Some(template)),
            None => from_tokenizer_config(&tokenizer_config),
        };
        Ok(Self {
            id: id.to_owned(),
            template: checked(id, template),
            stop_ids,
            vocabulary,
            bos_name: bos.unwrap_or_default(),
            eos_name: eos.unwrap_or_default(),
            defaults: read_defaults(id, "generation_config.json", &generation)?,
            tokenizer,
        })
    }

    /// The model's id, which answers carry.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Its chat template; an error if it has none, or one that doesn't parse.
    pub fn chat_template(&self) -> Result<&ChatTemplate, TemplateError> {
        self.template.as_ref().map_err(Clone::clone)
    }

    /// The ids that end an answer.
    pub fn stop_ids(&self) -> &[TokenId] {
        &self.stop_ids
    }

    /// Token ids are below it.
    pub fn vocabulary(&self) -> u32 {
        self.vocabulary
    }

    /// Ids of a raw prompt, as `completions` encodes it.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, TokenizerError> {
        self.tokenizer.encode(text)
    }

    /// The text of ids, without special tokens.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        self.tokenizer.decode(ids)
    }

    pub(crate) fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    pub(crate) fn boundary_names(&self) -> (&str, &str) {
        (&self.bos_name, &self.eos_name)
    }
}

/// Ids outside the vocabulary can never be sampled, so leaving them out changes nothing.
fn add_id(ids: &mut Vec<TokenId>, id: u64, vocabulary: u32) {
    if let Some(id) = u32::try_from(id).ok().filter(|&id| id < vocabulary).map(TokenId)
        && !ids.contains(&id)
    {
        ids.push(id);
    }
}

fn checked(id: &str, source: Result<Option<String>, TemplateError>) -> Result<ChatTemplate, TemplateError> {
    let source = source?.ok_or_else(|| TemplateError::Missing { model: id.to_owned() })?;
    let template = ChatTemplate::new(&source);
    template.check()?;
    Ok(template)
}

fn read_defaults(id: &str, place: &'static str, config: &Value) -> Result<Defaults, ModelError> {
    Defaults::read(config).map_err(|error| ModelError::Default { model: id.to_owned(), place, error: error.message })
}

#[cfg(test)]
pub(crate) mod tests;
