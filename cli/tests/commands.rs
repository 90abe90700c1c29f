//! The program as it is called: its exact forms, what it prints, how it fails. On the CPU, over the tiny fixture.

use safetensors::SafeTensors;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn fixture(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name).display().to_string()
}

/// Runs the program with `input` typed into it.
fn run_with(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tilewright"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    run_with(arguments, "")
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// The words of a failure: one line, no panic, no backtrace.
fn failure(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.starts_with("error: ") && words.lines().count() == 1, "{words}");
    words
}

/// A file of this test run.
fn temporary(name: &str, contents: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, contents).unwrap();
    path.display().to_string()
}

#[cfg(unix)]
#[test]
fn whoever_reads_the_output_may_stop_before_it_ends() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tilewright"))
        .args(["info", "--model", &fixture("llama"), "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn generate_prints_the_object_that_programs_read() {
    let model = fixture("llama");
    let arguments = ["generate", "--model", &model, "--ids", "5,6,7", "--max-tokens", "6", "--device", "cpu", "--json"];
    let object = json(&run(&arguments));
    assert_eq!(object["prompt_ids"], serde_json::json!([5, 6, 7]));
    assert_eq!(object["output_ids"].as_array().unwrap().len(), 6);
    assert_eq!(object["finish_reason"], "length");
    assert!(object["text"].is_string() && object["device"].as_str().unwrap().contains("CPU"));
    for timing in ["prefill_tokens_per_s", "decode_tokens_per_s", "time_to_first_token_ms"] {
        assert!(object["timings"][timing].as_f64().unwrap() > 0.0, "{timing}");
    }
    let keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["prompt_ids", "output_ids", "text", "finish_reason", "timings", "device"]);
}

#[test]
fn generate_is_greedy_unless_told_otherwise_and_a_seed_repeats_itself() {
    let model = fixture("llama");
    let ids = |more: &[&str]| {
        let base =
            ["generate", "--model", &model, "--prompt", "abc", "--device", "cpu", "--json", "--max-tokens", "12"];
        json(&run(&[&base, more].concat()))["output_ids"].clone()
    };
    assert_eq!(ids(&[]), ids(&["--temperature", "0", "--seed", "9"]));
    assert_eq!(ids(&["--temperature", "1.5", "--seed", "3"]), ids(&["--temperature", "1.5", "--seed", "3"]));
    assert_ne!(ids(&["--temperature", "1.5", "--seed", "3"]), ids(&["--temperature", "1.5", "--seed", "4"]));
}

#[test]
fn generate_streams_the_text_that_it_would_put_into_the_object() {
    let model = fixture("llama");
    let arguments = ["generate", "--model", &model, "--prompt", "abc", "--device", "cpu", "--max-tokens", "12"];
    let streamed = String::from_utf8(run(&arguments).stdout).unwrap();
    let object = json(&run(&[&arguments[..], &["--json"]].concat()));
    assert_eq!(streamed.strip_suffix('\n').unwrap(), object["text"].as_str().unwrap());
}

#[test]
fn logits_are_those_of_the_reference() {
    let expected = std::fs::read(PathBuf::from(fixture("llama")).join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let ids = expected.tensor("prompt_ids").unwrap();
    let ids: Vec<String> =
        ids.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()).to_string()).collect();
    let out = temporary("logits.safetensors", "");
    let run = run(&["logits", "--model", &fixture("llama"), "--ids", &ids.join(","), "--device", "cpu", "--out", &out]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let written = std::fs::read(&out).unwrap();
    let written = SafeTensors::deserialize(&written).unwrap();
    let (logits, reference) = (written.tensor("logits").unwrap(), expected.tensor("prompt_logits").unwrap());
    assert_eq!(logits.shape(), [ids.len(), 384]);
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    for (logit, reference) in floats(logits.data()).iter().zip(floats(reference.data())) {
        assert!((logit - reference).abs() <= 1e-3 + 2e-3 * reference.abs(), "{logit}, reference {reference}");
    }
}

#[test]
fn info_says_what_a_model_is_without_reading_its_weights() {
    let object = json(&run(&["info", "--model", &fixture("llama3-rope"), "--json"]));
    assert_eq!((object["family"].as_str(), object["layers"].as_u64()), (Some("llama"), Some(3)));
    assert_eq!(object["tied_head"], true);
    assert!(object["memory"]["total_bytes"].as_u64().unwrap() > object["memory"]["weights_bytes"].as_u64().unwrap());
    let words = String::from_utf8(run(&["info", "--model", &fixture("llama")]).stdout).unwrap();
    assert!(words.contains("llama family") && words.contains("weights"), "{words}");
}

#[test]
fn a_chat_reads_commands_and_says_what_is_wrong() {
    let input = "/help\n/nonsense\nHello\n/quit\n";
    let output = run_with(&["chat", "--model", &fixture("llama"), "--device", "cpu"], input);
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(words.contains("there is no /nonsense"), "{words}");
    // The fixture has no chat template: said in words, and the chat goes on to /quit.
    assert!(words.contains("error: ") && words.contains("chat template"), "{words}");
}

#[test]
fn what_is_wrong_is_said_in_one_line_that_names_it() {
    let model = fixture("llama");
    let generate = |more: &[&str]| failure(&[&["generate", "--device", "cpu"], more].concat());
    assert!(generate(&["--model", "no/such/model", "--prompt", "x"]).contains("no/such/model"));
    assert!(generate(&["--model", &model, "--ids", "384"]).contains("384"));
    assert!(generate(&["--model", &model, "--prompt", "x", "--temperature=-1"]).contains("temperature"));
    assert!(generate(&["--model", &model, "--messages", "nowhere.json"]).contains("nowhere.json"));
    let not_json = temporary("messages.json", "Hello");
    assert!(generate(&["--model", &model, "--messages", &not_json]).contains("not JSON"));
    let not_gguf = temporary("model.gguf", "<!doctype html><title>404</title>");
    assert!(generate(&["--model", &not_gguf, "--prompt", "x"]).contains("model.gguf"));
    let long = vec!["5"; 600].join(",");
    assert!(generate(&["--model", &model, "--ids", &long]).contains("512"));
    let logits = |ids: &str| failure(&["logits", "--device", "cpu", "--model", &model, "--ids", ids, "--out", "x"]);
    assert!(logits(&long).contains("512"));
    assert!(logits("1,999").contains("999"));
    let unwritable = ["logits", "--device", "cpu", "--model", &model, "--ids", "1", "--out", "no/such/folder/x"];
    assert!(failure(&unwritable).contains("no/such/folder"));
}
