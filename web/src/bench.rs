//! `tilewright bench` of the command line, for a browser: the executor alone, in a worker as an engine would live in it.
//!
//! What it says is the command's own object ([`Report`]). What only the browser knows (adapter, features, heap) the worker's
//! TypeScript adds. On the CPU it is the pool that is timed, over its port: what its users get, and not one thread of this module.

use crate::clock::clock;
use crate::devices;
use crate::engine::Adapter;
use crate::pools::Pools;
use js_sys::Function;
use tilewright_api::ApiError;
use tilewright_engine::bench::{Report, Sample};
use tilewright_engine::{Device, Gpu};
use tilewright_host::{LoadError, ModelLayout, Weights};
use tilewright_web_io::bench::Subject;
use tilewright_web_io::{Callback, JsModelFiles, Loading, json, thrown};
use wasm_bindgen::prelude::*;

/// Times a shape, or the model in `files` (`gguf_file` is its name, or nothing for a folder in Hugging Face layout), on the
/// adapter, or in a pool. `progress` is called with JSON of a `WasmProgress` or of a run's figures; what it resolves to is
/// JSON too.
///
/// # Errors
/// An `ErrorObject` of errors.ts.
#[wasm_bindgen]
pub async fn bench(
    request: String,
    on: Where,
    files: Option<JsModelFiles>,
    gguf_file: Option<String>,
    progress: Function,
) -> Result<String, JsValue> {
    let layout = gguf_file.map_or(ModelLayout::HuggingFace, |file| ModelLayout::Gguf { file });
    let timed = time(&request, &on, files.map(|files| (files, layout)), &Callback(progress)).await;
    timed.map(|report| json(&report)).map_err(|error| thrown(&error))
}

#[wasm_bindgen]
extern "C" {
    /// `BenchDevice` of wasm-engine.ts: one of the two.
    pub type Where;

    #[wasm_bindgen(method, getter)]
    fn adapter(this: &Where) -> Option<Adapter>;

    #[wasm_bindgen(method, getter)]
    fn pools(this: &Where) -> Option<Pools>;
}

async fn time(
    request: &str,
    on: &Where,
    files: Option<(JsModelFiles, ModelLayout)>,
    progress: &Callback,
) -> Result<Report, ApiError> {
    let subject = Subject::read(request)?;
    let clock = clock();
    let clock_ms = || clock().as_secs_f64() * 1e3;
    let started_ms = clock_ms();
    let (weights, name, gpu) = match (on.adapter(), on.pools()) {
        (_, Some(pools)) => {
            // One that is lost answers no step, which ends the run with its reason.
            let opened = pools.opened(&progress.0, &Function::new_no_args("")).await;
            (opened.map_err(|error| ApiError::from(&error))?.weights, None, None)
        }
        (adapter, None) => on_gpu(&subject, adapter, files, progress).await?,
    };
    let outcome = run(&subject, weights, (&clock_ms, started_ms), progress).await;
    // In a browser memory comes back when the device ends, and otherwise when garbage is collected.
    gpu.inspect(Gpu::destroy);
    outcome.map(|report| Report { device: name.unwrap_or(report.device), ..report })
}

/// The subject on a GPU, what the page calls that, and the GPU itself.
async fn on_gpu(
    subject: &Subject,
    adapter: Option<Adapter>,
    files: Option<(JsModelFiles, ModelLayout)>,
    progress: &Callback,
) -> Result<(Weights, Option<String>, Option<Gpu>), ApiError> {
    let (name, software) = adapter.map(|adapter| (adapter.name(), adapter.software())).unwrap_or_default();
    let gpu = devices::first(&name, software).await.map_err(|error| ApiError::from(&LoadError::from(error)))?;
    let mut tell = |now| progress.json(&Loading::from(now));
    let files = files.as_ref().map(|(files, layout)| (files, layout.clone()));
    match subject.load(Device::Gpu(gpu.clone()), files, None, &mut tell).await {
        Ok(loaded) => {
            let name = (!name.is_empty()).then(|| format!("{name} (WebGPU)"));
            Ok((loaded.into(), name, Some(gpu)))
        }
        Err(error) => {
            gpu.destroy();
            Err(error)
        }
    }
}

async fn run(
    subject: &Subject,
    mut weights: Weights,
    (clock_ms, started_ms): (&dyn Fn() -> f64, f64),
    progress: &Callback,
) -> Result<Report, ApiError> {
    let (suite, taken) = (&subject.suite, (weights.memory, weights.cost));
    let report = Report::new(subject.model.clone(), suite, &*weights.executor, taken, clock_ms() - started_ms);
    let mut tell = |sample: &Sample| progress.json(sample);
    let runs = suite.run(&mut *weights.executor, clock_ms, &Vec::new, &mut tell).await;
    runs.map(|runs| Report { runs, ..report })
        .map_err(|error| ApiError::new("bench_error", Some("benchmark_failed"), None, error.to_string()))
}
