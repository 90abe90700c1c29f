//! Loading models from files that are in memory, with the CPU executor behind them.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use safetensors::SafeTensors;
use serde_json::json;
use std::collections::BTreeMap;
use tilewright_api::ApiError;
use tilewright_engine::{Device, LoadOptions};
use tilewright_host::{
    ByteStream, Endpoint, FileError, LoadError, ModelFiles, ModelLayout, Phase, Progress, Service, load, load_weights,
};

/// A folder in memory.
#[derive(Clone, Default)]
struct Folder(BTreeMap<String, Vec<u8>>);

struct OpenFile {
    name: String,
    bytes: Vec<u8>,
    read: usize,
    /// The connection breaks here.
    breaks_at: usize,
}

impl ModelFiles for Folder {
    fn text(&self, name: &str) -> LocalBoxFuture<'_, Result<Option<String>, FileError>> {
        let text = self.0.get(name).map(|bytes| String::from_utf8(bytes.clone()));
        let text = text.transpose().map_err(|error| FileError::read(name, error.to_string()));
        async { text }.boxed_local()
    }

    fn open(&self, name: &str) -> LocalBoxFuture<'_, Result<Box<dyn ByteStream>, FileError>> {
        let breaks_at = self.0.get(&format!("{name} breaks")).map_or(usize::MAX, Vec::len);
        let stream = self.0.get(name).cloned().map(|bytes| {
            let stream: Box<dyn ByteStream> = Box::new(OpenFile { name: name.to_owned(), bytes, read: 0, breaks_at });
            stream
        });
        let stream = stream.ok_or_else(|| FileError::not_found(name));
        async { stream }.boxed_local()
    }
}

impl ByteStream for OpenFile {
    fn len(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }

