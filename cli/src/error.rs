//! What can go wrong, for people.

use std::path::PathBuf;
use thiserror::Error;
use tilewright_api::ApiError;
use tilewright_engine::GpuError;
use tilewright_engine::bench::SuiteError;
use tilewright_host::LoadError;
use tilewright_plan::ExecutorError;
use tilewright_tuning_db::ImportError;

/// Why a command ended early.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    #[error("{path} is neither a GGUF file nor a folder with a config.json; name one of the two with --model")]
    NoModel { path: PathBuf },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} is not JSON ({source}); it should be a list like [{{\"role\": \"user\", \"content\": \"Hello\"}}]")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Request(#[from] ApiError),
    #[error(transparent)]
    Step(#[from] ExecutorError),
    #[error(transparent)]
    Bench(#[from] SuiteError),
    #[error("{count} tokens don't fit the context of {context}; pass fewer ids or a larger --context")]
    TooManyIds { count: usize, context: u32 },
    #[error("the id {id} is past the vocabulary of {vocabulary} tokens")]
    UnknownId { id: u32, vocabulary: u32 },
    #[error("{path} can't be written: {message}")]
    Output { path: PathBuf, message: String },
    #[error("{path}: {source}")]
    Tuning { path: PathBuf, source: ImportError },
    #[error("{faulty} of {files} files have faults: see above")]
    FaultyTuning { faulty: usize, files: usize },
    #[error("only a GPU's kernels are tuned, and this model runs on the CPU")]
    NothingToTune,
    #[error("tuning ended early: {0}")]
    Tune(String),
    #[error("the terminal can't be read: {0}")]
    Terminal(#[from] rustyline::error::ReadlineError),
}
