//! `tilewright bench`

use crate::args::Bench;
use crate::error::CliError;
use crate::open::{self, ModelPath};
use serde_json::{Value, json};
use std::time::Instant;
use tilewright_engine::bench::{self, BenchOptions, BenchRun};
use tilewright_engine::load::load_shape;
use tilewright_engine::model::shapes::Shape;
use tilewright_engine::{Device, Gpu, GpuOptions, LoadOptions, Loaded};
use tilewright_plan::ExecutorError;

/// Prints how fast prompts are read and tokens decoded.
pub(crate) async fn run(command: Bench) -> Result<(), CliError> {
    let started = Instant::now();
    let options = GpuOptions { adapter: command.adapter.clone(), profile: command.profile, ..GpuOptions::default() };
    let device = open::device(command.device, options).await?;
    let gpu = match &device {
        Device::Gpu(gpu) => Some(gpu.clone()),
        Device::Cpu => None,
    };
    let mut loaded = load(&command, device).await?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    let capacity = loaded.executor.capacity();

    let clock_ms = || started.elapsed().as_secs_f64() * 1e3;
    let mut runs: Vec<(BenchRun, Value)> = Vec::new();
    let mut step = 0;
    for &concurrency in &command.concurrency {
        let options = BenchOptions { prompt: command.prompt, generate: command.generate, concurrency };
        // Compiles what this run needs, so that it isn't timed.
        let warm_up = BenchOptions { generate: command.generate.min(4), ..options };
        (_, step) = bench::run(&mut *loaded.executor, step, warm_up, &clock_ms).await?;
        take_profile(gpu.as_ref());
        let (run, next) = bench::run(&mut *loaded.executor, step, options, &clock_ms).await?;
        step = next;
        runs.push((run, take_profile(gpu.as_ref())));
    }

    if !command.json {
        println!("{} on {}", target(&command), loaded.executor.device());
        println!(
            "{} MiB of weights, {} MiB and {} dispatches a decoded token, {} steps in flight",
            loaded.memory.weights_bytes >> 20,
            loaded.cost.weight_bytes >> 20,
            loaded.cost.dispatches,
            capacity.depth
        );
        for (run, profile) in &runs {
            println!(
                "{:3} at once: prefill {:8.1} tokens/s, decode {:8.1} tokens/s, {:7.3} ms a step",
                run.options.concurrency, run.prefill_tokens_per_s, run.decode_tokens_per_s, run.decode_step_ms
            );
            for kernel in profile.as_array().into_iter().flatten() {
                println!("    {:9.1} us in {:6} of {}", kernel["total_us"], kernel["dispatches"], kernel["kernel"]);
            }
        }
        return Ok(());
    }
    let runs: Vec<Value> = runs
        .into_iter()
        .map(|(run, profile)| {
            json!({
                "concurrency": run.options.concurrency,
                "prefill_tokens_per_s": run.prefill_tokens_per_s,
                "decode_tokens_per_s": run.decode_tokens_per_s,
                "decode_step_ms": run.decode_step_ms,
                "last_ids": run.last_ids,
                "kernels": profile,
            })
        })
        .collect();
    let object = json!({
        "model": target(&command),
        "device": loaded.executor.device(),
        "prompt": command.prompt,
        "generate": command.generate,
        "weights_bytes": loaded.memory.weights_bytes,
        "scratch_bytes": loaded.memory.scratch_bytes,
        "weight_bytes_per_step": loaded.cost.weight_bytes,
        "dispatches_per_step": loaded.cost.dispatches,
        "depth": capacity.depth,
        "max_rows": capacity.max_rows,
        "load_ms": load_ms,
        "runs": runs,
    });
    println!("{object}");
    Ok(())
}

fn target(command: &Bench) -> String {
    match (&command.what.shape, &command.what.model) {
        (Some(shape), _) => shape.clone(),
        (None, path) => path.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
    }
}

async fn load(command: &Bench, device: Device) -> Result<Loaded, CliError> {
    let most = command.concurrency.iter().copied().max().unwrap_or(1);
    let options = |kv_bytes_per_token: u64| {
        let tokens = u64::from((command.prompt + command.generate).next_multiple_of(16));
        let needed = tokens * u64::from(most) * kv_bytes_per_token;
        LoadOptions {
            // KV blocks are made for at most eight full contexts.
            max_context: Some(
                (command.prompt + command.generate).next_multiple_of(16).saturating_mul(most.div_ceil(8)),
            ),
            kv_bytes: Some(command.kv_mib.map_or(needed, |mib| mib.saturating_mul(1 << 20))),
            max_rows: command.max_rows,
            max_bytes: None,
        }
    };
    match (&command.what.shape, &command.what.model) {
        (Some(name), _) => {
            let shape = Shape::named(name).ok_or_else(|| invalid(format!("there is no shape {name}")))?;
            let options = options(shape.config().kv_bytes_per_token());
            let loaded = load_shape(device, &shape, &options).await;
            loaded.map_err(|error| CliError::Load(tilewright_host::LoadError::Weights(error)))
        }
        (None, Some(path)) => {
            let path = ModelPath::find(path)?;
            // What a token takes is known once the file is read: a MiB of keys and values is more than small models need.
            Ok(tilewright_host::load_weights(&path.files, path.layout, device, options(1 << 17), &mut |_| ()).await?)
        }
        (None, None) => Err(invalid("neither a model nor a shape was named".to_owned())),
    }
}

fn invalid(message: String) -> CliError {
    CliError::Step(ExecutorError::InvalidPlan(message))
}

/// Kernels by the time they took, most first.
fn take_profile(gpu: Option<&Gpu>) -> Value {
    let mut kernels: Vec<_> = gpu.map(Gpu::take_profile).unwrap_or_default().into_iter().collect();
    kernels.sort_by(|(_, a), (_, b)| b.total_us.total_cmp(&a.total_us));
    let kernel = |(name, time): &(String, tilewright_engine::gpu::KernelTime)| json!({ "kernel": name, "dispatches": time.dispatches, "total_us": time.total_us });
    kernels.iter().map(kernel).collect()
}
