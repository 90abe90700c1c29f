//! The CPU engine with its threads, for a dedicated worker that a page owns.
//!
//! A module of its own and not a part of `tilewright_web`: threads need a memory that is shared, which cannot be made in a
//! `SharedWorker`, and Firefox refuses GPU uploads from such memory. The worker (web/ts/pool-worker.ts) loads a model into it
//! from the browser's storage and passes on plans of steps as they come over its port. A step blocks this worker while it
//! is computed; whoever is to be responsive lives elsewhere.
//!
//! It is compiled twice, with and without `relaxed-simd`, because a module with one unknown instruction is refused whole. Whoever
//! loads the one with it first asks whether this browser computes it right.
//! Where the page is not cross-origin isolated, nobody calls `initThreadPool`, and rayon computes in the calling thread.

#![cfg(all(target_arch = "wasm32", target_feature = "atomics"))]

use js_sys::{Function, Promise, Uint8Array};
use tilewright_api::ApiError;
use tilewright_engine::{Device, LoadOptions};
use tilewright_host::{Answering, LoadError, ModelLayout, load_weights};
use tilewright_web_io::bench::Subject;
use tilewright_web_io::{Callback, JsModelFiles, Loading, thrown};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

pub use tilewright_web_io::panic::on_panic;
pub use wasm_bindgen_rayon::init_thread_pool;

/// Keys and values of all requests together, where the memory is as large as it can be.
const MOST_KV_BYTES: u64 = 512 << 20;
/// What is neither weights nor keys and values: a step's activations, stacks of threads, what is being read.
const SCRATCH_BYTES: u64 = 128 << 20;

/// A loaded model.
#[wasm_bindgen]
pub struct Pool(Answering);

/// Loads a model's weights. `gguf_file` is the file's name, or nothing for a folder in Hugging Face layout; files for which
/// a memory of `memory_bytes` has no room are refused before they are read; `progress` is called with JSON.
///
/// # Errors
/// An `ErrorObject` of errors.ts.
#[wasm_bindgen]
pub async fn load(
    gguf_file: Option<String>,
    files: JsModelFiles,
    memory_bytes: f64,
    progress: Function,
) -> Result<Pool, JsValue> {
    let answering = open(&files, layout(gguf_file), memory_bytes as u64, &Callback(progress)).await;
    answering.map(Pool).map_err(|error| thrown(&ApiError::from(&error)))
}

/// Loads what a benchmark asks for (`request` is JSON of a `BenchRequest` of bench-options.ts), with the memory for keys and values
/// that its runs need: a shape, or else a model as [`load`] does.
///
/// # Errors
/// An `ErrorObject` of errors.ts.
#[wasm_bindgen]
pub async fn load_subject(
    request: String,
    gguf_file: Option<String>,
    files: Option<JsModelFiles>,
    memory_bytes: f64,
    progress: Function,
) -> Result<Pool, JsValue> {
    let progress = Callback(progress);
    let opened = async {
        let subject = Subject::read(&request)?;
        let files = files.as_ref().map(|files| (files, layout(gguf_file)));
        let max_bytes = Some((memory_bytes as u64).saturating_sub(SCRATCH_BYTES));
        let mut tell = |now| progress.json(&Loading::from(now));
        let loaded = subject.load(Device::Cpu, files, max_bytes, &mut tell).await?;
        Answering::new(loaded.into()).map_err(|error| ApiError::from(&error))
    };
    opened.await.map(Pool).map_err(|error| thrown(&error))
}

fn layout(gguf_file: Option<String>) -> ModelLayout {
    gguf_file.map_or(ModelLayout::HuggingFace, |file| ModelLayout::Gguf { file })
}

async fn open(
    files: &JsModelFiles,
    layout: ModelLayout,
    memory_bytes: u64,
    progress: &Callback,
) -> Result<Answering, LoadError> {
    let kv_bytes = (memory_bytes / 8).min(MOST_KV_BYTES);
    let max_bytes = memory_bytes.saturating_sub(kv_bytes + SCRATCH_BYTES);
    let options = LoadOptions { max_bytes: Some(max_bytes), kv_bytes: Some(kv_bytes), ..LoadOptions::default() };
    let mut tell = |now| progress.json(&Loading::from(now));
    Answering::new(load_weights(files, layout, Device::Cpu, options, &mut tell).await?.into())
}

/// Whether this browser's vectors compute what they should; to be asked before anything else, see [`tilewright_engine::cpu`].
#[wasm_bindgen]
pub fn vectors_are_right() -> bool {
    tilewright_engine::cpu::vectors_are_right()
}

#[wasm_bindgen]
impl Pool {
    /// For the other side's `RemoteExecutor`.
    pub fn description(&self) -> Vec<u8> {
        self.0.description().to_vec()
    }

    /// Computes a step; resolves with a `Uint8Array`.
    pub fn step(&mut self, question: &[u8]) -> Promise {
        let answer = self.0.answer(question);
        future_to_promise(async move { Ok(Uint8Array::from(answer.await.as_slice()).into()) })
    }
}
