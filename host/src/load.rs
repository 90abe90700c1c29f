//! Files to a service.
//!
//! The small files come first, so that what is missing or can't be understood is known before gigabytes are read. Weights
//! then pass through in cuts: read, converted, handed to the device, forgotten. About every 64 MiB the device is
//! waited for, so that what it hasn't taken yet stays small.

use crate::files::{FileError, ModelFiles};
use crate::service::Service;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;
use tilewright_api::{ApiError, ChatModel, HuggingFaceFiles, ModelError};
use tilewright_engine::gpu::TunableExecutor;
use tilewright_engine::{Device, GpuError, LoadOptions, Loaded, Loader, MemoryUse, StepCost, WeightFiles};
use tilewright_formats::{FormatError, gguf, safetensors};
use tilewright_plan::Executor;

/// How much is pushed before the device is waited for.
const FLUSH_BYTES: u64 = 64 << 20;

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// How a model's files are arranged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelLayout {
    /// One GGUF file, with everything in it.
    Gguf {
        /// Its name.
        file: String,
    },
    /// `config.json`, `tokenizer.json`, safetensors, ...
    HuggingFace,
}

/// How far loading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes of weight files read so far.
    pub loaded_bytes: u64,
    /// Bytes of weight files in all, where that is known.
    pub total_bytes: Option<u64>,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Reading what describes the model.
    Files,
    /// Reading weights.
    Weights,
    /// Building the executor and its kernels.
    Preparing,
}

/// Why a model can't be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file that the layout needs.
    #[error("the model has no {file}, {purpose}")]
    MissingFile {
        /// The file.
        file: String,
        /// What it is for, and what to do.
        purpose: &'static str,
    },
    /// A file that can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The index of a sharded model is damaged.
    #[error(transparent)]
    Index(#[from] FormatError),
    /// Tokenizer, chat template or defaults can't be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Weights, their description or the device can't be used.
    #[error(transparent)]
    Weights(#[from] tilewright_engine::LoadError),
    /// More than the device can address, said before it is read.
    #[error(
        "{file} has {bytes} bytes and this device has room for {most} (a WebAssembly memory ends at 4 GiB); use a smaller or a more \
         strongly quantized model, or a browser with a GPU"
    )]
    TooLarge {
        /// The file, or the first of several.
        file: String,
        /// Bytes of all weight files together.
        bytes: u64,
        /// What there is room for, bytes.
        most: u64,
    },
    /// An executor elsewhere, in words and code of its own.
    #[error("{message}")]
    Elsewhere {
        /// As in `OpenAI`'s error objects.
        code: Option<String>,
        /// What went wrong and what to do.
        message: String,
    },
    /// What another worker said can't be read.
    #[error(
        "the worker that computes said what this one can't read ({0}): they come from different versions of the library; reload every tab"
    )]
    Remote(String),
}

impl From<GpuError> for LoadError {
    fn from(error: GpuError) -> Self {
        Self::Weights(error.into())
    }
}

impl From<&LoadError> for ApiError {
    fn from(error: &LoadError) -> Self {
        let code = match error {
            LoadError::MissingFile { .. } => FileError::NOT_FOUND,
            LoadError::File(FileError { code, .. }) => code.as_deref().unwrap_or("file_not_readable"),
            LoadError::Index(_) => "file_damaged",
            LoadError::Model(_) => "model_not_supported",
            LoadError::Weights(error) => match error {
                tilewright_engine::LoadError::Format(_) => "file_damaged",
                tilewright_engine::LoadError::Gpu(GpuError::NoWebGpu) => "webgpu_unavailable",
                tilewright_engine::LoadError::OutOfMemory { .. }
                | tilewright_engine::LoadError::NoMemoryForWeights { .. }
                | tilewright_engine::LoadError::NoMemoryForSteps { .. }
                | tilewright_engine::LoadError::NoMemoryForKv { .. }
                | tilewright_engine::LoadError::Gpu(GpuError::OutOfMemory { .. }) => "out_of_memory",
                tilewright_engine::LoadError::Gpu(_) => "gpu_failed",
                _ => "model_not_supported",
            },
            LoadError::TooLarge { .. } => "model_too_large",
            LoadError::Elsewhere { code, .. } => code.as_deref().unwrap_or("worker_failed"),
            LoadError::Remote(_) => "protocol_mismatch",
        };
        Self::new("model_load_error", Some(code), Some("model"), error.to_string())
    }
}

/// Weights behind an executor, here or elsewhere, and what is known of their model.
pub struct Weights {
    /// What computes.
    pub executor: Box<dyn Executor>,
    /// The same, for a tuner; `None` on the CPU or elsewhere.
    pub tunable: Option<TunableExecutor>,
    /// The name of the model's family.
    pub family: String,
    /// The metadata of its GGUF file.
    pub gguf: Option<gguf::Metadata>,
    /// What it takes.
    pub memory: MemoryUse,
    /// What one of its decode steps takes.
    pub cost: StepCost,
}

impl From<Loaded> for Weights {
    fn from(Loaded { config, executor, tunable, gguf, memory, cost }: Loaded) -> Self {
        Self { executor, tunable, family: config.family.name.to_owned(), gguf, memory, cost }
    }
}