    fn next(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, FileError>> {
        let end = (self.read + 10_007).min(self.bytes.len());
        let cut = self.bytes[self.read..end].to_vec();
        self.read = end;
        let result = match cut {
            _ if end > self.breaks_at => Err(FileError::read(&self.name, "the connection broke")),
            cut if cut.is_empty() => Ok(None),
            cut => Ok(Some(cut)),
        };
        async { result }.boxed_local()
    }
}

fn llama() -> Folder {
    let folder = format!("{}/../tests/fixtures/llama", env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| {
        let path = format!("{folder}/{name}");
        (name.to_owned(), std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
    };
    Folder(["config.json", "tokenizer.json", "model.safetensors"].into_iter().map(read).collect())
}

fn tensor_bytes(tensors: &SafeTensors) -> usize {
    tensors.tensors().iter().map(|(_, tensor)| tensor.data().len()).sum()
}

/// The same model in two files and an index.
fn sharded_llama() -> Folder {
    let mut folder = llama();
    let whole = folder.0.remove("model.safetensors").unwrap();
    let tensors = SafeTensors::deserialize(&whole).unwrap();
    let mut map = BTreeMap::new();
    for shard in 0..2 {
        let name = format!("model-0000{}-of-00002.safetensors", shard + 1);
        let half: Vec<_> = tensors
            .tensors()
            .into_iter()
            .enumerate()
            .filter(|(at, _)| at % 2 == shard)
            .map(|(_, tensor)| tensor)
            .collect();
        map.extend(half.iter().map(|(tensor, _)| (tensor.clone(), name.clone())));
        folder.0.insert(name, safetensors::serialize(half, None).unwrap());
    }
    let index = json!({ "metadata": { "total_size": tensor_bytes(&tensors) }, "weight_map": map });
    folder.0.insert("model.safetensors.index.json".to_owned(), index.to_string().into_bytes());
    folder
}

fn load_all(folder: &Folder, layout: ModelLayout, progress: &mut dyn FnMut(Progress)) -> Result<Service, LoadError> {
    pollster::block_on(load(folder, layout, "tiny", Device::Cpu, LoadOptions::default(), progress))
}

fn load_llama(folder: &Folder) -> Result<Service, LoadError> {
    load_all(folder, ModelLayout::HuggingFace, &mut |_| ())
}

fn error_of(folder: &Folder, layout: ModelLayout) -> LoadError {
    load_all(folder, layout, &mut |_| ()).err().expect("it can't be loaded")
}

fn output(mut service: Service, prompt: &str) -> Vec<u32> {
    let body = json!({ "prompt": prompt, "max_tokens": 12, "temperature": 0, "ignore_eos": true });
    let completed = service.complete(
        Endpoint::Completions,
        body,
        std::future::pending(),
        || std::time::Duration::from_millis(0),
        |_| (),
    );
    pollster::block_on(completed).expect("it answers").report.output.iter().map(|token| token.0).collect()
}

#[test]
fn a_folder_becomes_a_service_that_answers_and_tells_how_far_it_is() {
    let mut seen = Vec::new();
    let folder = llama();
    let service =
        load_all(&folder, ModelLayout::HuggingFace, &mut |progress| seen.push(progress)).expect("it is a model");
    let total = folder.0["model.safetensors"].len() as u64;
    assert_eq!(seen.first().map(|progress| progress.phase), Some(Phase::Files));
    assert_eq!(seen.last(), Some(&Progress { phase: Phase::Preparing, loaded_bytes: total, total_bytes: Some(total) }));
    assert!(seen.windows(2).all(|pair| pair[0].loaded_bytes <= pair[1].loaded_bytes));
    assert!(seen.len() as u64 > total / 20_000);
    assert_eq!(service.family(), Some("llama"));
    assert_eq!((service.max_context(), service.capacity().vocabulary), (512, 384));
    assert!(service.memory().unwrap().weights_bytes > 0);
    assert_eq!(output(service, "the first").len(), 12);
}

#[test]
fn a_model_that_a_device_has_no_room_for_is_refused_before_its_weights_are_read() {
    let options = LoadOptions { max_bytes: Some(100_000), ..LoadOptions::default() };
    for folder in [llama(), sharded_llama()] {
        let mut read = 0;
        let mut note = |progress: Progress| read = progress.loaded_bytes;
        let loading = load_weights(&folder, ModelLayout::HuggingFace, Device::Cpu, options.clone(), &mut note);
        let error = pollster::block_on(loading).err().expect("it has 350 000 bytes");
        assert!(matches!(error, LoadError::TooLarge { most: 100_000, .. }), "{error}");
        assert_eq!(ApiError::from(&error).code.as_deref(), Some("model_too_large"));
        assert_eq!(read, 0, "of either file");
    }
}

#[test]
fn a_sharded_folder_says_the_same_as_the_single_file() {
    let single = output(load_llama(&llama()).unwrap(), "the same");
    let mut seen = Vec::new();
    let sharded = sharded_llama();
    let service = load_all(&sharded, ModelLayout::HuggingFace, &mut |progress| seen.push(progress)).unwrap();
    assert_eq!(output(service, "the same"), single);
    // The index says how much there is before the second file is opened.
    let whole = llama().0.remove("model.safetensors").unwrap();
    let bytes = tensor_bytes(&SafeTensors::deserialize(&whole).unwrap()) as u64;
    let weights: Vec<_> = seen.iter().filter(|progress| progress.phase == Phase::Weights).collect();
    assert_eq!(weights[0].total_bytes, Some(bytes));
    assert!(weights.iter().all(|progress| progress.total_bytes >= Some(progress.loaded_bytes)));
}

#[test]
fn several_requests_at_once_on_the_real_executor_say_what_they_say_alone() {
    let bodies: Vec<_> = ["one", "a second prompt", "the third one of them"]
        .iter()
        .map(|prompt| json!({ "prompt": prompt, "max_tokens": 12, "temperature": 0.9, "seed": 7, "ignore_eos": true }))
        .collect();
    let ids = std::rc::Rc::new(std::cell::RefCell::new(BTreeMap::new()));
    let listener = std::rc::Rc::clone(&ids);
    let service = load_llama(&llama()).unwrap().on_ended(move |report| {
        listener.borrow_mut().insert(report.request.0, report.output);
    });
    let inputs: Vec<_> = (0..)
        .zip(&bodies)
        .map(|(request, body)| tilewright_host::Input::Submit {
            client: tilewright_host::ClientId(request),
            request: tilewright_host::RequestId(request),
            endpoint: Endpoint::Completions,
            body: body.clone(),
            resume: None,
        })
        .collect();
    pollster::block_on(service.serve(
        futures_util::stream::iter(inputs),
        || std::time::Duration::from_millis(0),
        |_| (),
    ));
    let mut alone = load_llama(&llama()).unwrap();
    for (request, body) in (0..).zip(bodies) {
        let completed = alone.complete(
            Endpoint::Completions,
            body,
            std::future::pending(),
            || std::time::Duration::from_millis(0),
            |_| (),
        );
        assert_eq!(ids.borrow()[&request], pollster::block_on(completed).unwrap().report.output);
    }
}

#[test]
fn a_missing_file_is_an_error_that_names_it_and_says_what_to_do() {
    for (file, folder) in [
        ("config.json", llama()),
        ("tokenizer.json", llama()),
        ("model.safetensors", llama()),
        ("model-00002-of-00002.safetensors", sharded_llama()),
    ] {
        let mut folder = folder;
        folder.0.remove(file).expect("it was there");
        let error = error_of(&folder, ModelLayout::HuggingFace);
        assert!(matches!(&error, LoadError::MissingFile { file: missing, .. } if missing == file), "{error:?}");
        assert!(error.to_string().contains(file) && error.to_string().contains("; "), "{error}");
        assert_eq!(ApiError::from(&error).code.as_deref(), Some("file_not_found"));
    }
    let error = error_of(&Folder::default(), ModelLayout::Gguf { file: "model.gguf".to_owned() });
    assert!(
        matches!(&error, LoadError::File(error) if error.is_not_found() && error.name == "model.gguf"),
        "{error:?}"
    );
    assert_eq!(ApiError::from(&error).code.as_deref(), Some("file_not_found"));
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    type Damage = fn(&mut Vec<u8>);
    let damage: [(&str, &str, Damage); 5] = [
        ("model.safetensors", "model.safetensors", |bytes| bytes.truncate(bytes.len() / 2)),
        ("model.safetensors", "model.safetensors", |bytes| bytes[..8].fill(0xff)),
        ("tokenizer.json", "tokenizer.json", |bytes| bytes.truncate(100)),
        ("config.json", "config.json", |bytes| bytes.truncate(30)),
        ("config.json", "frobnicator", |bytes| {
            *bytes = String::from_utf8_lossy(bytes)
                .replace("\"llama\"", "\"frobnicator\"")
                .replace("LlamaForCausalLM", "frobnicator")
                .into_bytes();
        }),
    ];
    for (file, named, damage) in damage {
        let mut folder = llama();
        damage(folder.0.get_mut(file).unwrap());
        let error = error_of(&folder, ModelLayout::HuggingFace);
        assert!(error.to_string().contains(named), "{file}: {error}");
    }
    let folder = Folder(BTreeMap::from([("model.gguf".to_owned(), b"not a GGUF at all".to_vec())]));
    let error = error_of(&folder, ModelLayout::Gguf { file: "model.gguf".to_owned() });
    assert!(error.to_string().contains("model.gguf"), "{error}");
    assert_eq!(ApiError::from(&error).code.as_deref(), Some("file_damaged"));
}

#[test]
fn a_connection_that_breaks_half_way_is_an_error_with_its_own_words() {
    let mut folder = llama();
    folder.0.insert("model.safetensors breaks".to_owned(), vec![0; 50_000]);
    let error = error_of(&folder, ModelLayout::HuggingFace);
    assert!(matches!(error, LoadError::File(_)));
    assert_eq!(error.to_string(), "model.safetensors: the connection broke");
}

#[test]
fn a_chat_template_that_is_missing_or_broken_stops_chats_and_nothing_else() {
    let mut broken = llama();
    broken.0.insert("chat_template.jinja".to_owned(), b"{% for message in".to_vec());
    for folder in [llama(), broken] {
        let mut service = load_llama(&folder).expect("the model is fine");
        let body = json!({ "messages": [{ "role": "user", "content": "hi" }] });
        let chat = service.complete(
            Endpoint::ChatCompletions,
            body,
            std::future::pending(),
            || std::time::Duration::from_millis(0),
            |_| (),
        );
        let error = pollster::block_on(chat).unwrap_err();
        assert!(error.message.contains("template"), "{}", error.message);
        assert_eq!(output(service, "still here").len(), 12);
    }
}

#[test]
fn weights_can_be_loaded_again_for_another_executor() {
    let (folder, source) = (llama(), llama());
    let service = load_llama(&folder).unwrap().with_executor_source(move || {
        let folder = source.clone();
        async move {
            let loaded =
                load_weights(&folder, ModelLayout::HuggingFace, Device::Cpu, LoadOptions::default(), &mut |_| ())
                    .await?;
            Ok(loaded.executor)
        }
    });
    assert_eq!(output(service, "hello").len(), 12);
}
