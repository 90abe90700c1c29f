//! What the comparison found, as a table for a terminal or a section of BENCHMARKS.md.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// What drive.mjs printed.
pub(super) struct Findings {
    all: Value,
    read: Read,
}

#[derive(Deserialize)]
struct Read {
    model: String,
    prompt: u32,
    generate: u32,
    rounds: u32,
    date: String,
    chromium: String,
    cores: u32,
    versions: Versions,
    adapter: Option<Adapter>,
    contestants: Vec<Contestant>,
    ratios: Vec<Ratio>,
}

#[derive(Deserialize)]
struct Versions {
    tilewright: String,
    wllama: String,
}

#[derive(Deserialize)]
struct Adapter {
    vendor: String,
    architecture: String,
    description: String,
    f16: bool,
}

#[derive(Deserialize)]
struct Contestant {
    name: String,
    on: Option<String>,
    load_ms: Option<f64>,
    median: Option<Median>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Median {
    prompt_tokens: f64,
    completion_tokens: f64,
    ttft_ms: f64,
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: f64,
}

#[derive(Deserialize)]
struct Ratio {
    over: String,
    prefill: f64,
    decode: f64,
}

/// Said wherever figures of a GPU in software are.
const SOFTWARE: &str = "The GPU here is a program (SwiftShader on the same cores): these figures say that both engines work, \
                        and nothing of how fast they are on a GPU.";

impl Findings {
    pub(super) fn read(printed: &[u8]) -> Result<Self> {
        let all: Value = serde_json::from_slice(printed).context("the comparison printed no JSON")?;
        let read = Read::deserialize(&all).context("the comparison printed something else than its findings")?;
        Ok(Self { all, read })
    }

    pub(super) fn json(&self) -> &Value {
        &self.all
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("\n{}\n\n", self.about());
        for Contestant { name, on, load_ms, median, error } in &self.read.contestants {
            let _ = match (median, error) {
                (Some(m), _) => writeln!(
                    text,
                    "{name:<12} prefill {:>9.1} tokens/s, decode {:>8.1} tokens/s, first token after {:>8.1} ms, loaded in {:>7.0} ms, {}",
                    m.prefill_tokens_per_s,
                    m.decode_tokens_per_s,
                    m.ttft_ms,
                    load_ms.unwrap_or(0.0),
                    on.as_deref().unwrap_or("")
                ),
                (None, error) => {
                    writeln!(text, "{name:<12} did not run: {}", error.as_deref().unwrap_or("no reason given"))
                }
            };
        }
        for Ratio { over, prefill, decode } in &self.read.ratios {
            let _ = writeln!(text, "ours over {over}: prefill {prefill:.2}, decode {decode:.2}");
        }
        if self.is_software() {
            let _ = write!(text, "\n{SOFTWARE}");
        }
        text
    }

