//! `tilewright tune`

use crate::args::Tune;
use crate::bench::{load, target};
use crate::error::CliError;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::lock::Mutex;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tilewright_autotune::status::{OperationState, OperationStatus, State};
use tilewright_autotune::{Host, Options, Place, Status, Tuner};
use tilewright_engine::bench::{Sampling, Suite};
use tilewright_engine::{Device, Gpu, GpuOptions};
use tilewright_tuning_db::store::{FileStore, MemoryStore};
use tilewright_tuning_db::{Database, Keeper, Store, builtin};

/// A computer that has nothing else to do.
struct Alone(Instant);

impl Host for Alone {
    fn clock_us(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1e6
    }

    fn now_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
    }

    fn turn(&self) -> LocalBoxFuture<'_, ()> {
        async {}.boxed_local()
    }
}

/// Tunes a model's kernels and says what that did.
pub(crate) async fn run(command: Tune) -> Result<(), CliError> {
    let options = GpuOptions { adapter: command.adapter.clone(), ..GpuOptions::default() };
    let gpu = Gpu::request(&options).await?;
    let place = Place::native(&gpu);
    let (concurrency, sampling) = (vec![32], Sampling::default());
    let suite = Suite { prompt: 480, generate: 32, concurrency, repeats: 1, kv_mib: None, max_rows: None, sampling };
    let loaded = load(&command.what, None, &suite, Device::Gpu(gpu)).await?;
    let executor = loaded.tunable.ok_or(CliError::NothingToTune)?;
    let store: Box<dyn Store> = match &command.db {
        Some(path) => Box::new(FileStore::new(path)),
        None => Box::new(MemoryStore::default()),
    };
    let built_in = if command.from_nothing { Database::default() } else { builtin::database().unwrap_or_default() };
    let keeper = Rc::new(Mutex::new(Keeper::open(store, built_in).await));
    let options = Options {
        model: target(&command.what),
        gpu_us: command.budget * 1e6,
        exhaustive: command.exhaustive,
        again: command.again,
        most_operations: command.ops.unwrap_or(usize::MAX),
        phases: command.phases.clone(),
        ..Options::default()
    };
    let (host, shown) = (Alone(Instant::now()), RefCell::new(Vec::new()));
    let tell = |status: &Status| {
        if !command.json {
            progress(status, &mut shown.borrow_mut());
        }
    };
    let status = Tuner::new(executor, keeper, place, options, &host, &tell).run().await;
    if command.json {
        println!("{}", serde_json::to_value(&status).unwrap_or_default());
    } else {
        end(&status);
    }
    match (status.state, status.error) {
        (State::Failed, error) => Err(CliError::Tune(error.unwrap_or_default())),
        _ => Ok(()),
    }
}

/// Says what is new, each operation once.
fn progress(status: &Status, shown: &mut Vec<String>) {
    for operation in &status.operations {
        let name = format!("{} {}", operation.phase, operation.label);
        let is_over = matches!(operation.state, OperationState::Measured | OperationState::Known);
        if !is_over || shown.contains(&name) {
            continue;
        }
        let OperationStatus { label, phase, tried, space, default_us, share, .. } = operation;
        let time = default_us.map_or_else(|| "-".to_owned(), |us| format!("{us:.2} us"));
        let how = if operation.state == OperationState::Known {
            "known before".to_owned()
        } else {
            format!("{tried} of {space} variants")
        };
        println!("{phase}: {label} ({:.0} %): {how}, default {time}", share * 100.0);
        shown.push(name);
    }
}

fn end(status: &Status) {
    for trial in &status.trials {
        let speeds = trial.trial.decode.as_ref().or(trial.trial.prefill.as_ref());
        let gain = speeds.and_then(tilewright_tuning_db::Speeds::gain).unwrap_or(1.0);
        let noise = speeds.map_or(0.0, tilewright_tuning_db::Speeds::noise);
        println!("{}: {gain:.3} times as fast (noise {noise:.3}), {}", trial.phase, trial.trial.verdict);
        for change in &trial.trial.changes {
            println!("    {}: {} -> {}", change.shape, change.from, change.to);
        }
    }
    println!(
        "{} variants measured, {:.2} s of the GPU, {:.2} s in all",
        status.measured,
        status.spent_ms / 1e3,
        status.elapsed_ms / 1e3
    );
    for trouble in &status.troubles {
        println!("{trouble}");
    }
}
