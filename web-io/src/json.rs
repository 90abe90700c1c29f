//! Progress and errors as JSON: strings, because a number, a `null` and a missing field stay what they are.

use js_sys::{Function, JSON};
use serde::Serialize;
use tilewright_api::ApiError;
use tilewright_host::{Phase, Progress};
use wasm_bindgen::prelude::*;

/// A JS function that takes one string of JSON.
#[derive(Clone)]
pub struct Callback(pub Function);

impl Callback {
    /// Calls it with this message.
    pub fn json(&self, message: &impl Serialize) {
        if let Err(error) = self.0.call1(&JsValue::NULL, &JsValue::from_str(&json(message))) {
            wasm_bindgen::throw_val(error);
        }
    }
}

/// Our messages are structs of strings and numbers, which JSON can always hold.
pub fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_else(|_| "null".to_owned())
}

/// An error as JS throws it: an object, never a string.
pub fn thrown(error: &ApiError) -> JsValue {
    JSON::parse(&json(error)).unwrap_or_else(|unreadable| unreadable)
}

/// `WasmProgress` of wasm-engine.ts.
#[derive(Serialize)]
pub struct Loading {
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
