//! Log-probabilities as the two endpoints write them.
//!
//! They are said together with the text of their token: a token whose text is held back (half a character, perhaps a
//! stop text) keeps its log-probabilities back too, and a token that fell to a stop text has none.

use crate::request::Endpoint;
use crate::tokenizer::Tokenizer;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use tilewright_plan::{Sampled, TokenId};

/// What JSON can hold in place of minus infinity; `OpenAI` and vLLM write the same.
const LEAST: f32 = -9999.0;

/// One token's, with its place in the text.
#[derive(Clone, Debug)]
struct Entry {
    /// Byte of the text at which the token begins.
    start: usize,
    /// ... and ends.
    end: usize,
    /// The same as `start`, in characters.
    start_chars: usize,
    sampled: Sampled,
}

/// Entries that haven't been said.
#[derive(Clone, Debug, Default)]
pub(super) struct Logprobs {
    waiting: VecDeque<Entry>,
}

impl Logprobs {
    /// A token with the bytes of text (start and end) that it made certain.
    pub(super) fn push(&mut self, sampled: &Sampled, (start, start_chars): (usize, usize), end: usize) {
        self.waiting.push_back(Entry { start, end, start_chars, sampled: sampled.clone() });
    }

    /// What goes with the text up to byte `said`. At the `end` of the answer, a token that was cut by a stop text goes
    /// too.
    pub(super) fn take(&mut self, said: usize, end: bool, endpoint: Endpoint, tokenizer: &Tokenizer) -> Vec<Value> {
        let mut entries = Vec::new();
        while let Some(entry) = self.waiting.front()
            && (entry.end <= said || (end && entry.start < said))
        {
            entries.extend(self.waiting.pop_front().map(|entry| write(&entry, endpoint, tokenizer)));
        }
        entries
    }
}

/// An answer's `logprobs` from single entries.
pub(super) fn object(entries: &[Value], endpoint: Endpoint) -> Value {
    match endpoint {
        Endpoint::ChatCompletions => json!({ "content": entries, "refusal": null }),
        Endpoint::Completions => {
            let mut lists = Map::new();
            for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
                let list = entries.iter().map(|entry| entry.get(name).cloned().unwrap_or_default()).collect();
                lists.insert(name.to_owned(), Value::Array(list));
            }
            Value::Object(lists)
        }
    }
}

fn write(entry: &Entry, endpoint: Endpoint, tokenizer: &Tokenizer) -> Value {
    let Sampled { token, logprob, top_logprobs, .. } = &entry.sampled;
    let logprob = logprob.unwrap_or(LEAST);
    match endpoint {
        Endpoint::ChatCompletions => {
            let mut object = token_object(*token, logprob, tokenizer);
            let top =
                top_logprobs.iter().map(|&(token, logprob)| Value::Object(token_object(token, logprob, tokenizer)));
            object.insert("top_logprobs".to_owned(), top.collect());
            Value::Object(object)
        }
        // One entry's column of the four lists.
        Endpoint::Completions => {
            let top = top_logprobs.iter().map(|&(token, logprob)| (token_name(token, tokenizer), number(logprob)));
            json!({
                "tokens": token_name(*token, tokenizer),
                "token_logprobs": number(logprob),
                "top_logprobs": top.collect::<Map<String, Value>>(),
                "text_offset": entry.start_chars,
            })
        }
    }
}

fn token_object(token: TokenId, logprob: f32, tokenizer: &Tokenizer) -> Map<String, Value> {
    let bytes = tokenizer.literal(token);
    let mut object = Map::new();
    object.insert("token".to_owned(), String::from_utf8_lossy(bytes).into_owned().into());
    object.insert("logprob".to_owned(), number(logprob));
    object.insert("bytes".to_owned(), bytes.iter().map(|&byte| Value::from(byte)).collect());
    object
}

/// A token as the key of a map: bytes that are no text are written out, so that no two tokens have one name.
fn token_name(token: TokenId, tokenizer: &Tokenizer) -> String {
    let bytes = tokenizer.literal(token);
    std::str::from_utf8(bytes).map_or_else(
        |_| {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("bytes:{}", hex.concat())
        },
        str::to_owned,
    )
}

/// f32 by its shortest digits, and not as the f64 next to it.
fn number(logprob: f32) -> Value {
    let finite = if logprob.is_nan() { LEAST } else { logprob.max(LEAST) };
    Value::from(finite.to_string().parse::<f64>().unwrap_or(f64::from(finite)))
}