    /// A section of BENCHMARKS.md.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n", self.title(), self.about());
        if self.is_software() {
            let _ = write!(text, "\n{SOFTWARE}\n");
        }
        text.push_str(
            "\n| engine | on | prompt, tokens | decoded, tokens | prefill, tokens/s | decode, tokens/s | first token, ms |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for Contestant { name, on, median, .. } in &self.read.contestants {
            let Some(m) = median else { continue };
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {:.1} | {:.1} | {:.1} |",
                on.as_deref().unwrap_or(""),
                m.prompt_tokens,
                m.completion_tokens,
                m.prefill_tokens_per_s,
                m.decode_tokens_per_s,
                m.ttft_ms
            );
        }
        let ratios: Vec<String> = self
            .read
            .ratios
            .iter()
            .map(|ratio| format!("over {}: prefill {:.2}, decode {:.2}", ratio.over, ratio.prefill, ratio.decode))
            .collect();
        if !ratios.is_empty() {
            let _ = write!(text, "\nOurs {}.\n", ratios.join("; "));
        }
        for Contestant { name, error, .. } in &self.read.contestants {
            if let Some(error) = error {
                let _ = write!(text, "\n{name} did not run: {error}\n");
            }
        }
        text
    }

    fn title(&self) -> String {
        let Read { adapter, cores, date, .. } = &self.read;
        let device = adapter.as_ref().map_or_else(|| format!("{cores} CPU cores"), Adapter::name);
        format!("{device}, {date}")
    }

    fn about(&self) -> String {
        let Read { model, prompt, generate, rounds, date, chromium, cores, versions, adapter, .. } = &self.read;
        let adapter = adapter.as_ref().map_or_else(
            || "without WebGPU".to_owned(),
            |adapter| format!("{}, {} f16", adapter.name(), if adapter.f16 { "with" } else { "without" }),
        );
        format!(
            "{date}: {model}, a prompt of {prompt} words, {generate} tokens decoded, medians of {} rounds after one that was \
             dropped. Tilewright {}, wllama {}, Chromium {chromium} ({adapter}), {cores} cores.",
            rounds - 1,
            versions.tilewright,
            versions.wllama
        )
    }

    fn is_software(&self) -> bool {
        let software = |adapter: &Adapter| adapter.name().to_lowercase().contains("swiftshader");
        self.read.adapter.as_ref().is_some_and(software)
    }
}

impl Adapter {
    fn name(&self) -> String {
        let named = [&self.vendor, &self.architecture].map(String::as_str).join(" ");
        if self.description.is_empty() { named } else { self.description.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::Findings;
    use serde_json::{Value, json};

    /// What drive.mjs prints, shortened.
    fn found(architecture: &str) -> Value {
        let median = |prefill: f64, decode: f64| {
            json!({ "prompt_tokens": 24, "completion_tokens": 8, "ttft_ms": 12.5, "prefill_tokens_per_s": prefill,
                    "decode_tokens_per_s": decode })
        };
        json!({
            "model": "m.gguf", "prompt": 24, "generate": 8, "rounds": 3, "date": "2026-11-22", "chromium": "156.0.1", "cores": 2,
            "versions": { "tilewright": "0.1.0", "wllama": "3.8.1" },
            "adapter": { "vendor": "google", "architecture": architecture, "description": "", "f16": false },
            "contestants": [
                { "name": "tilewright", "on": "a GPU", "load_ms": 100.0, "median": median(300.0, 60.0), "samples": [] },
                { "name": "wllama-cpu", "on": "CPU, 2 threads", "load_ms": 90.0, "median": median(100.0, 40.0), "samples": [] },
                { "name": "wllama-gpu", "error": "no WebGPU", "samples": [] },
            ],
            "ratios": [{ "over": "wllama-cpu", "prefill": 3.0, "decode": 1.5 }],
        })
    }

    fn read(found: &Value) -> Findings {
        Findings::read(found.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn both_forms_say_the_figures_the_ratios_what_did_not_run_and_on_what() {
        let findings = read(&found("ampere"));
        for said in [findings.text(), findings.markdown()] {
            for part in ["300.0", "60.0", "prefill 3.00, decode 1.50", "did not run: no WebGPU", "CPU, 2 threads"] {
                assert!(said.contains(part), "{part} in {said}");
            }
            for part in ["m.gguf", "2 rounds", "0.1.0", "3.8.1", "156.0.1", "2026-11-22", "google ampere, without f16"]
            {
                assert!(said.contains(part), "{part} in {said}");
            }
            assert!(!said.contains("SwiftShader"), "{said}");
        }
        assert!(findings.markdown().starts_with("## google ampere, 2026-11-22\n"));
    }

    #[test]
    fn a_gpu_in_software_is_never_quoted_without_saying_so() {
        let findings = read(&found("swiftshader"));
        assert!(findings.text().contains("nothing of how fast"));
        assert!(findings.markdown().contains("nothing of how fast"));
    }

    #[test]
    fn what_is_not_a_finding_is_an_error() {
        assert!(Findings::read(b"Killed").is_err());
        assert!(Findings::read(b"{}").is_err());
    }
}
