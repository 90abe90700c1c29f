//! `tilewright bench` of the command line, for a browser: the executor alone, in the worker where an engine would live.
//!
//! What it says is the command's own object ([`Report`]). What only the browser knows (adapter, features, heap) the worker's
//! TypeScript adds.

use crate::clock::clock;
use crate::devices;
use crate::engine::Adapter;
use js_sys::Function;
use serde::{Deserialize, Serialize};
use tilewright_api::ApiError;
use tilewright_engine::bench::{Report, Sample, Suite};
use tilewright_engine::load::{load_shape, shape_bytes};
use tilewright_engine::model::shapes::{SHAPES, Shape};
use tilewright_engine::{Device, GpuError, Loaded};
use tilewright_host::{LoadError, ModelLayout, Phase, Progress, load_weights};
use tilewright_web_io::{Callback, JsModelFiles, Loading, json, thrown};
use wasm_bindgen::prelude::*;

/// What a token's keys and values take at most in models of up to eight billion weights, for a file that was not read yet.
const KV_BYTES_PER_TOKEN: u64 = 1 << 18;

/// `BenchRequest` of bench-worker.ts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// What the model is called.
    model: String,
    /// A shape, if there are no files.
    shape: Option<String>,
    prompt: u32,
    generate: u32,
    concurrency: Vec<u32>,
    repeats: u32,
    kv_mib: Option<u64>,
    max_rows: Option<u32>,
}

/// `BenchProgress` of bench-worker.ts.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Told<'a> {
    Loading(Loading),
    Run(&'a Sample),
}

/// Times a shape, or the model in `files` (`gguf_file` is its name, or nothing for a folder in Hugging Face layout).
/// Without an adapter it computes on the CPU. `progress` is called with JSON; what it resolves to is JSON too.
///
/// # Errors
/// An `ErrorObject` of errors.ts.
#[wasm_bindgen]
pub async fn bench(
    request: String,
    adapter: Option<Adapter>,
    files: Option<JsModelFiles>,
    gguf_file: Option<String>,
    progress: Function,
) -> Result<String, JsValue> {
    let progress = Callback(progress);
    let timed = async {
        let request: Request = serde_json::from_str(&request).map_err(|error| refused("options", error.to_string()))?;
        let layout = gguf_file.map_or(ModelLayout::HuggingFace, |file| ModelLayout::Gguf { file });
        time(request, adapter, files.map(|files| (files, layout)), &progress).await
    };
    timed.await.map(|report| json(&report)).map_err(|error| thrown(&error))
}

async fn time(
    request: Request,
    adapter: Option<Adapter>,
    files: Option<(JsModelFiles, ModelLayout)>,
    progress: &Callback,
) -> Result<Report, ApiError> {
    let Request { model, shape, prompt, generate, concurrency, repeats, kv_mib, max_rows } = request;
    let suite = Suite { prompt, generate, concurrency, repeats, kv_mib, max_rows };
    suite.check().map_err(|error| refused("options", error.to_string()))?;
    let shape = shape.map(|name| named(&name)).transpose()?;
    if let Some(shape) = &shape {
        suite.check_model(shape.name, &shape.config()).map_err(|error| refused("prompt", error.to_string()))?;
    }
    let clock = clock();
    let clock_ms = || clock().as_secs_f64() * 1e3;
    let started_ms = clock_ms();
    let device = match &adapter {
        Some(adapter) => Device::Gpu(
            devices::first(&adapter.name(), adapter.software()).await.map_err(|error| from_load(&error.into()))?,
        ),
        None => Device::Cpu,
    };
    let gpu = match &device {
        Device::Gpu(gpu) => Some(gpu.clone()),
        Device::Cpu | Device::CpuReference => None,
    };
    let loaded = match (&shape, &files) {
        (Some(shape), _) => make(device, shape, &suite, progress).await,
        (None, Some((files, layout))) => {
            let mut tell = |now| progress.json(&Told::Loading(Loading::from(now)));
            let options = suite.load_options(KV_BYTES_PER_TOKEN);
            load_weights(files, layout.clone(), device, options, &mut tell).await.map_err(|error| from_load(&error))
        }
        (None, None) => Err(refused("model", "neither a model nor a shape was named".to_owned())),
    };
    let outcome = match loaded {
        Ok(mut loaded) => {
            let mut report = Report::new(model, &suite, &loaded, clock_ms() - started_ms);
            if let Some(name) = adapter.map(|adapter| adapter.name()).filter(|name| !name.is_empty()) {
                report.device = format!("{name} (WebGPU)");
            }
            let mut tell = |sample: &Sample| progress.json(&Told::Run(sample));
            let runs = suite.run(&mut loaded, &clock_ms, &Vec::new, &mut tell).await;
            runs.map(|runs| Report { runs, ..report })
                .map_err(|error| ApiError::new("bench_error", Some("benchmark_failed"), None, error.to_string()))
        }
        Err(error) => Err(error),
    };
    // In a browser memory comes back when the device ends, and otherwise when garbage is collected.
    gpu.inspect(tilewright_engine::Gpu::destroy);
    outcome
}

/// A shape on the device; that it has no room is said with the numbers.
async fn make(device: Device, shape: &Shape, suite: &Suite, progress: &Callback) -> Result<Loaded, ApiError> {
    let kv_bytes_per_token = shape.config().kv_bytes_per_token();
    let options = suite.load_options(kv_bytes_per_token);
    let mut tell = |made, all| {
        let now = Progress { phase: Phase::Weights, loaded_bytes: made, total_bytes: Some(all) };
        progress.json(&Told::Loading(Loading::from(now)));
    };
    load_shape(device, shape, &options, &mut tell).await.map_err(|error| {
        use tilewright_engine::LoadError as Weights;
        let no_room = matches!(error, Weights::OutOfMemory { .. } | Weights::Gpu(GpuError::OutOfMemory { .. }));
        let mut error = from_load(&LoadError::Weights(error));
        if no_room {
            let [weights, kv] = [shape_bytes(shape), options.kv_bytes.unwrap_or(0)].map(|bytes| bytes as f64 / 1e9);
            error.message = format!(
                "{} needs {weights:.2} GB for weights, and these runs {kv:.2} GB for keys and values: {}",
                shape.name, error.message
            );
        }
        error
    })
}

fn named(name: &str) -> Result<Shape, ApiError> {
    Shape::named(name).ok_or_else(|| {
        let known = SHAPES.map(|shape| shape.name).join(", ");
        refused("shape", format!("there is no shape \"{name}\"; there are {known}"))
    })
}

fn refused(param: &str, message: String) -> ApiError {
    ApiError::new("invalid_request_error", Some("benchmark_option"), Some(param), message)
}

fn from_load(error: &LoadError) -> ApiError {
    ApiError::from(error)
}
