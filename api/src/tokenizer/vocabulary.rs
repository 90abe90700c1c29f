//! A tokenizer rebuilt from the vocabulary that a GGUF carries.
//!
//! Two kinds, by `tokenizer.ggml.model`:
//!
//! - `gpt2`, byte-level BPE: tokens and merges are in the file, the splitting rules are a name (`pretokenizers`).
//! - `llama`, `SentencePiece` BPE: there are no merges, only a score per token, and the pair whose union has the best
//!   score is merged first. Every split of a token into two tokens is therefore a merge, ranked by the token's score;
//!   that is how `transformers` converts such models too. Characters outside the vocabulary become byte tokens.
//!
//! Token types come from the file: control (3) and unknown (2) tokens are special, they and user-defined (4) ones are
//! matched as a whole wherever they stand in a text.

use super::pieces::{Alphabet, Pieces, fallback_byte};
use super::{Boundary, MAX_TOKENS, Tokenizer, TokenizerError, pretokenizers};
use std::collections::{HashMap, HashSet};
use tilewright_plan::TokenId;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

/// Longer than any token of a real vocabulary; bounds the work of finding merges in a hostile one.
const MAX_TOKEN_BYTES: usize = 1024;

/// What a GGUF says of its tokenizer, under the keys `tokenizer.ggml.*`.
#[derive(Clone, Debug, Default)]
pub struct GgufVocabulary<'a> {
    /// `model`: "gpt2" or "llama".
    pub model: &'a str,
    /// `pre`; absent in old files.
    pub pre: Option<&'a str>,
    /// `tokens`, by id.
    pub tokens: &'a [String],
    /// `token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. Empty: all normal.
    pub token_types: Vec<i64>,
    /// `scores`; needed for "llama".
    pub scores: Vec<f32>,
    /// `merges`: "left right", best first; needed for "gpt2".
    pub merges: &'a [String],
    /// `bos_token_id`.
    pub bos: Option<u64>,
    /// `eos_token_id`.
    pub eos: Option<u64>,
    /// `unknown_token_id`.
    pub unknown: Option<u64>,
    /// `add_bos_token`.
    pub add_bos: Option<bool>,
    /// `add_eos_token`.
    pub add_eos: Option<bool>,
    /// `add_space_prefix`.
    pub add_space_prefix: Option<bool>,
}