/// Loads a model and makes a service of it. `id` is the name that its answers bear.
pub async fn load(
    files: &dyn ModelFiles,
    layout: ModelLayout,
    id: &str,
    device: Device,
    options: LoadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Service, LoadError> {
    progress(Progress { phase: Phase::Files, loaded_bytes: 0, total_bytes: None });
    load_with(files, layout.clone(), id, async || {
        Ok(load_weights(files, layout, device, options, progress).await?.into())
    })
    .await
}

/// As [`load`], with weights that somebody else loads: into another worker, or wherever there is room. They come after the
/// small files, so that what these lack is known before gigabytes are read.
pub async fn load_with(
    files: &dyn ModelFiles,
    layout: ModelLayout,
    id: &str,
    weights: impl AsyncFnOnce() -> Result<Weights, LoadError>,
) -> Result<Service, LoadError> {
    let described = match layout {
        ModelLayout::Gguf { .. } => None,
        ModelLayout::HuggingFace => Some(ChatModel::from_hugging_face(id, descriptions(files).await?)?),
    };
    let Weights { executor, family, gguf, memory, .. } = weights().await?;
    let model = match (described, &gguf) {
        (Some(model), _) => model,
        (None, Some(metadata)) => ChatModel::from_gguf(id, metadata)?,
        (None, None) => {
            let purpose = "which describes the model; use a GGUF file or a folder in Hugging Face layout";
            return Err(LoadError::MissingFile { file: "GGUF metadata".to_owned(), purpose });
        }
    };
    Ok(Service::new(Arc::new(model), executor).with_details(family, memory))
}

/// Loads the weights only: for [`Service::with_executor_source`], when the text side is there already.
pub async fn load_weights(
    files: &dyn ModelFiles,
    layout: ModelLayout,
    device: Device,
    options: LoadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Loaded, LoadError> {
    let (kind, names, mut total_bytes) = match layout {
        ModelLayout::Gguf { file } => (WeightFiles::Gguf, vec![file], None),
        ModelLayout::HuggingFace => {
            let config_json = required(files, "config.json", CONFIG).await?;
            let (names, total_bytes) = match files.text(INDEX).await? {
                Some(json) => (safetensors::Index::parse(INDEX, &json)?.shards(), index_total(&json)),
                None => (vec![SINGLE.to_owned()], None),
            };
            (WeightFiles::HuggingFace { config_json }, names, total_bytes)
        }
    };
    let most = options.max_bytes;
    let mut loader = Loader::new(device, kind, options)?;
    let single = names.len() == 1;
    let (mut loaded_bytes, mut unflushed_bytes) = (0_u64, 0_u64);
    for name in names {
        let mut stream = files.open(&name).await.map_err(|error| missing_weights(error, &name))?;
        let length = stream.len();
        if single {
            total_bytes = length;
        }
        if let (Some(bytes), Some(most)) = (total_bytes.max(length.map(|length| loaded_bytes + length)), most)
            && bytes > most
        {
            return Err(LoadError::TooLarge { file: name, bytes, most });
        }
        loader.begin_file(&name, length)?;
        while let Some(bytes) = stream.next().await? {
            loader.push(&bytes)?;
            loaded_bytes += bytes.len() as u64;
            unflushed_bytes += bytes.len() as u64;
            if unflushed_bytes >= FLUSH_BYTES {
                loader.flush().await?;
                unflushed_bytes = 0;
            }
            // An index counts tensors only, so that headers come on top.
            let total_bytes = total_bytes.map(|total| total.max(loaded_bytes));
            progress(Progress { phase: Phase::Weights, loaded_bytes, total_bytes });
        }
        loader.end_file()?;
    }
    loader.flush().await?;
    progress(Progress { phase: Phase::Preparing, loaded_bytes, total_bytes: Some(loaded_bytes) });
    Ok(loader.finish().await?)
}

const CONFIG: &str =
    "which says what kind of model it is; use a GGUF file or a folder in Hugging Face layout, downloaded whole";
const TOKENIZER: &str = "without which no text can be read; download it from the model's page, or convert an older tokenizer with `transformers`";
const WEIGHTS: &str =
    "which holds its weights; download the folder again, or convert a model that has other weight files only";

async fn descriptions(files: &dyn ModelFiles) -> Result<HuggingFaceFiles, LoadError> {
    Ok(HuggingFaceFiles {
        config_json: required(files, "config.json", CONFIG).await?,
        tokenizer_json: required(files, "tokenizer.json", TOKENIZER).await?,
        tokenizer_config_json: files.text("tokenizer_config.json").await?,
        generation_config_json: files.text("generation_config.json").await?,
        chat_template_jinja: files.text("chat_template.jinja").await?,
    })
}

async fn required(files: &dyn ModelFiles, name: &str, purpose: &'static str) -> Result<String, LoadError> {
    files.text(name).await?.ok_or_else(|| LoadError::MissingFile { file: name.to_owned(), purpose })
}

fn missing_weights(error: FileError, name: &str) -> LoadError {
    if error.is_not_found() && name.ends_with(".safetensors") {
        LoadError::MissingFile { file: name.to_owned(), purpose: WEIGHTS }
    } else {
        LoadError::File(error)
    }
}

/// What an index says of all its shards together. Only shown to people, so it may be absent or wrong.
fn index_total(json: &str) -> Option<u64> {
    let index: serde_json::Value = serde_json::from_str(json).ok()?;
    index.get("metadata")?.get("total_size")?.as_u64()
}
