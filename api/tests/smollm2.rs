//! `SmolLM2`'s tokenizer and chat template, rebuilt from its GGUF, against what `transformers` made of the same
//! prompts.
//!
//! The reference is `tests/fixtures/smollm2-135m-instruct/reference.json`; the GGUF is in the cache folder that `cargo
//! xtask setup` fills. Only its header is read.

use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use tilewright_api::{ChatModel, Completion, Endpoint, FinishReason, Limits};
use tilewright_formats::gguf::Metadata;
use tilewright_formats::{FileStream, FormatError, Header, TensorSink};
use tilewright_plan::{Sampled, SequenceId, TokenId};

/// Holds nothing, and stops where the header ends.
struct HeaderOnly(Option<Metadata>);

#[derive(Debug)]
struct Stop(Option<FormatError>);

impl From<FormatError> for Stop {
    fn from(error: FormatError) -> Self {
        Self(Some(error))
    }
}

impl TensorSink for HeaderOnly {
    type Error = Stop;
    fn header(&mut self, header: &Header) -> Result<(), Stop> {
        self.0.clone_from(&header.gguf);
        Err(Stop(None))
    }
    fn data(&mut self, _: usize, _: u64, _: &[u8]) -> Result<(), Stop> {
        Err(Stop(None))
    }
}

fn cache() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("TILEWRIGHT_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|cache| cache.join("tilewright")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/tilewright")))
        .expect("TILEWRIGHT_CACHE, XDG_CACHE_HOME or HOME names the cache folder")
}

static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    let path = cache().join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let mut file = File::open(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask setup` fetches the model", path.display()));
    let length = file.metadata().expect("a file has a length").len();
    let mut stream = FileStream::gguf("SmolLM2", Some(length));
    let mut sink = HeaderOnly(None);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).expect("the model can be read");
        match stream.push(&buffer[..read], &mut sink) {
            Ok(()) if read > 0 => {}
            Ok(()) => panic!("the file ends in its header"),
            Err(Stop(Some(error))) => panic!("{error}"),
            Err(Stop(None)) => return sink.0.expect("a GGUF has metadata"),
        }
    }
});

static MODEL: LazyLock<Arc<ChatModel>> = LazyLock::new(|| {
    Arc::new(ChatModel::from_gguf("smollm2-135m-instruct", &METADATA).expect("the vocabulary is good"))
});

#[derive(Deserialize)]
struct Case {
    name: String,
    messages: Option<Value>,
    text: Option<String>,
    rendered: String,
    prompt_ids: Vec<u32>,
    greedy: Vec<Step>,
    output: String,
}

#[derive(Deserialize)]
struct Step {
    id: u32,
}

impl Case {
    fn greedy_ids(&self) -> Vec<TokenId> {
        self.greedy.iter().map(|step| TokenId(step.id)).collect()
    }

    fn request(&self) -> (Endpoint, Value) {
        match (&self.messages, &self.text) {
            (Some(messages), _) => (Endpoint::ChatCompletions, json!({"messages": messages, "temperature": 0})),
            (None, text) => (Endpoint::Completions, json!({"prompt": text, "temperature": 0})),
        }
    }
}

fn reference() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/smollm2-135m-instruct/reference.json");
    let text = std::fs::read_to_string(path).expect("the fixture is there");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("the fixture is JSON");
    assert_eq!(cases.len(), 6);
    cases
}

const LIMITS: Limits = Limits { max_context: 8192 };

#[test]
fn templates_render_as_transformers_renders_them() {
    for case in reference() {
        if let Some(messages) = &case.messages {
            assert_eq!(MODEL.render(messages, None).expect("it renders"), case.rendered, "{}", case.name);
        }
    }
}

#[test]
fn prompts_have_the_ids_that_transformers_gives_them() {
    for case in reference() {
        let (endpoint, body) = case.request();
        let prepared = MODEL.prepare(endpoint, &body, LIMITS, 0).expect("a good request");
        let ids: Vec<u32> = prepared.prompt.iter().map(|id| id.0).collect();
        assert_eq!(ids, case.prompt_ids, "{}", case.name);
        assert_eq!(prepared.stop_ids, [TokenId(2), TokenId(0)]);
    }
}

#[test]
fn greedy_ids_decode_to_the_output() {
    for case in reference() {
        assert_eq!(MODEL.decode(&case.greedy_ids()), case.output, "{}", case.name);
    }
}

#[test]
fn greedy_ids_streamed_one_by_one_say_the_output() {
    for case in reference() {
        let (endpoint, mut body) = case.request();
        body["stream"] = true.into();
        let prepared = MODEL.prepare(endpoint, &body, LIMITS, 0).expect("a good request");
        let mut completion = Completion::new(MODEL.clone(), &prepared, "id".to_owned(), 0);
        let mut chunks = Vec::new();
        for token in case.greedy_ids() {
            let sampled = Sampled { sequence: SequenceId(0), token, logprob: None, top_logprobs: Vec::new() };
            chunks.extend(completion.push(&[sampled]).chunks);
        }
        chunks.extend(completion.finish(FinishReason::Stop, 0));
        let part =
            |chunk: &Value, path: &str| chunk.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let said: String = chunks
            .iter()
            .map(|chunk| part(chunk, "/choices/0/delta/content") + &part(chunk, "/choices/0/text"))
            .collect();
        assert_eq!(said, case.output, "{}", case.name);
        let usage = &chunks.last().expect("there is a last chunk")["usage"];
        assert_eq!(usage["prompt_tokens"], case.prompt_ids.len());
        assert_eq!(usage["completion_tokens"], case.greedy.len());
    }
}

/// Not a benchmark but a fence: a quadratic step somewhere would take minutes.
#[test]
fn hostile_texts_are_tokenized_in_linear_time() {
    let texts = [
        " ".repeat(200_000),
        " \n".repeat(100_000),
        "a".repeat(200_000),
        "<|im_start".repeat(20_000),
        "<|im_end|>".repeat(20_000),
        "é🙂\u{301}".repeat(20_000),
        format!("{}x", " ".repeat(200_000)),
    ];
    for text in texts {
        let start = Instant::now();
        let ids = MODEL.encode(&text).expect("every text has ids");
        let took = start.elapsed();
        let name: String = text.chars().take(10).collect();
        println!("{name:?} x {} bytes: {} tokens in {took:?}", text.len(), ids.len());
        if !text.contains("<|im_end|>") {
            assert_eq!(MODEL.decode(&ids), text, "{name:?}");
        }
        assert!(took.as_secs() < 20, "{name:?} took {took:?}");
    }
}

/// `cargo test -p tilewright-api --release --test smollm2 -- --ignored --nocapture`
#[test]
#[ignore = "prints how long building and encoding take"]
fn speed() {
    let metadata = &*METADATA;
    let start = Instant::now();
    let model = ChatModel::from_gguf("m", metadata).expect("the vocabulary is good");
    println!("built from {} tokens in {:?}", model.vocabulary(), start.elapsed());
    let text: String = reference().into_iter().flat_map(|case| [case.rendered, case.output, "\n".to_owned()]).collect();
    let text = text.repeat(1_000_000 / text.len());
    for round in ["cold", "warm"] {
        let start = Instant::now();
        let ids = model.encode(&text).expect("it encodes");
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{round}: {} bytes to {} tokens in {seconds:.3} s: {:.2} MB/s",
            text.len(),
            ids.len(),
            text.len() as f64 / seconds / 1e6
        );
        let start = Instant::now();
        let back = model.decode(&ids);
        println!("back: {} bytes in {:?}", back.len(), start.elapsed());
    }
}
