//! `tilewright db`: what it prints of tuning databases, and how it fails.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tilewright")).args(["db"]).args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The words of a failure: one line, no panic, no backtrace.
fn failure(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.starts_with("error: ") && words.lines().count() == 1, "{words}");
    words
}

/// A file of this test run, in a folder of its own test.
fn temporary(test: &str, name: &str, contents: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("db").join(test);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, contents).unwrap();
    path.display().to_string()
}

fn record(threads: u32, time_ns: f64, outcome: &str) -> Value {
    json!({
        "schema": 1, "kernel": "matvec", "source_hash": "0123", "parameters": { "threads": threads },
        "shape": { "op": "matmul", "quantization": "q4_1", "dtype": "f32", "n": 4864, "k": 896, "m": 1 },
        "device": { "vendor": "nvidia", "architecture": "hopper", "description": "NVIDIA H100" },
        "browser": { "name": "Chromium", "version": "156", "os": "Linux" },
        "method": { "clock": "timestamp" }, "samples_ns": [time_ns], "outcome": outcome, "taken_at_ms": 1,
    })
}

fn database(records: &[Value]) -> String {
    let trial = json!({
        "schema": 1, "model": "qwen2-0.5b", "changes": [], "verdict": "kept", "taken_at_ms": 1,
        "device": records[0]["device"], "browser": records[0]["browser"],
        "decode": { "before_tokens_per_s": [500.0], "after_tokens_per_s": [550.0] },
    });
    json!({ "format": "tilewright-tuning", "schema": 1, "records": records, "trials": [trial] }).to_string()
}

#[test]
fn show_names_devices_winners_and_what_tuning_did() {
    let records = [record(16, 4000.0, "ok"), record(32, 5000.0, "ok"), record(64, 1.0, "wrong")];
    let file = temporary("show", "a.json", &database(&records));
    let words = printed(&["show", &file]);
    for part in [
        "3 records, 1 trial\n",
        "NVIDIA H100, Chromium 156 on Linux: 3 records",
        "matmul q4_1 f32 4864x896 m=1   4.00 us  matvec threads=16",
        "best of 2, 1.12 times as fast as the median; 1 wrong",
        "qwen2-0.5b, 0 changes kept: decode 500.0 -> 550.0 tokens/s (+10.0 %)",
    ] {
        assert!(words.contains(part), "{part:?} is not in\n{words}");
    }
    let object: Value = serde_json::from_str(&printed(&["show", &file, "--json"])).unwrap();
    let device = &object["devices"][0];
    assert_eq!(device["winners"][0]["variant"]["parameters"]["threads"], 16);
    assert_eq!(
        (&device["winners"][0]["outcomes"]["wrong"], &device["trials"][0]["verdict"]),
        (&json!(1), &json!("kept"))
    );
}

#[test]
fn merge_knows_what_either_knew_whatever_the_order() {
    let a = temporary("merge", "a.json", &database(&[record(16, 4000.0, "ok"), record(32, 5000.0, "ok")]));
    let b = temporary("merge", "b.json", &database(&[record(16, 4000.0, "ok"), record(64, 3000.0, "ok")]));
    let [ab, ba] = ["ab.json", "ba.json"].map(|name| temporary("merge", name, ""));
    assert!(printed(&["merge", &a, &b, "-o", &ab]).contains("3 records, 1 trial"));
    printed(&["merge", &b, &a, &a, "--out", &ba]);
    assert_eq!(std::fs::read(&ab).unwrap(), std::fs::read(&ba).unwrap());
    printed(&["merge", &ab, &a, "-o", &ab]);
    assert_eq!(std::fs::read(&ab).unwrap(), std::fs::read(&ba).unwrap());
    assert!(printed(&["check", &ab]).contains("no fault"));
}

#[test]
fn diff_says_where_winners_differ_and_by_how_much() {
    let a = temporary("diff", "a.json", &database(&[record(16, 4000.0, "ok"), record(32, 5000.0, "ok")]));
    let b = temporary("diff", "b.json", &database(&[record(16, 4000.0, "ok"), record(32, 3200.0, "ok")]));
    let words = printed(&["diff", &a, &b]);
    assert!(words.contains("m=1: 1.25 times as fast"), "{words}");
    assert!(
        words.contains("-  4.00 us  matvec threads=16") && words.contains("+  3.20 us  matvec threads=32"),
        "{words}"
    );
    assert!(words.ends_with("0 the same, 1 different\n"), "{words}");
    assert_eq!(printed(&["diff", &a, &a]), "1 the same, 0 different\n");
    let object: Value = serde_json::from_str(&printed(&["diff", &a, &b, "--json"])).unwrap();
    assert_eq!(object["differences"][0]["time_ratio"], 0.8);
}

#[test]
fn check_fails_for_what_would_be_skipped_and_names_it() {
    let good = temporary("check", "good.json", &database(&[record(16, 4000.0, "ok")]));
    let bad = temporary("check", "bad.json", &database(&[record(16, 4000.0, "ok"), record(16, 4000.0, "splendid")]));
    assert!(printed(&["check", &good]).contains("1 record, 1 trial, no fault"));
    let output = run(&["check", &good, &bad, "nowhere.json"]);
    assert_eq!(output.status.code(), Some(1));
    let (words, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(words.contains("splendid") && words.contains("number 2") && words.contains("nowhere.json"), "{words}");
    assert_eq!(error, "error: 2 of 3 files have faults: see above\n");
    // What is left of the file can still be shown, and the loss is said.
    let output = run(&["show", &bad]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("1 skipped"));
}

#[test]
fn what_is_no_database_is_said_in_one_line() {
    assert!(failure(&["show", "nowhere.json"]).contains("nowhere.json"));
    let text = temporary("failures", "text.json", "Hello");
    assert!(failure(&["show", &text]).contains("not JSON"));
    let other = temporary("failures", "other.json", "{}");
    assert!(failure(&["diff", &other, &other]).contains("not a tuning database"));
    let newer = temporary("failures", "newer.json", r#"{"format": "tilewright-tuning", "schema": 7}"#);
    assert!(failure(&["merge", &newer, "-o", &text]).contains("schema 7"));
    let good = temporary("failures", "good.json", r#"{"format": "tilewright-tuning", "schema": 1}"#);
    assert!(failure(&["merge", &good, "-o", "no/such/folder/out.json"]).contains("no/such/folder"));
}
