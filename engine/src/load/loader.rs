//! Files in, one after the other, as they come.
//!
//! The loader pulls nothing: whoever reads the files (from a disk, a `fetch` stream, a cache) pushes their bytes in cuts of
//! any size and waits at [`Loader::flush`] now and then, so that what the device has not yet taken stays small. Nothing
//! here holds more of a model than a row that came in two pieces.

use super::placement::Placement;
use super::store::{Device, Store};
use super::{LoadError, LoadOptions, MemoryUse, StepCost};
use crate::gpu::TunableExecutor;
use crate::model::family::Naming;
use crate::model::{ModelConfig, hugging_face};
use tilewright_formats::{FileStream, gguf};
use tilewright_plan::Executor;

/// What kind of files a model comes in.
#[derive(Clone, Debug)]
pub enum WeightFiles {
    /// One GGUF file.
    Gguf,
    /// One or more safetensors files, described by a config.json.
    HuggingFace {
        /// Its text.
        config_json: String,
    },
}

/// Takes a model's files and gives an executor.
pub struct Loader {
    placement: Placement,
    options: LoadOptions,
    stream: Option<FileStream>,
    gguf: Option<gguf::Metadata>,
}

/// A model that is ready to compute.
pub struct Loaded {
    /// Its sizes.
    pub config: ModelConfig,
    /// What computes its steps.
    pub executor: Box<dyn Executor>,
    /// The same, for a tuner; `None` on the CPU.
    pub tunable: Option<TunableExecutor>,
    /// The metadata of its GGUF file, where tokenizer and chat template are.
    pub gguf: Option<gguf::Metadata>,
    /// What it takes.
    pub memory: MemoryUse,
    /// What one of its decode steps takes.
    pub cost: StepCost,
}

impl Loader {
    /// For one model.
    ///
    /// # Errors
    /// When config.json describes a model that can't be loaded.
    pub fn new(device: Device, files: WeightFiles, options: LoadOptions) -> Result<Self, LoadError> {
        let (naming, config) = match files {
            WeightFiles::Gguf => (Naming::Gguf, None),
            WeightFiles::HuggingFace { config_json } => {
                (Naming::HuggingFace, Some(hugging_face::config(&config_json)?))
            }
        };
        let placement = Placement::new(Store::new(device), naming, config);
        Ok(Self { placement, options, stream: None, gguf: None })
    }

    /// Begins a file; `length` is its size in bytes where it is known.
    pub fn begin_file(&mut self, name: &str, length: Option<u64>) -> Result<(), LoadError> {
        if self.stream.is_some() {
            return Err(LoadError::Order("begin_file before end_file of the file before"));
        }
        name.clone_into(&mut self.placement.file);
        self.stream = Some(match self.placement.naming {
            Naming::Gguf => FileStream::gguf(name, length),
            Naming::HuggingFace => FileStream::safetensors(name, length),
        });
        Ok(())
    }

    /// The file's next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        let stream = self.stream.as_mut().ok_or(LoadError::Order("push before begin_file"))?;
        stream.push(bytes, &mut self.placement)
    }

    /// The file's end.
    pub fn end_file(&mut self) -> Result<(), LoadError> {
        let stream = self.stream.take().ok_or(LoadError::Order("end_file before begin_file"))?;
        let header = stream.finish()?;
        self.gguf = self.gguf.take().or(header.gguf);
        Ok(())
    }

    /// Resolves when the device has taken what was pushed; await it every 64 MiB or so.
    pub async fn flush(&mut self) -> Result<(), LoadError> {
        self.placement.store.flush().await
    }

    /// All files are there: makes the executor.
    pub async fn finish(self) -> Result<Loaded, LoadError> {
        if self.stream.is_some() {
            return Err(LoadError::Order("finish before end_file"));
        }
        if let Some(tensor) = self.placement.missing() {
            return Err(LoadError::MissingTensor { tensor });
        }
        let config = self.placement.config.ok_or(LoadError::Order("finish before any file"))?;
        let ready = self.placement.store.executor(&config, &self.options).await?;
        Ok(Loaded {
            config,
            executor: ready.executor,
            tunable: ready.tunable,
            gguf: self.gguf,
            memory: ready.memory,
            cost: ready.cost,
        })
    }
}
