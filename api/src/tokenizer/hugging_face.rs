//! A tokenizer from `tokenizer.json`.
//!
//! Everything in the file is honoured but two things that are meant for training and would damage a prompt in silence:
//! truncation and padding. Where `tokenizer_config.json` says outright whether BOS and EOS are added
//! (`add_bos_token`, `add_eos_token`), that wins over the post-processor, as it does in `transformers`.

use super::pieces::{Alphabet, Pieces};
use super::{Boundary, MAX_TOKENS, Tokenizer, TokenizerError};
use serde::Deserialize;
use serde_json::Value;
use tilewright_plan::TokenId;
use tokenizers::models::ModelWrapper;

/// What `tokenizer_config.json` says of the tokens around a raw prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedByConfig {
    /// `add_bos_token`.
    pub add_bos: Option<bool>,
    /// `add_eos_token`.
    pub add_eos: Option<bool>,
    /// `bos_token`.
    pub bos: Option<String>,
    /// `eos_token`.
    pub eos: Option<String>,
}

/// What has to be looked at before `tokenizers` reads the file: two of its parts trust their input.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Model {
    continuing_subword_prefix: Option<String>,
}

impl Parts {
    fn check(&self) -> Result<(), TokenizerError> {
        if has_type(&self.normalizer, "Precompiled") {
            return Err(TokenizerError::Part("a precompiled normalizer"));
        }
        let prefix = self.model.as_ref().and_then(|model| model.continuing_subword_prefix.as_deref());
        if prefix.is_some_and(|prefix| !prefix.is_empty()) {
            return Err(TokenizerError::Part("a prefix for continued words"));
        }
        Ok(())
    }
}

/// Whether a part or one of its parts is of a type.
fn has_type(part: &Value, name: &str) -> bool {
    match part {
        Value::Object(fields) => {
            fields.get("type").and_then(Value::as_str) == Some(name) || fields.values().any(|part| has_type(part, name))
        }
        Value::Array(parts) => parts.iter().any(|part| has_type(part, name)),
        _ => false,
    }
}

impl Tokenizer {
    /// Reads the text of a `tokenizer.json`.
    pub fn from_json(tokenizer_json: &str, added: &AddedByConfig) -> Result<Self, TokenizerError> {
        let json = |error: &dyn std::fmt::Display| TokenizerError::Json(error.to_string());
        let parts: Parts = serde_json::from_str(tokenizer_json).map_err(|error| json(&error))?;
        parts.check()?;
        let mut inner: tokenizers::Tokenizer = tokenizer_json.parse().map_err(|error| json(&error))?;
        inner.with_truncation(None).map_err(|error| json(&error))?;
        inner.with_padding(None);
        if let ModelWrapper::BPE(model) = inner.get_model()
            && model.dropout.is_some_and(|dropout| dropout > 0.0)
        {
            return Err(TokenizerError::Json("its model has a dropout, so ids would be random".to_owned()));
        }

        let decoder = inner.get_decoder().map(serde_json::to_value).transpose().map_err(|error| json(&error))?;
        let alphabet = Alphabet::of_decoder(&decoder.unwrap_or(Value::Null))?;

        let mut tokens: Vec<(u32, String)> = inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).collect();
        tokens.sort_unstable();
        let special = inner.get_added_tokens_decoder();
        let mut pieces = Pieces::new(alphabet.strips_space);
        for (id, token) in tokens {
            if id >= MAX_TOKENS {
                return Err(TokenizerError::LargeId(id));
            }
            while pieces.len() < id {
                pieces.push(b"", false)?;
            }
            if pieces.len() == id {
                pieces.push(&alphabet.bytes(&token), special.get(&id).is_some_and(|token| token.special))?;
            }
        }

        let eats_text = inner.get_normalizer().is_some() || special.values().any(|token| token.lstrip || token.rstrip);
        let longest = (!eats_text && pieces.has_every_byte()).then(|| pieces.longest());
        let boundary = if added.add_bos.is_none() && added.add_eos.is_none() {
            Boundary::PostProcessor
        } else {
            let find = |wanted: Option<bool>, name: &Option<String>, what| {
                if wanted != Some(true) {
                    return Ok(None);
                }
                let id = name.as_deref().and_then(|name| inner.token_to_id(name)).map(TokenId);
                id.ok_or(TokenizerError::NoSpecialToken(what)).map(Some)
            };
            Boundary::Ids { bos: find(added.add_bos, &added.bos, "BOS")?, eos: find(added.add_eos, &added.eos, "EOS")? }
        };
        Ok(Self { inner, pieces, boundary, longest })
    }
}
