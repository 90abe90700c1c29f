//! What a benchmark times, as both modules are asked for it: a suite of runs, and the model or the shape that it runs.
//!
//! On a GPU the module that times is the one that has the weights. On the CPU they are apart, as in real use: the pool loads,
//! and plans of the suite's steps come to it over its port.

use crate::JsModelFiles;
use serde::Deserialize;
use tilewright_api::ApiError;
use tilewright_engine::bench::{Sampling, Suite};
use tilewright_engine::load::{load_shape, shape_bytes};
use tilewright_engine::model::shapes::{SHAPES, Shape};
use tilewright_engine::{Device, LoadOptions, Loaded};
use tilewright_host::{LoadError, ModelLayout, Phase, Progress, load_weights};

/// What a token's keys and values take at most in models of up to eight billion weights, for a file that was not read yet.
const KV_BYTES_PER_TOKEN: u64 = 1 << 18;

/// `BenchRequest` of bench-options.ts.
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
    #[serde(default)]
    sampling: Sampling,
}

/// What is timed.
pub struct Subject {
    /// Where the model came from, or the shape's name.
    pub model: String,
    /// The runs.
    pub suite: Suite,
    shape: Option<Shape>,
}

impl Subject {
    /// From the JSON of a `BenchRequest`.
    ///
    /// # Errors
    /// When it asks for what can't be run; the option is named.
    pub fn read(request: &str) -> Result<Self, ApiError> {
        let request = serde_json::from_str(request).map_err(|error| refused("options", error.to_string()))?;
        let Request { model, shape, prompt, generate, concurrency, repeats, kv_mib, max_rows, sampling } = request;
        let suite = Suite { prompt, generate, concurrency, repeats, kv_mib, max_rows, sampling };
        suite.check().map_err(|error| refused("options", error.to_string()))?;
        let shape = shape.map(|name| named(&name)).transpose()?;
        if let Some(shape) = &shape {
            suite.check_model(shape.name, &shape.config()).map_err(|error| refused("prompt", error.to_string()))?;
        }
        Ok(Self { model, suite, shape })
    }

    /// The shape, or the model in `files`, on the device. Files of more than `max_bytes` are refused before they are read.
    ///
    /// # Errors
    /// When it can't be loaded; of memory that is too small, with the numbers.
    pub async fn load(
        &self,
        device: Device,
        files: Option<(&JsModelFiles, ModelLayout)>,
        max_bytes: Option<u64>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Loaded, ApiError> {
        match (&self.shape, files) {
            (Some(shape), _) => self.make(device, shape, progress).await,
            (None, Some((files, layout))) => {
                let options = LoadOptions { max_bytes, ..self.suite.load_options(KV_BYTES_PER_TOKEN) };
                let loaded = load_weights(files, layout, device, options, progress).await;
                loaded.map_err(|error| ApiError::from(&error))
            }
            (None, None) => Err(refused("model", "neither a model nor a shape was named".to_owned())),
        }
    }

    async fn make(
        &self,
        device: Device,
        shape: &Shape,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Loaded, ApiError> {
        let options = self.suite.load_options(shape.config().kv_bytes_per_token());
        let mut tell = |made, all| {
            progress(Progress { phase: Phase::Weights, loaded_bytes: made, total_bytes: Some(all) });
        };
        load_shape(device, shape, &options, &mut tell).await.map_err(|error| {
            let mut error = ApiError::from(&LoadError::Weights(error));
            if error.code.as_deref() == Some("out_of_memory") {
                let [weights, kv] = [shape_bytes(shape), options.kv_bytes.unwrap_or(0)].map(|bytes| bytes as f64 / 1e9);
                error.message = format!(
                    "{} needs {weights:.2} GB for weights, and these runs {kv:.2} GB for keys and values: {}",
                    shape.name, error.message
                );
            }
            error
        })
    }
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
