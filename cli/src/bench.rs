//! `tilewright bench`

use crate::args::{Bench, BenchTarget};
use crate::error::CliError;
use crate::open::{self, ModelPath};
use std::time::Instant;
use tilewright_engine::bench::{KernelReport, Report, RunReport, Sampling, Suite};
use tilewright_engine::load::load_shape;
use tilewright_engine::model::shapes::Shape;
use tilewright_engine::{Device, Gpu, GpuOptions, LoadOptions, Loaded};
use tilewright_plan::ExecutorError;

/// What a token's keys and values take at most in models of up to eight billion weights, for a file that was not read yet.
const KV_BYTES_PER_TOKEN: u64 = 1 << 18;

/// Prints how fast prompts are read and tokens decoded.
pub(crate) async fn run(command: Bench) -> Result<(), CliError> {
    let suite = Suite {
        prompt: command.prompt,
        generate: command.generate,
        concurrency: command.concurrency.clone(),
        repeats: command.repeats,
        kv_mib: command.kv_mib,
        max_rows: command.max_rows,
        sampling: Sampling { temperature: command.temperature, top_k: command.top_k, top_p: command.top_p },
    };
    suite.check()?;
    let started = Instant::now();
    let options = GpuOptions { adapter: command.adapter.clone(), profile: command.profile, ..GpuOptions::default() };
    let device = open::device(command.device, options).await?;
    let gpu = match &device {
        Device::Gpu(gpu) => Some(gpu.clone()),
        Device::Cpu | Device::CpuReference => None,
    };
    let mut loaded = load(&command.what, command.threads, &suite, device).await?;
    let clock_ms = || started.elapsed().as_secs_f64() * 1e3;
    let of = (loaded.memory, loaded.cost);
    let mut report = Report::new(target(&command.what), &suite, &*loaded.executor, of, clock_ms());
    report.runs = suite.run(&mut *loaded.executor, &clock_ms, &|| take_profile(gpu.as_ref()), &mut |_| ()).await?;
    if command.json {
        let object = serde_json::to_value(&report).unwrap_or_default();
        println!("{object}");
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &Report) {
    println!("{} on {}", report.model, report.device);
    println!(
        "{} MiB of weights, {} MiB and {} dispatches a decoded token, {} steps in flight",
        report.weights_bytes >> 20,
        report.weight_bytes_per_step >> 20,
        report.dispatches_per_step,
        report.depth
    );
    for RunReport { median, kernels, .. } in &report.runs {
        println!(
            "{:3} at once: prefill {:8.1} tokens/s, decode {:8.1} tokens/s, {:7.3} ms a step",
            median.concurrency, median.prefill_tokens_per_s, median.decode_tokens_per_s, median.decode_step_ms
        );
        for KernelReport { kernel, dispatches, total_us } in kernels {
            println!("    {total_us:9.1} us in {dispatches:6} of {kernel}");
        }
    }
}

/// What a target is called.
pub(crate) fn target(what: &BenchTarget) -> String {
    match (&what.shape, &what.model) {
        (Some(shape), _) => shape.clone(),
        (None, path) => path.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
    }
}

/// A shape or a model, with room for the suite's runs.
pub(crate) async fn load(
    what: &BenchTarget,
    threads: Option<u16>,
    suite: &Suite,
    device: Device,
) -> Result<Loaded, CliError> {
    let with_threads = |options| LoadOptions { threads: threads.map(usize::from), ..options };
    match (&what.shape, &what.model) {
        (Some(name), _) => {
            let shape = Shape::named(name).ok_or_else(|| invalid(format!("there is no shape {name}")))?;
            suite.check_model(name, &shape.config())?;
            let options = with_threads(suite.load_options(shape.config().kv_bytes_per_token()));
            let loaded = load_shape(device, &shape, &options, &mut |_, _| ()).await;
            loaded.map_err(|error| CliError::Load(tilewright_host::LoadError::Weights(error)))
        }
        (None, Some(path)) => {
            let path = ModelPath::find(path)?;
            let options = with_threads(suite.load_options(KV_BYTES_PER_TOKEN));
            Ok(tilewright_host::load_weights(&path.files, path.layout, device, options, &mut |_| ()).await?)
        }
        (None, None) => Err(invalid("neither a model nor a shape was named".to_owned())),
    }
}

fn invalid(message: String) -> CliError {
    CliError::Step(ExecutorError::InvalidPlan(message))
}

/// Kernels by the time they took, most first.
fn take_profile(gpu: Option<&Gpu>) -> Vec<KernelReport> {
    let times = gpu.map(Gpu::take_profile).unwrap_or_default().into_iter();
    let mut kernels: Vec<KernelReport> = times
        .map(|(kernel, time)| KernelReport { kernel, dispatches: time.dispatches, total_us: time.total_us })
        .collect();
    kernels.sort_by(|a, b| b.total_us.total_cmp(&a.total_us));
    kernels
}
