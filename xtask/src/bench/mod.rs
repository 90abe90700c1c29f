//! `cargo xtask bench`: ours and `@wllama/wllama` in one browser, on one file, alternating.
//!
//! What is compared, and how, is the page's own logic (tests/browser/compare/compare.js), so that it also runs where there is
//! neither Rust nor Node. Here it is given a site and a browser, and its findings are printed.

mod findings;
mod site;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::build::{self, build};
use crate::setup::{self, Purpose};
use crate::{repository, say};

/// What `cargo xtask bench` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Where ours computes: a browser with WebGPU, or one without
    #[arg(long, value_enum, default_value = "gpu")]
    device: Device,
    /// Which adapter Chromium takes; SwiftShader computes in software
    #[arg(long, value_enum, default_value = "swiftshader")]
    adapter: Adapter,
    /// A GGUF file; by default the embedded model
    #[arg(long)]
    model: Option<PathBuf>,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u32).range(1..))]
    prompt: u32,
    /// Tokens to decode
    #[arg(long = "gen", default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..))]
    generate: u32,
    /// Threads of both on the CPU; by default ours, and as many as there are cores for the other
    #[arg(long, default_value_t = 0)]
    threads: u32,
    /// Rounds, of which the first is dropped
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,
    /// Print the findings as one JSON object
    #[arg(long)]
    json: bool,
    /// Print a section for BENCHMARKS.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Only put the site together, to be driven by something else
    #[arg(long)]
    site_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    Gpu,
    Cpu,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Adapter {
    Swiftshader,
    Default,
}

/// Builds, runs both, prints.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let embedded = setup::model::ensure()?;
    if !options.site_only {
        setup::setup(Purpose::Test)?;
    }
    build(&build::Options::default())?;
    let model = options.model.as_ref().unwrap_or(&embedded);
    if !model.is_file() {
        bail!("{} is no file: name a GGUF file with --model", model.display());
    }
    let site = site::assemble(model)?;
    if options.site_only {
        return Ok(());
    }
    say::heading("Comparison");
    let name = model.file_name().unwrap_or_default().to_string_lossy();
    let (device, adapter) = (value_name(&options.device), value_name(&options.adapter));
    let contestants: &[&str] = match options.device {
        Device::Gpu => &["tilewright", "wllama-gpu", "wllama-cpu"],
        Device::Cpu => &["tilewright", "wllama-cpu"],
    };
    let asked = json!({ "device": device, "adapter": adapter, "compare": {
        "model": format!("models/{name}"),
        "prompt": options.prompt,
        "generate": options.generate,
        "rounds": options.rounds,
        "device": device,
        "threads": options.threads,
        "contestants": contestants,
    } });
    let run = Command::new("node")
        .arg("tests/browser/compare/drive.mjs")
        .arg(asked.to_string())
        .env("TILEWRIGHT_SITE", &site)
        .current_dir(repository::root())
        .stderr(Stdio::inherit())
        .output()
        .context("node could not be started")?;
    if !run.status.success() {
        bail!("the comparison broke off: see the messages above");
    }
    let found = findings::Findings::read(&run.stdout)?;
    if options.json {
        println!("{}", found.json());
    } else if options.markdown {
        println!("{}", found.markdown());
    } else {
        println!("{}", found.text());
    }
    Ok(())
}

fn value_name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
