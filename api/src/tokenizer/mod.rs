//! Text to token ids, and ids back to bytes.
//!
//! Encoding is the work of the crate `tokenizers`, set up either by a `tokenizer.json` (`hugging_face`) or from the
//! vocabulary that a GGUF carries (`vocabulary`, with the splitting rules of `pretokenizers`). Decoding is ours
//! (`pieces`): every token is a fixed string of bytes, and text is the bytes' lossy UTF-8. That is what the decoders of
//! byte-level vocabularies compute too, and unlike them it can be streamed: what was said is never changed by what
//! comes next. It differs from `tokenizers` in one case, byte-fallback tokens that aren't valid UTF-8, where
//! `tokenizers` turns a whole run of such tokens into `�`, its valid part included.

mod hugging_face;
mod pieces;
mod pretokenizers;
mod vocabulary;

use pieces::Pieces;
use thiserror::Error;
use tilewright_plan::TokenId;

pub use hugging_face::AddedByConfig;
pub use vocabulary::GgufVocabulary;

/// Why there is no tokenizer, or why it refused a text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// `tokenizer.json` is not JSON, or not one that `tokenizers` reads.
    #[error(
        "tokenizer.json can't be read: {0}; fetch the file again, or convert the model with a newer version of its tools"
    )]
    Json(String),
    /// The decoder can't be written as bytes per token.
    #[error(
        "the tokenizer's decoder {0} is not supported; supported are ByteLevel, Metaspace, and sequences of Replace, ByteFallback, Fuse and Strip"
    )]
    Decoder(String),
    /// A part that no language model of ours has and whose reader panics on bad input.
    #[error("tokenizer.json has {0}, which is not supported; use a GGUF of the model instead")]
    Part(&'static str),
    /// The GGUF has no tokens.
    #[error(
        "the file has no vocabulary (tokenizer.ggml.tokens is missing or empty); use a GGUF that was converted with its tokenizer"
    )]
    NoVocabulary,
    /// A vocabulary of another kind.
    #[error(
        "the vocabulary's kind {0:?} (tokenizer.ggml.model) is not supported; supported are \"gpt2\" (byte-level BPE) and \"llama\" (SentencePiece BPE)"
    )]
    Model(String),
    /// A pre-tokenizer that nobody here knows; guessing would give wrong ids.
    #[error(
        "the pre-tokenizer {0:?} (tokenizer.ggml.pre) is not known; use the model's Hugging Face folder, whose tokenizer.json says how it splits"
    )]
    PreTokenizer(String),
    /// Lists that should have one entry per token.
    #[error("{key} has {len} entries for {tokens} tokens; the file is damaged")]
    Lengths {
        /// Metadata key.
        key: &'static str,
        /// Its length.
        len: usize,
        /// Length of `tokenizer.ggml.tokens`.
        tokens: usize,
    },
    /// A merge that names no two tokens.
    #[error(
        "merge {index} of tokenizer.ggml.merges, {merge:?}, is not two tokens of the vocabulary; the file is damaged"
    )]
    Merge {
        /// Its place in the list.
        index: usize,
        /// Its text.
        merge: String,
    },
    /// A token longer than any real one.
    #[error("token {id} has {bytes} bytes, and at most {limit} are supported; the file is damaged")]
    LongToken {
        /// The token.
        id: usize,
        /// Its length.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// An id that no model has.
    #[error("the vocabulary has id {0}, and ids up to {limit} are supported; the file is damaged", limit = MAX_TOKENS - 1)]
    LargeId(u32),
    /// A special token that isn't in the vocabulary.
    #[error("{key} is {id}, and the vocabulary has {tokens} tokens; the file is damaged")]
    SpecialToken {
        /// Metadata key.
        key: &'static str,
        /// The id that it gives.
        id: u64,
        /// Size of the vocabulary.
        tokens: usize,
    },
    /// `add_bos_token` without a BOS token, or the same for EOS.
    #[error("the vocabulary asks for a {0} token around prompts and doesn't say which one it is; the file is damaged")]
    NoSpecialToken(&'static str),
    /// Nothing stands for characters outside the vocabulary.
    #[error(
        "the vocabulary has neither byte tokens nor an unknown token, so it can't encode every text; the file is damaged"
    )]
    NoFallback,
    /// `tokenizers` refused for another reason.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
}

/// More tokens than any model has (the largest have 2^18), few enough that a lying file can't fill memory.
const MAX_TOKENS: u32 = 1 << 22;

/// What is put around a raw prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boundary {
    /// What the post-processor of `tokenizer.json` says.
    PostProcessor,
    /// These ids.
    Ids { bos: Option<TokenId>, eos: Option<TokenId> },
}

/// A model's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pieces: Pieces,
    boundary: Boundary,
    /// No token stands for more bytes of text than that; `None` where a normalizer or a greedy special token can eat
    /// text.
    longest: Option<usize>,
}

impl Tokenizer {
    /// Ids of a raw prompt, with BOS and EOS where the vocabulary asks for them.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, TokenizerError> {
        match self.boundary {
            Boundary::PostProcessor => self.ids(text, true),
            Boundary::Ids { bos, eos } => {
                let mut ids: Vec<TokenId> = bos.into_iter().collect();
                ids.extend(self.ids(text, false)?);
                ids.extend(eos);
                Ok(ids)
            }
        }
    }

    /// Ids of a rendered chat template, which says itself where BOS and EOS stand: none is added.
    pub fn encode_rendered(&self, text: &str) -> Result<Vec<TokenId>, TokenizerError> {
        self.ids(text, false)
    }

    fn ids(&self, text: &str, add_special_tokens: bool) -> Result<Vec<TokenId>, TokenizerError> {
        let encoding = self
            .inner
            .encode_fast(text, add_special_tokens)
            .map_err(|error| TokenizerError::Failed(error.to_string()))?;
        Ok(encoding.get_ids().iter().copied().map(TokenId).collect())
    }

    /// The text of ids, without special tokens; the space that `SentencePiece` puts before the first word is taken off.
    /// Ids outside the vocabulary have no text.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        let mut bytes = Vec::new();
        for &id in ids {
            bytes.extend_from_slice(self.visible(id));
        }
        let text = bytes.strip_prefix(b" ").filter(|_| self.strips_space()).unwrap_or(&bytes);
        String::from_utf8_lossy(text).into_owned()
    }

    /// A token's bytes as they appear in text: none for a special token.
    pub fn visible(&self, id: TokenId) -> &[u8] {
        if self.pieces.is_special(id) { &[] } else { self.pieces.bytes(id) }
    }

    /// A token's bytes; a special token's name.
    pub fn literal(&self, id: TokenId) -> &[u8] {
        self.pieces.bytes(id)
    }

    /// Whether decoding takes a space off the start of a text.
    pub fn strips_space(&self) -> bool {
        self.pieces.strips_space()
    }

    /// The id of a token by its name in the vocabulary.
    pub fn token(&self, name: &str) -> Option<TokenId> {
        self.inner.token_to_id(name).map(TokenId)
    }

    /// Whether a token is special: control tokens have no text.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.pieces.is_special(id)
    }

    /// One more than the largest id. A model's output may be wider: some pad it.
    pub fn vocabulary(&self) -> u32 {
        self.pieces.len()
    }

    /// At least as many tokens come from a text of so many bytes. Cheap, so that a prompt which can't fit is refused
    /// before it is tokenized.
    pub fn fewest_tokens(&self, text_bytes: usize) -> usize {
        self.longest.map_or(0, |longest| text_bytes.div_ceil(longest.max(1)))
    }
}
