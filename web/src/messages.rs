//! What crosses to the worker's TypeScript, as JSON: the types of wasm-engine.ts and protocol.ts, in the same words.

use serde::Serialize;
use serde_json::Value;
use tilewright_api::ApiError;
use tilewright_host::{ClientId, Output, Phase, Progress, RequestId, Snapshot};
use tilewright_plan::TokenId;

/// `WasmOutput`.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Message {
    Chunk {
        client: ClientId,
        request: RequestId,
        seq: u64,
        chunk: Value,
        tokens: Vec<TokenId>,
    },
    Done {
        client: ClientId,
        request: RequestId,
    },
    Error {
        client: ClientId,
        #[serde(skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
        error: ApiError,
    },
    /// An `EngineSnapshot` as far as the engine knows it.
    Snapshot {
        client: ClientId,
        id: u64,
        snapshot: Box<Snapshot>,
    },
    /// The service ended though nobody shut it down.
    Ended {
        error: ApiError,
    },
}

impl From<Output> for Message {
    fn from(output: Output) -> Self {
        match output {
            Output::Chunk { client, request, seq, body, tokens } => {
                Self::Chunk { client, request, seq, chunk: body, tokens }
            }
            Output::Done { client, request } => Self::Done { client, request },
            Output::Error { client, request, error } => Self::Error { client, request, error },
            Output::Snapshot { client, id, snapshot } => Self::Snapshot { client, id, snapshot },
        }
    }
}

/// `WasmProgress`.
#[derive(Serialize)]
pub(crate) struct Loading {
    phase: &'static str,
    loaded: u64,
    total: Option<u64>,
}

impl From<Progress> for Loading {
    fn from(progress: Progress) -> Self {
        let phase = match progress.phase {
            Phase::Files => "starting",
            Phase::Weights => "downloading",
            Phase::Preparing => "preparing",
        };
        Self { phase, loaded: progress.loaded_bytes, total: progress.total_bytes }
    }
}

/// `ModelInfo`.
#[derive(Serialize)]
pub(crate) struct ModelInfo {
    pub(crate) model: String,
    pub(crate) device: String,
    pub(crate) family: &'static str,
    /// Tokens that a prompt and its answer may have together.
    pub(crate) context: u32,
    pub(crate) vocabulary: u32,
    pub(crate) memory: Memory,
}

/// Bytes on the device.
#[derive(Serialize)]
pub(crate) struct Memory {
    pub(crate) weights: u64,
    pub(crate) kv: u64,
    pub(crate) scratch: u64,
}