impl GgufVocabulary<'_> {
    /// Whether a token has no text of its own: unknown or control.
    pub fn is_special(&self, id: usize) -> bool {
        matches!(self.token_types.get(id), Some(2 | 3))
    }

    /// Whether a token is matched as a whole in a text: special, or user-defined.
    pub fn is_whole(&self, id: usize) -> bool {
        matches!(self.token_types.get(id), Some(2..=4))
    }

    /// Builds the tokenizer.
    pub fn build(&self) -> Result<Tokenizer, TokenizerError> {
        self.check()?;
        match self.model {
            "gpt2" => self.byte_level(),
            "llama" => self.sentence_piece(),
            other => Err(TokenizerError::Model(other.to_owned())),
        }
    }

    fn check(&self) -> Result<(), TokenizerError> {
        let tokens = self.tokens.len();
        if tokens == 0 {
            return Err(TokenizerError::NoVocabulary);
        }
        if tokens > MAX_TOKENS as usize {
            return Err(TokenizerError::LargeId((tokens - 1).try_into().unwrap_or(u32::MAX)));
        }
        for (key, len) in
            [("tokenizer.ggml.token_type", self.token_types.len()), ("tokenizer.ggml.scores", self.scores.len())]
        {
            if len != 0 && len != tokens {
                return Err(TokenizerError::Lengths { key, len, tokens });
            }
        }
        if let Some((id, token)) = self.tokens.iter().enumerate().find(|(_, token)| token.len() > MAX_TOKEN_BYTES) {
            return Err(TokenizerError::LongToken { id, bytes: token.len(), limit: MAX_TOKEN_BYTES });
        }
        Ok(())
    }

    fn byte_level(&self) -> Result<Tokenizer, TokenizerError> {
        let name = self.pre.unwrap_or_default();
        let rules = pretokenizers::find(name).ok_or_else(|| TokenizerError::PreTokenizer(name.to_owned()))?;

        let known: HashSet<&str> = self.tokens.iter().map(String::as_str).collect();
        let mut merges = Merges::with_capacity(self.merges.len());
        for (index, merge) in self.merges.iter().enumerate() {
            // A token's own text may hold no space, but a merge may begin with one in odd vocabularies.
            let split = merge.char_indices().skip(1).find(|&(_, char)| char == ' ').map(|(at, _)| merge.split_at(at));
            let pair = split.map(|(left, right)| (left.to_owned(), right[1..].to_owned()));
            let pair = pair.filter(|(left, right)| {
                known.contains(left.as_str())
                    && known.contains(right.as_str())
                    && known.contains(format!("{left}{right}").as_str())
            });
            merges.push(pair.ok_or_else(|| TokenizerError::Merge { index, merge: merge.clone() })?);
        }
        let model = BPE::builder().vocab_and_merges(self.vocab(), merges).ignore_merges(rules.ignore_merges);
        let mut inner = tokenizers::Tokenizer::new(model.build().map_err(failed)?);

        let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
        for pattern in rules.patterns {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            steps.push(Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?.into());
        }
        steps.push(ByteLevel::new(false, true, false).into());
        inner.with_pre_tokenizer(Some(PreTokenizers::new(steps)));
        self.finish(inner, &Alphabet::byte_level(), rules.add_bos)
    }

    fn sentence_piece(&self) -> Result<Tokenizer, TokenizerError> {
        if self.scores.is_empty() {
            return Err(TokenizerError::Lengths { key: "tokenizer.ggml.scores", len: 0, tokens: self.tokens.len() });
        }
        let has_bytes = self.tokens.iter().any(|token| fallback_byte(token).is_some());
        let unknown = self.special("tokenizer.ggml.unknown_token_id", self.unknown)?;
        let unknown = unknown.and_then(|id| self.tokens.get(id.0 as usize));
        if !has_bytes && unknown.is_none() {
            return Err(TokenizerError::NoFallback);
        }
        let mut model = BPE::builder()
            .vocab_and_merges(self.vocab(), self.merges_by_score())
            .byte_fallback(has_bytes)
            .fuse_unk(true);
        if let Some(unknown) = unknown {
            model = model.unk_token(unknown.clone());
        }
        let mut inner = tokenizers::Tokenizer::new(model.build().map_err(failed)?);

        let prefix = self.add_space_prefix.unwrap_or(true);
        let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
        if prefix {
            normalizers.push(Prepend::new("▁".to_owned()).into());
        }
        normalizers.push(Replace::new(" ", "▁").map_err(failed)?.into());
        inner.with_normalizer(Some(Normalizers::new(normalizers)));
        self.finish(inner, &Alphabet::sentence_piece(prefix), true)
    }

    /// Every way to put a token together from two others, best score first; for one score longer left parts first.
    fn merges_by_score(&self) -> Merges {
        let ordinary = |id: usize| matches!(self.token_types.get(id), None | Some(1));
        let ids: HashMap<&str, usize> = self
            .tokens
            .iter()
            .enumerate()
            .rev()
            .filter(|&(id, _)| ordinary(id))
            .map(|(id, token)| (token.as_str(), id))
            .collect();
        let mut merges: Vec<(f32, usize, usize, &str, &str)> = Vec::new();
        for ((id, token), &score) in self.tokens.iter().enumerate().zip(&self.scores) {
            if !ordinary(id) {
                continue;
            }
            let chars = token.chars().count();
            for (before, (at, _)) in token.char_indices().enumerate().skip(1) {
                let (left, right) = token.split_at(at);
                if ids.contains_key(left) && ids.contains_key(right) {
                    merges.push((score, before, chars - before, left, right));
                }
            }
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (b.1, b.2).cmp(&(a.1, a.2))));
        merges.into_iter().map(|(.., left, right)| (left.to_owned(), right.to_owned())).collect()
    }

    /// Token -> id; the first of two tokens with one text wins.
    fn vocab(&self) -> Vocab {
        self.tokens.iter().enumerate().rev().map(|(id, token)| (token.clone(), id as u32)).collect()
    }

    fn finish(
        &self,
        mut inner: tokenizers::Tokenizer,
        alphabet: &Alphabet,
        add_bos: bool,
    ) -> Result<Tokenizer, TokenizerError> {
        let mut whole = Vec::new();
        let mut pieces = Pieces::new(alphabet.strips_space);
        for (id, token) in self.tokens.iter().enumerate() {
            if self.is_whole(id) {
                whole.push(AddedToken::from(token.as_str(), self.is_special(id)).normalized(false));
            }
            pieces.push(&alphabet.bytes(token), self.is_special(id))?;
        }
        inner.add_tokens(&whole);

        let bos = self.special("tokenizer.ggml.bos_token_id", self.bos)?;
        let eos = self.special("tokenizer.ggml.eos_token_id", self.eos)?;
        if self.add_bos == Some(true) && bos.is_none() {
            return Err(TokenizerError::NoSpecialToken("BOS"));
        }
        if self.add_eos == Some(true) && eos.is_none() {
            return Err(TokenizerError::NoSpecialToken("EOS"));
        }
        let boundary = Boundary::Ids {
            bos: bos.filter(|_| self.add_bos.unwrap_or(add_bos)),
            eos: eos.filter(|_| self.add_eos == Some(true)),
        };
        let longest = pieces.has_every_byte().then(|| pieces.longest());
        Ok(Tokenizer { inner, pieces, boundary, longest })
    }

    /// A special token's id, which has to be one of the vocabulary.
    fn special(&self, key: &'static str, id: Option<u64>) -> Result<Option<TokenId>, TokenizerError> {
        let Some(id) = id else { return Ok(None) };
        let tokens = self.tokens.len();
        let known = u32::try_from(id).ok().filter(|&id| (id as usize) < tokens);
        known.map(|id| Some(TokenId(id))).ok_or(TokenizerError::SpecialToken { key, id, tokens })
    }
}

fn failed(error: impl std::fmt::Display) -> TokenizerError {
    TokenizerError::Failed(error.to_string())
}
