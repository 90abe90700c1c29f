//! A path and a device to a running service.

use crate::args::{DeviceKind, ModelArgs, SamplingArgs};
use crate::error::CliError;
use crate::files::DiskFiles;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tilewright_engine::{Device, Gpu, GpuOptions, LoadOptions, Loaded};
use tilewright_host::{ModelLayout, Service};

/// Files and layout of a model.
pub(crate) struct ModelPath {
    pub(crate) files: DiskFiles,
    pub(crate) layout: ModelLayout,
    /// What it is called in answers.
    pub(crate) id: String,
}

impl ModelPath {
    /// Finds out what a path is.
    pub(crate) fn find(path: &Path) -> Result<Self, CliError> {
        let id = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        if path.is_dir() && path.join("config.json").is_file() {
            return Ok(Self { files: DiskFiles { folder: path.to_owned() }, layout: ModelLayout::HuggingFace, id });
        }
        match path.file_name() {
            Some(file) if path.is_file() => {
                let folder = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
                let layout = ModelLayout::Gguf { file: file.to_string_lossy().into_owned() };
                Ok(Self { files: DiskFiles { folder }, layout, id })
            }
            _ => Err(CliError::NoModel { path: path.to_owned() }),
        }
    }
}

/// The device that was asked for; else a GPU if there is a real one; else the CPU.
pub(crate) async fn device(kind: Option<DeviceKind>, options: GpuOptions) -> Result<Device, CliError> {
    match kind {
        Some(DeviceKind::Cpu) => Ok(Device::Cpu),
        Some(DeviceKind::CpuReference) => Ok(Device::CpuReference),
        Some(DeviceKind::Gpu) => Ok(Device::Gpu(Gpu::request(&options).await?)),
        None if options.adapter.is_some() => Ok(Device::Gpu(Gpu::request(&options).await?)),
        None => Ok(match Gpu::request(&options).await {
            Ok(gpu) if !gpu.is_software() => Device::Gpu(gpu),
            _ => Device::Cpu,
        }),
    }
}

async fn model_device(args: &ModelArgs) -> Result<Device, CliError> {
    device(args.device, GpuOptions { adapter: args.adapter.clone(), ..GpuOptions::default() }).await
}

fn load_options(args: &ModelArgs) -> LoadOptions {
    LoadOptions {
        max_context: args.context,
        kv_bytes: Some(args.kv_mib.saturating_mul(1 << 20)),
        threads: args.threads.map(usize::from),
        ..LoadOptions::default()
    }
}

/// A model that answers requests.
pub(crate) async fn service(args: &ModelArgs) -> Result<Service, CliError> {
    let path = ModelPath::find(&args.model)?;
    let device = model_device(args).await?;
    Ok(tilewright_host::load(&path.files, path.layout, &path.id, device, load_options(args), &mut |_| ()).await?)
}

/// A model's weights on a device.
pub(crate) async fn weights(args: &ModelArgs) -> Result<Loaded, CliError> {
    let path = ModelPath::find(&args.model)?;
    let device = model_device(args).await?;
    Ok(tilewright_host::load_weights(&path.files, path.layout, device, load_options(args), &mut |_| ()).await?)
}

/// Time since the Unix epoch at the program's start and since then by a clock that nobody sets back.
pub(crate) fn clock() -> Duration {
    static START: LazyLock<(Duration, Instant)> =
        LazyLock::new(|| (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), Instant::now()));
    START.0 + START.1.elapsed()
}

/// Adds what was typed to a request's body.
pub(crate) fn add_sampling(body: &mut Map<String, Value>, sampling: &SamplingArgs) {
    let mut add = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.to_owned(), value);
        }
    };
    // By way of its decimal digits: 0.7f32 is 0.699999988 as f64.
    let float = |value: Option<f32>| value.and_then(|value| value.to_string().parse::<f64>().ok()).map(Value::from);
    add("temperature", float(sampling.temperature));
    add("top_p", float(sampling.top_p));
    add("top_k", sampling.top_k.map(Value::from));
    add("min_p", float(sampling.min_p));
    add("repetition_penalty", float(sampling.repetition_penalty));
    add("seed", sampling.seed.map(Value::from));
}
