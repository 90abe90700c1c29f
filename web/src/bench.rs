//! `tilewright bench` of the command line, for a browser: the executor alone, in a worker as an engine would live in it.
//!
//! What it says is the command's own object ([`Report`]). What only the browser knows (adapter, features, heap) the worker's
//! TypeScript adds. On the CPU it is the pool that is timed, over its port: what its users get, and not one thread of this module.

use crate::clock::clock;
use crate::devices;
use crate::engine::Adapter;
use crate::pools::Pools;
use crate::tuning::{Gate, at_once, place};
use futures_util::lock::Mutex;
use js_sys::Function;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use tilewright_api::ApiError;
use tilewright_autotune::{Options, Place, Status, Tuner};
use tilewright_engine::bench::{Report, RunReport, Sample};
use tilewright_engine::{Device, Gpu};
use tilewright_host::{Activity, LoadError, ModelLayout, Weights};
use tilewright_plan::ExecutorError;
use tilewright_tuning_db::exchange::export;
use tilewright_tuning_db::store::MemoryStore;
use tilewright_tuning_db::{Database, Keeper, Provenance, builtin};
use tilewright_web_io::bench::Subject;
use tilewright_web_io::{Callback, JsModelFiles, Loading, json, thrown};
use wasm_bindgen::prelude::*;

/// Times a shape, or the model in `files` (`gguf_file` is its name, or nothing for a folder in Hugging Face layout), on the
/// adapter, or in a pool. With `tuning`, JSON of a `BenchTuning`, the GPU's kernels are tuned after that, and it is timed again. `progress` is called with JSON of a `WasmProgress` or of a run's figures; what it resolves to is
/// JSON too.
///
/// # Errors
/// An `ErrorObject` of errors.ts.
#[wasm_bindgen]
pub async fn bench(
    request: String,
    tuning: Option<String>,
    on: Where,
    files: Option<JsModelFiles>,
    gguf_file: Option<String>,
    progress: Function,
) -> Result<String, JsValue> {
    let layout = gguf_file.map_or(ModelLayout::HuggingFace, |file| ModelLayout::Gguf { file });
    let timed = async {
        let wrong = |error: serde_json::Error| ApiError::invalid("tune", format!("this is no way to tune: {error}"));
        let tuning = tuning.map(|tuning| serde_json::from_str(&tuning)).transpose().map_err(wrong)?;
        time(&request, tuning, &on, files.map(|files| (files, layout)), &Callback(progress)).await
    };
    timed.await.map(|report| json(&report)).map_err(|error| thrown(&error))
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

/// `BenchTuning` of bench-options.ts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TuneRequest {
    /// How long the GPU may be kept busy by searching.
    seconds: f64,
    /// Try every variant.
    exhaustive: bool,
    /// Begin without what comes with the package.
    from_nothing: bool,
    /// Only these phases.
    phases: Vec<usize>,
    /// Only so many operations of each.
    operations: Option<usize>,
}

impl Default for TuneRequest {
    fn default() -> Self {
        Self { seconds: 3.0, exhaustive: false, from_nothing: false, phases: Vec::new(), operations: None }
    }
}

/// A report, and what tuning did.
#[derive(Serialize)]
struct Timed {
    #[serde(flatten)]
    report: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    tuning: Option<Tuned>,
}

/// What tuning did.
#[derive(Serialize)]
struct Tuned {
    /// The runs before it.
    untuned: Vec<RunReport>,
    status: Status,
    /// What was measured, as a file.
    file: String,
}

async fn time(
    request: &str,
    tuning: Option<TuneRequest>,
    on: &Where,
    files: Option<(JsModelFiles, ModelLayout)>,
    progress: &Callback,
) -> Result<Timed, ApiError> {
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
    let place = place(&on.adapter().map(|adapter| adapter.facts()).unwrap_or_default());
    let outcome = run(&subject, weights, tuning.map(|tuning| (tuning, place)), (&clock_ms, started_ms), progress).await;
    // In a browser memory comes back when the device ends, and otherwise when garbage is collected.
    gpu.inspect(Gpu::destroy);
    outcome.map(|timed| {
        let report = Report { device: name.unwrap_or(timed.report.device), ..timed.report };
        Timed { report, ..timed }
    })
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
    tuning: Option<(TuneRequest, Place)>,
    (clock_ms, started_ms): (&dyn Fn() -> f64, f64),
    progress: &Callback,
) -> Result<Timed, ApiError> {
    let (suite, taken) = (&subject.suite, (weights.memory, weights.cost));
    let report = Report::new(subject.model.clone(), suite, &*weights.executor, taken, clock_ms() - started_ms);
    let mut tell = |sample: &Sample| progress.json(sample);
    let failed = |error: ExecutorError| ApiError::new("bench_error", Some("benchmark_failed"), None, error.to_string());
    let runs = suite.run(&mut *weights.executor, clock_ms, &Vec::new, &mut tell).await.map_err(failed)?;
    let (Some((tuning, place)), Some(executor)) = (tuning, weights.tunable) else {
        return Ok(Timed { report: Report { runs, ..report }, tuning: None });
    };
    let built_in = if tuning.from_nothing { Database::default() } else { builtin::database().unwrap_or_default() };
    let keeper = Rc::new(Mutex::new(Keeper::open(Box::new(MemoryStore::default()), built_in).await));
    let options = Options {
        model: subject.model.clone(),
        gpu_us: tuning.seconds * 1e6,
        exhaustive: tuning.exhaustive,
        phases: tuning.phases,
        most_operations: tuning.operations.unwrap_or(usize::MAX),
        at_once: at_once(),
        ..Options::default()
    };
    // Nobody else uses the model.
    let gate = Gate::new(Activity::default(), None);
    let status = Tuner::new(executor, Rc::clone(&keeper), place, options, &gate, &|_| ()).run().await;
    let mut measured = Database::default();
    for entry in keeper.lock().await.database().entries().filter(|entry| entry.provenance == Provenance::MeasuredHere) {
        measured.insert(entry.clone());
    }
    let tuned = suite.run(&mut *weights.executor, clock_ms, &Vec::new, &mut tell).await.map_err(failed)?;
    let tuning = Some(Tuned { untuned: runs, status, file: export(&measured) });
    Ok(Timed { report: Report { runs: tuned, ..report }, tuning })
}
