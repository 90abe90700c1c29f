//! `tilewright info`: what a model is, from the headers of its files alone.

use crate::args::Info;
use crate::error::CliError;
use crate::open::ModelPath;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use tilewright_engine::LoadOptions;
use tilewright_engine::load::capacity::estimate;
use tilewright_engine::model::family::Naming;
use tilewright_engine::model::{gguf, hugging_face};
use tilewright_engine::{LoadError, ModelConfig};
use tilewright_formats::{FileStream, FormatError, Header, TensorInfo, TensorSink, safetensors};
use tilewright_host::ModelLayout;

/// Prints family, sizes, formats and memory.
pub(crate) fn run(command: &Info) -> Result<(), CliError> {
    let path = ModelPath::find(&command.model)?;
    let (config, tensors, naming, files) = describe(&path)?;
    let options = LoadOptions { max_context: command.context, ..LoadOptions::default() };
    let (capacity, memory) = estimate(&config, &tensors, naming, &options).map_err(load)?;
    let mut formats: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for tensor in &tensors {
        let (count, bytes) = formats.entry(tensor.dtype.name()).or_default();
        *count += 1;
        *bytes += tensor.bytes;
    }
    let parameters: u64 = tensors.iter().map(TensorInfo::elements).sum();
    let kv_per_token = config.kv_bytes_per_token();
    let total = memory.weights_bytes + memory.kv_bytes + memory.scratch_bytes;
    if command.json {
        let formats: BTreeMap<_, _> = formats
            .into_iter()
            .map(|(name, (tensors, bytes))| (name, json!({ "tensors": tensors, "bytes": bytes })))
            .collect();
        let object = json!({
            "model": path.id,
            "family": config.family.name,
            "files": files,
            "parameters": parameters,
            "layers": config.layers,
            "hidden": config.hidden,
            "feed_forward": config.feed_forward,
            "heads": config.heads,
            "kv_heads": config.kv_heads,
            "head_dim": config.head_dim,
            "vocabulary": config.vocabulary,
            "context": config.context,
            "tied_head": config.tied_head,
            "formats": formats,
            "memory": {
                "weights_bytes": memory.weights_bytes,
                "kv_bytes": memory.kv_bytes,
                "kv_bytes_per_token": kv_per_token,
                "scratch_bytes": memory.scratch_bytes,
                "total_bytes": total,
            },
        });
        println!("{object}");
        return Ok(());
    }
    let head = if config.tied_head { "tied to the embedding" } else { "of its own" };
    println!("{}: {} family, {:.1} million parameters, {files}", path.id, config.family.name, parameters as f64 / 1e6);
    println!("  layers        {}, {} wide, feed-forward {}", config.layers, config.hidden, config.feed_forward);
    println!("  attention     {} heads of {} over {} KV heads", config.heads, config.head_dim, config.kv_heads);
    println!("  vocabulary    {} tokens, head {head}", config.vocabulary);
    println!("  context       {} tokens", config.context);
    for (name, (count, bytes)) in formats {
        println!("  {name:<13} {count} tensors, {}", mib(bytes));
    }
    println!("Memory");
    println!("  weights       {}", mib(memory.weights_bytes));
    let tokens = capacity.blocks * capacity.block_size;
    println!("  keys, values  {} for {tokens} tokens ({} per token)", mib(memory.kv_bytes), kib(kv_per_token));
    println!("  scratch       {}", mib(memory.scratch_bytes));
    println!("  in all        {}", mib(total));
    Ok(())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn kib(bytes: u64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

fn load(error: LoadError) -> CliError {
    CliError::Load(error.into())
}

fn format(error: FormatError) -> CliError {
    load(error.into())
}

const INDEX: &str = "model.safetensors.index.json";

/// Configuration, tensors, how they are named, and the number of files in words.
fn describe(path: &ModelPath) -> Result<(ModelConfig, Vec<TensorInfo>, Naming, String), CliError> {
    match &path.layout {
        ModelLayout::Gguf { file } => {
            let header = header(path, file, FileStream::gguf)?;
            let metadata = header.gguf.ok_or_else(|| CliError::NoModel { path: path.files.folder.join(file) })?;
            let config = gguf::config(&metadata, &header.tensors).map_err(|error| load(error.into()))?;
            Ok((config, header.tensors, Naming::Gguf, "one GGUF file".to_owned()))
        }
        ModelLayout::HuggingFace => {
            let read = |name: &str| {
                let path = path.files.folder.join(name);
                std::fs::read_to_string(&path).map_err(|source| CliError::File { path, source })
            };
            let config = hugging_face::config(&read("config.json")?).map_err(|error| load(error.into()))?;
            let shards = if path.files.folder.join(INDEX).is_file() {
                safetensors::Index::parse(INDEX, &read(INDEX)?).map_err(format)?.shards()
            } else {
                vec!["model.safetensors".to_owned()]
            };
            let mut tensors = Vec::new();
            for shard in &shards {
                tensors.extend(header(path, shard, FileStream::safetensors)?.tensors);
            }
            let files = match shards.len() {
                1 => "one safetensors file".to_owned(),
                count => format!("{count} safetensors files"),
            };
            Ok((config, tensors, Naming::HuggingFace, files))
        }
    }
}

/// Keeps the header and wants nothing more.
#[derive(Default)]
struct HeaderOnly(Option<Header>);

impl TensorSink for HeaderOnly {
    type Error = FormatError;

    fn header(&mut self, header: &Header) -> Result<(), FormatError> {
        self.0 = Some(header.clone());
        Ok(())
    }

    fn data(&mut self, _tensor: usize, _offset: u64, _bytes: &[u8]) -> Result<(), FormatError> {
        Ok(())
    }
}

/// Reads a file up to the end of its header.
fn header(path: &ModelPath, name: &str, open: fn(&str, Option<u64>) -> FileStream) -> Result<Header, CliError> {
    let file_path = path.files.folder.join(name);
    let error = |source| CliError::File { path: file_path.clone(), source };
    let mut file = File::open(&file_path).map_err(error)?;
    let length = file.metadata().map_err(error)?.len();
    let mut stream = open(name, Some(length));
    let mut sink = HeaderOnly::default();
    let mut cut = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut cut).map_err(error)?;
        if count == 0 {
            return stream.finish().map_err(format);
        }
        stream.push(&cut[..count], &mut sink).map_err(format)?;
        if let Some(header) = sink.0 {
            return Ok(header);
        }
    }
}
