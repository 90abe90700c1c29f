//! `tilewright bench` as programs call it: what its object says, of a file and of a shape, on the CPU and on a GPU in software.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tilewright")).arg("bench").args(arguments).output().unwrap()
}

fn report(arguments: &[&str]) -> Value {
    let output = bench(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn fixture() -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/llama").display().to_string()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Asserts what every report says, of runs of these numbers of sequences.
fn assert_report(report: &Value, model: &str, concurrency: &[u64], repeats: usize) {
    // As `BenchReport` of web/ts/bench.ts has them.
    #[rustfmt::skip]
    let expected = [
        "model", "device", "version", "prompt", "generate", "repeats", "sampling", "weights_bytes", "kv_bytes", "scratch_bytes",
        "weight_bytes_per_step", "dispatches_per_step", "depth", "max_rows", "load_ms", "runs",
    ];
    assert_eq!(keys(report), expected);
    assert_eq!((report["model"].as_str(), report["version"].as_str()), (Some(model), Some(env!("CARGO_PKG_VERSION"))));
    let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key} is {}", report[key]));
    for positive in ["weights_bytes", "kv_bytes", "weight_bytes_per_step", "depth", "max_rows", "load_ms"] {
        assert!(number(positive) > 0.0, "{positive}");
    }
    assert!(number("weight_bytes_per_step") <= number("weights_bytes"));
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.iter().map(|run| run["concurrency"].as_u64().unwrap()).collect::<Vec<_>>(), concurrency);
    for run in runs {
        let figures = ["concurrency", "prefill_tokens_per_s", "decode_tokens_per_s", "decode_step_ms"];
        assert_eq!(keys(run), [&figures[..], &["last_ids", "kernels", "samples"]].concat());
        let samples = run["samples"].as_array().unwrap();
        assert_eq!(samples.len(), repeats);
        assert!(samples.iter().all(|sample| keys(sample) == figures), "{samples:?}");
        let of = |object: &Value| figures.map(|figure| object[figure].as_f64().unwrap());
        assert!(samples.iter().any(|sample| of(sample) == of(run)), "the median is one of the samples");
        let [at_once, prefill, decode, step_ms] = of(run);
        assert!(prefill > 0.0 && decode > 0.0, "{run}");
        // Tokens a second are a step's tokens over its time.
        assert!((decode * step_ms / 1e3 / at_once - 1.0).abs() < 1e-6, "{run}");
    }
}

#[test]
fn a_file_is_timed_on_the_cpu_by_as_many_sequences_at_once_as_asked_for() {
    let model = fixture();
    let sizes = ["--prompt", "20", "--gen", "9", "--concurrency", "1,3", "--repeats", "2", "--json"];
    let report = report(&[&["--model", &model, "--device", "cpu"], &sizes[..]].concat());
    assert_report(&report, &model, &[1, 3], 2);
    assert_eq!(
        ["prompt", "generate", "repeats", "dispatches_per_step"].map(|key| report[key].as_u64().unwrap()),
        [20, 9, 2, 0]
    );
    assert!(report["device"].as_str().unwrap().contains("CPU"), "{}", report["device"]);
    assert_eq!(report["sampling"], serde_json::json!({ "temperature": 0.0, "top_k": 0, "top_p": 1.0 }));
    // Of nine tokens the first comes with the prompt; alone or not, the first sequence says the same.
    let [alone, of_three] = [0, 1].map(|run| report["runs"][run]["last_ids"].as_array().unwrap());
    assert_eq!((alone.len(), alone), (8, of_three));
}

#[test]
fn the_same_file_on_a_gpu_has_dispatches_and_may_have_its_kernels_timed() {
    let model = fixture();
    let sizes = ["--prompt", "20", "--gen", "9", "--profile", "--json"];
    let report = report(&[&["--model", &model, "--device", "gpu", "--adapter", "llvmpipe"], &sizes[..]].concat());
    assert_report(&report, &model, &[1], 1);
    assert!(report["device"].as_str().unwrap().contains("llvmpipe"), "{}", report["device"]);
    let dispatches = report["dispatches_per_step"].as_u64().unwrap();
    assert!(dispatches > 0 && report["scratch_bytes"].as_u64().unwrap() > 0);
    let kernels = report["runs"][0]["kernels"].as_array().unwrap();
    let ran: u64 = kernels.iter().map(|kernel| kernel["dispatches"].as_u64().unwrap()).sum();
    // Eight steps decode, and others read the prompt.
    assert!(ran > 8 * dispatches, "{ran} of {dispatches} a step");
    assert!(kernels.iter().all(|kernel| keys(kernel) == ["kernel", "dispatches", "total_us"]), "{kernels:?}");
}

#[test]
fn a_shape_is_timed_without_any_file_and_words_say_the_same_as_the_object() {
    let shape = ["--shape", "smollm2-135m", "--device", "cpu", "--prompt", "4", "--gen", "2"];
    let report = report(&[&shape[..], &["--json"]].concat());
    assert_report(&report, "smollm2-135m", &[1], 1);
    let words = String::from_utf8(bench(&shape).stdout).unwrap();
    let mib = report["weights_bytes"].as_u64().unwrap() >> 20;
    assert!(words.starts_with("smollm2-135m on ") && words.contains(&format!("{mib} MiB of weights")), "{words}");
    assert!(words.contains("  1 at once: prefill ") && words.contains(" tokens/s, decode "), "{words}");
}

#[test]
fn what_can_t_be_timed_is_said_in_words_that_name_it() {
    let model = fixture();
    let failure = |arguments: &[&str]| {
        let output = bench(&[arguments, &["--json", "--device", "cpu"]].concat());
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(words.starts_with("error: ") && !words.contains("panicked"), "{words}");
        words
    };
    let unknown = failure(&["--shape", "gpt-5"]);
    assert!(unknown.contains("gpt-5") && unknown.contains("smollm2-135m"), "{unknown}");
    assert!(failure(&[]).contains("--model"));
    let of_model = |more: &[&str]| failure(&[&["--model", &model], more].concat());
    assert!(of_model(&["--concurrency", "0"]).contains("concurrency is 0"));
    assert!(of_model(&["--concurrency", "two"]).contains("two"));
    assert!(of_model(&["--gen", "1"]).contains("generate is 1"));
    assert!(of_model(&["--prompt", "0"]).contains("prompt is 0"));
    assert!(of_model(&["--top-p", "2"]).contains("top-p is 2"));
    assert!(of_model(&["--prompt", "600"]).contains("512"));
    assert!(of_model(&["--prompt", "20", "--gen", "9", "--concurrency", "65"]).contains("64"));
    assert!(failure(&["--shape", "smollm2-135m", "--prompt", "9000"]).contains("9000"));
    assert!(failure(&["--shape", "smollm2-135m", "--concurrency", "8", "--kv-mib", "1"]).contains("1 MiB"));
    assert!(failure(&["--model", "no/such/model"]).contains("no/such/model"));
}
