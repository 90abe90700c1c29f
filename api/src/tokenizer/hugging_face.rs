//! A tokenizer from `tokenizer.json`.
//!
//! Everything in the file is honoured but two things that are meant for training and would damage a prompt in silence:
//! truncation and padding. Where `tokenizer_config.json` says outright whether BOS and EOS are added
//! (`add_bos_token`, `add_eos_token`), that wins over the post-processor, as it does in `transformers`.

use super::pieces::{Alphabet, Pieces};
use super::{Boundary, MAX_TOKENS, Tokenizer, TokenizerError};
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

impl Tokenizer {
    /// Reads the text of a `tokenizer.json`.
    pub fn from_json(tokenizer_json: &str, added: &AddedByConfig) -> Result<Self, TokenizerError> {
        let json = |error: &dyn std::fmt::Display| TokenizerError::Json(error.to_string());
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
