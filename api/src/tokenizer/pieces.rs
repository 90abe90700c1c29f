//! What each token says, as bytes: one flat table, built once.
//!
//! A vocabulary's tokens are written in one of two alphabets. Byte-level vocabularies (GPT-2's) use 256 printable
//! characters for the 256 bytes. `SentencePiece` vocabularies write a space as `▁` and bytes without a token of their
//! own as `<0xNN>`. The decoder of a `tokenizer.json` says which; [`Alphabet`] is what we read of it.

use super::{MAX_TOKENS, TokenizerError};
use serde_json::Value;
use tilewright_plan::TokenId;

/// Token id -> bytes, and whether the token is special.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    /// All tokens' bytes, one after the other, in the order of ids.
    bytes: Vec<u8>,
    /// Where each token's bytes end.
    ends: Vec<usize>,
    special: Vec<bool>,
    strips_space: bool,
}

impl Pieces {
    pub(super) fn new(strips_space: bool) -> Self {
        Self { strips_space, ..Self::default() }
    }

    /// Appends the next id's token.
    pub(super) fn push(&mut self, bytes: &[u8], special: bool) -> Result<(), TokenizerError> {
        if self.len() >= MAX_TOKENS {
            return Err(TokenizerError::LargeId(self.len()));
        }
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        self.special.push(special);
        Ok(())
    }

    pub(super) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    pub(super) fn bytes(&self, id: TokenId) -> &[u8] {
        let id = id.0 as usize;
        let start = id.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(id).and_then(|&end| self.bytes.get(start..end)).unwrap_or_default()
    }

    pub(super) fn is_special(&self, id: TokenId) -> bool {
        self.special.get(id.0 as usize).copied().unwrap_or(false)
    }

    pub(super) fn strips_space(&self) -> bool {
        self.strips_space
    }

    /// Whether any text can be written, so that none of it is dropped or replaced.
    pub(super) fn has_every_byte(&self) -> bool {
        let mut seen = [false; 256];
        for id in 0..self.len() {
            if let [byte] = self.bytes(TokenId(id)) {
                seen[usize::from(*byte)] = true;
            }
        }
        seen.iter().all(|&seen| seen)
    }

    /// Length of the longest token.
    pub(super) fn longest(&self) -> usize {
        let mut start = 0;
        let mut longest = 0;
        for &end in &self.ends {
            longest = longest.max(end - start);
            start = end;
        }
        longest
    }
}

/// What a decoder does to one token.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// GPT-2's characters are bytes.
    ByteLevel,
    /// `<0xNN>` is a byte.
    ByteFallback,
    /// `▁` is a space.
    Replace { from: String, to: String },
}

/// How a vocabulary writes bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alphabet {
    steps: Vec<Step>,
    /// The decoder takes one space off the start of the text.
    pub(super) strips_space: bool,
}

impl Alphabet {
    /// GPT-2's.
    pub(super) fn byte_level() -> Self {
        Self { steps: vec![Step::ByteLevel], strips_space: false }
    }

    /// `SentencePiece`'s.
    pub(super) fn sentence_piece(strips_space: bool) -> Self {
        let space = Step::Replace { from: '▁'.into(), to: ' '.into() };
        Self { steps: vec![Step::ByteFallback, space], strips_space }
    }

    /// What the `decoder` of a `tokenizer.json` says.
    pub(super) fn of_decoder(decoder: &Value) -> Result<Self, TokenizerError> {
        let mut alphabet = Self { steps: Vec::new(), strips_space: false };
        alphabet.read(decoder)?;
        Ok(alphabet)
    }

