//! The JSON of answers: chunks of a stream, and the whole.

use crate::request::Endpoint;
use serde_json::{Value, json};

/// What every object of one answer carries.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) endpoint: Endpoint,
    pub(super) id: String,
    pub(super) created_s: u64,
    pub(super) model: String,
    /// Chunks say `"usage": null` before the one that has it, if a chunk of its own was asked for.
    pub(super) include_usage: bool,
}

impl Envelope {
    fn object(&self, kind: &str, choices: &[Value], usage: Option<Value>) -> Value {
        let mut object = json!({
            "id": self.id, "object": kind, "created": self.created_s, "model": self.model, "choices": choices,
        });
        if let Some(usage) = usage
            && let Some(object) = object.as_object_mut()
        {
            object.insert("usage".to_owned(), usage);
        }
        object
    }

    fn chunk_kind(&self) -> &'static str {
        match self.endpoint {
            Endpoint::ChatCompletions => "chat.completion.chunk",
            Endpoint::Completions => "text_completion",
        }
    }

    fn chunk(
        &self,
        mut choice: Value,
        logprobs: Option<Value>,
        finish_reason: Option<&str>,
        usage: Option<Value>,
    ) -> Value {
        choice["index"] = json!(0);
        choice["logprobs"] = logprobs.unwrap_or_default();
        choice["finish_reason"] = json!(finish_reason);
        let usage = usage.or(self.include_usage.then_some(Value::Null));
        self.object(self.chunk_kind(), &[choice], usage)
    }

    /// The first chunk of a chat says whose words follow; a completion has none such.
    pub(super) fn first_chunk(&self) -> Option<Value> {
        let delta = json!({ "delta": { "role": "assistant", "content": "" } });
        (self.endpoint == Endpoint::ChatCompletions).then(|| self.chunk(delta, None, None, None))
    }

    pub(super) fn text_chunk(&self, text: &str, logprobs: Option<Value>) -> Value {
        let choice = match self.endpoint {
            Endpoint::ChatCompletions => json!({ "delta": { "content": text } }),
            Endpoint::Completions => json!({ "text": text }),
        };
        self.chunk(choice, logprobs, None, None)
    }

    /// The chunk that says why it ended, and the one after it if usage was asked for.
    pub(super) fn last_chunks(&self, finish_reason: &str, usage: Value) -> Vec<Value> {
        let choice = match self.endpoint {
            Endpoint::ChatCompletions => json!({ "delta": {} }),
            Endpoint::Completions => json!({ "text": "" }),
        };
        if self.include_usage {
            let end = self.chunk(choice, None, Some(finish_reason), None);
            vec![end, self.object(self.chunk_kind(), &[], Some(usage))]
        } else {
            vec![self.chunk(choice, None, Some(finish_reason), Some(usage))]
        }
    }

    /// The whole answer, without a stream.
    pub(super) fn whole(&self, text: &str, logprobs: Option<Value>, finish_reason: &str, usage: Value) -> Value {
        let (kind, mut choice) = match self.endpoint {
            Endpoint::ChatCompletions => (
                "chat.completion",
                json!({ "index": 0, "message": { "role": "assistant", "content": text, "refusal": null } }),
            ),
            Endpoint::Completions => ("text_completion", json!({ "index": 0, "text": text })),
        };
        choice["logprobs"] = logprobs.unwrap_or_default();
        choice["finish_reason"] = json!(finish_reason);
        self.object(kind, &[choice], Some(usage))
    }
}
