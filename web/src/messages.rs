//! What crosses to the worker's TypeScript, as JSON: the types of wasm-engine.ts and protocol.ts, in the same words.

use serde::Serialize;
use serde_json::Value;
use tilewright_api::ApiError;
use tilewright_host::{ClientId, Output, RequestId, Service, Snapshot};
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
    /// What the tuner answers.
    Tuning {
        client: ClientId,
        id: u32,
        answer: Value,
    },
    /// The executor is gone; requests wait for another.
    Moving {
        reason: String,
    },
    /// Another one computes.
    Device {
        info: ModelInfo,
    },
    /// The service ended though nobody shut it down.
    Ended {
        error: ApiError,
    },
}

impl Message {
    /// What the service says; `info` is asked when another device computes.
    pub(crate) fn of(output: Output, info: impl FnOnce() -> ModelInfo) -> Self {
        match output {
            Output::Chunk { client, request, seq, body, tokens } => {
                Self::Chunk { client, request, seq, chunk: body, tokens }
            }
            Output::Done { client, request } => Self::Done { client, request },
            Output::Error { client, request, error } => Self::Error { client, request, error },
            Output::ExecutorGone { reason } => Self::Moving { reason },
            Output::ExecutorReady { .. } => Self::Device { info: info() },
            Output::Snapshot { client, id, snapshot } => Self::Snapshot { client, id, snapshot },
        }
    }
}

/// `ModelInfo`.
#[derive(Clone, Serialize)]
pub(crate) struct ModelInfo {
    pub(crate) model: String,
    /// For a person to read.
    pub(crate) device: String,
    /// `gpu` or `cpu`.
    pub(crate) kind: &'static str,
    /// What the user should know of the device.
    pub(crate) notice: Option<String>,
    pub(crate) family: String,
    /// Tokens that a prompt and its answer may have together.
    pub(crate) context: u32,
    pub(crate) vocabulary: u32,
    pub(crate) memory: Memory,
}

impl ModelInfo {
    /// What a service knows; its device is told apart.
    pub(crate) fn of(service: &Service) -> Self {
        Self {
            model: service.model().id().to_owned(),
            device: service.device().to_owned(),
            kind: "gpu",
            notice: None,
            family: service.family().unwrap_or("unknown").to_owned(),
            context: service.max_context(),
            vocabulary: service.capacity().vocabulary,
            memory: Memory::default(),
        }
    }
}

/// Bytes on the device.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Memory {
    pub(crate) weights: u64,
    pub(crate) kv: u64,
    pub(crate) scratch: u64,
}