    fn read(&mut self, decoder: &Value) -> Result<(), TokenizerError> {
        let unsupported = || TokenizerError::Decoder(decoder.to_string());
        let text = |key: &str| decoder.get(key).and_then(Value::as_str);
        match text("type").ok_or_else(unsupported)? {
            "Sequence" => {
                for step in decoder.get("decoders").and_then(Value::as_array).ok_or_else(unsupported)? {
                    self.read(step)?;
                }
            }
            "ByteLevel" => self.steps.push(Step::ByteLevel),
            "ByteFallback" => self.steps.push(Step::ByteFallback),
            "Fuse" => {}
            "Metaspace" => {
                let from = text("replacement").unwrap_or("▁").to_owned();
                self.steps.push(Step::Replace { from, to: " ".to_owned() });
                self.strips_space |= text("prepend_scheme") != Some("never");
            }
            "Replace" => {
                let from =
                    decoder.pointer("/pattern/String").and_then(Value::as_str).ok_or_else(unsupported)?.to_owned();
                let to = text("content").ok_or_else(unsupported)?.to_owned();
                self.steps.push(Step::Replace { from, to });
            }
            // Llama's: after Fuse, so it is the text's first character that goes.
            "Strip" => {
                let count = |key: &str| decoder.get(key).and_then(Value::as_u64);
                if text("content") != Some(" ") || count("start") != Some(1) || count("stop") != Some(0) {
                    return Err(unsupported());
                }
                self.strips_space = true;
            }
            _ => return Err(unsupported()),
        }
        Ok(())
    }

    /// The bytes that a token stands for.
    pub(super) fn bytes(&self, token: &str) -> Vec<u8> {
        let mut text = token.to_owned();
        for step in &self.steps {
            match step {
                Step::ByteLevel => {
                    return token.chars().map(byte_of).collect::<Option<Vec<u8>>>().unwrap_or(text.into_bytes());
                }
                Step::ByteFallback => {
                    if let Some(byte) = fallback_byte(token) {
                        return vec![byte];
                    }
                }
                Step::Replace { from, to } => text = text.replace(from, to),
            }
        }
        text.into_bytes()
    }
}

/// The byte of `<0xNN>`.
pub(super) fn fallback_byte(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() == 2 { u8::from_str_radix(hex, 16).ok() } else { None }
}

/// The byte that a character of GPT-2's alphabet stands for: printable Latin-1 stands for itself, and U+0100 onwards
/// for the 68 other bytes in order.
fn byte_of(char: char) -> Option<u8> {
    match char {
        '!'..='~' | '¡'..='¬' | '®'..='ÿ' => Some(char as u8),
        '\u{100}'..='\u{120}' => Some((char as u32 - 0x100) as u8),
        '\u{121}'..='\u{142}' => Some((char as u32 - 0x121 + 0x7f) as u8),
        '\u{143}' => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn the_byte_level_alphabet_has_every_byte_once() {
        let bytes: BTreeSet<u8> = ('\0'..'\u{200}').filter_map(byte_of).collect();
        assert_eq!(bytes.len(), 256);
        assert_eq!(('\0'..'\u{200}').filter(|&char| byte_of(char).is_some()).count(), 256);
        assert_eq!((byte_of('Ġ'), byte_of('Ċ'), byte_of('ĉ')), (Some(b' '), Some(b'\n'), Some(b'\t')));
        let ours: BTreeSet<char> = ('\0'..'\u{200}').filter(|&char| byte_of(char).is_some()).collect();
        let theirs: BTreeSet<char> =
            tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn llamas_decoder_is_read_as_bytes_per_token() {
        let decoder = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
        let alphabet = Alphabet::of_decoder(&decoder).unwrap();
        assert!(alphabet.strips_space);
        assert_eq!(alphabet.bytes("▁Hello"), b" Hello");
        assert_eq!(alphabet.bytes("<0xE4>"), [0xe4]);
        assert_eq!(alphabet.bytes("<0xZZ>"), b"<0xZZ>");
    }

    #[test]
    fn a_decoder_that_is_not_bytes_per_token_is_an_error_that_names_it() {
        for decoder in [
            json!({"type": "WordPiece", "prefix": "##"}),
            json!({"type": "Strip", "content": " ", "start": 1, "stop": 4}),
            json!(7),
        ] {
            assert_eq!(Alphabet::of_decoder(&decoder), Err(TokenizerError::Decoder(decoder.to_string())));
        }
    }

    #[test]
    fn an_id_outside_the_table_has_no_bytes() {
        let mut pieces = Pieces::new(false);
        pieces.push(b"a", false).unwrap();
        pieces.push(b"bc", true).unwrap();
        assert_eq!(
            (pieces.bytes(TokenId(0)), pieces.bytes(TokenId(1)), pieces.bytes(TokenId(2))),
            (&b"a"[..], &b"bc"[..], &b""[..])
        );
        assert_eq!(pieces.bytes(TokenId(u32::MAX)), b"");
        assert_eq!(pieces.longest(), 2);
    }
}
