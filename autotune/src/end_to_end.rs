//! Whether what is faster alone is faster in a step.
//!
//! Whole steps before and after, by turns, in the same minute, on the model that users talk to: see `rehearsal`. A change stays only if
//! it helps; if all changes of a phase together don't, the one that promises most is tried alone.

use crate::host::Host;
use crate::plan::Phase;
use crate::records::{Place, variant};
use tilewright_engine::gpu::TunableExecutor;
use tilewright_engine::gpu::rehearsal::Rehearsal;
use tilewright_engine::gpu::trial::TrialError;
use tilewright_engine::gpu::tunable::ChoiceError;
use tilewright_engine::gpu::tuned_op::TunedOp;
use tilewright_engine::kernels::KernelVariant;
use tilewright_engine::kernels::source::source_hash;
use tilewright_tuning_db::{self as db, Speeds, Verdict};

/// A change that may help.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Of what.
    pub op: TunedOp,
    /// Used before.
    pub from: KernelVariant,
    /// Used after.
    pub to: KernelVariant,
    /// Microseconds of a step that it promises to save.
    pub promise_us: f64,
}

/// Runs before and after; fewer where they leave no doubt, or where a step takes long, microseconds.
const ROUNDS: usize = 5;
const FEW_ROUNDS: usize = 3;
const SLOW_US: f64 = 100_000.0;
const MOST_WARM_UPS: usize = 4;
/// Shortest run, microseconds, and most steps of one.
const LEAST_US: f64 = 25_000.0;
const MOST_STEPS: u32 = 48;

/// Tries changes on whole steps; the executor is left with what stays.
///
/// # Errors
/// When the device fails.
pub async fn try_changes(
    executor: &TunableExecutor,
    phase: &Phase,
    changes: &[Change],
    model: &str,
    place: &Place,
    host: &dyn Host,
) -> Result<db::Trial, TrialError> {
    let choose = async |after: bool| {
        let choices: Vec<_> =
            changes.iter().map(|change| (change.op, Some(if after { change.to } else { change.from }))).collect();
        executor.choose(&choices).await
    };
    let mut speeds = Speeds {
        tokens: phase.rehearsal.tokens(),
        sequences: if let Rehearsal::Decode { sequences, .. } = phase.rehearsal { sequences } else { 1 },
        ..Speeds::default()
    };
    let mut verdict = Verdict::Reverted;
    match choose(true).await {
        // What compiled in a trial is refused in the model: then it stays as it is.
        Err(ChoiceError::Refused { .. }) => {}
        Err(ChoiceError::Gpu(error)) => return Err(error.into()),
        Err(other) => return Err(TrialError::Refused { variant: changes[0].to, reason: other.to_string() }),
        Ok(()) => {
            let step_us = run(executor, &phase.rehearsal, 1, host).await?;
            let steps = (LEAST_US / step_us.max(1.0)).ceil().clamp(1.0, f64::from(MOST_STEPS)) as u32;
            let rounds = if step_us > SLOW_US { FEW_ROUNDS } else { ROUNDS };
            warm_up(executor, &phase.rehearsal, steps, host).await?;
            for round in 0..rounds {
                for after in [round % 2 == 1, round % 2 == 0] {
                    // Compiled already, so that this is no more than a look-up table changed.
                    let _ = choose(after).await;
                    let us = run(executor, &phase.rehearsal, steps, host).await?;
                    let speed = f64::from(steps * speeds.tokens) / us * 1e6;
                    if after { &mut speeds.after_tokens_per_s } else { &mut speeds.before_tokens_per_s }
                        .push((speed * 100.0).round() / 100.0);
                }
                if round + 1 >= FEW_ROUNDS && is_clear(&speeds) {
                    break;
                }
            }
            verdict = db::Trial::judge(Some(&speeds), None);
        }
    }
    let _ = choose(verdict == Verdict::Kept).await;
    let change = |change: &Change| db::Change {
        shape: crate::records::shape(&change.op),
        from: variant(&change.from),
        to: variant(&change.to),
        source_hash: source_hash(change.to.kernel()).unwrap_or_default(),
    };
    let is_decode = matches!(phase.rehearsal, Rehearsal::Decode { .. });
    let (decode, prefill) = if is_decode { (Some(speeds), None) } else { (None, Some(speeds)) };
    Ok(db::Trial {
        schema: db::SCHEMA,
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        model: model.to_owned(),
        device: place.device.clone(),
        browser: place.browser.clone(),
        changes: changes.iter().map(change).collect(),
        decode,
        prefill,
        verdict,
        taken_at_ms: host.now_ms(),
    })
}

/// Whether all runs after are beyond all runs before, and by more than the noise, whichever way.
fn is_clear(speeds: &Speeds) -> bool {
    let bounds = |samples: &[f64]| {
        let bound = |from: f64, of: fn(f64, f64) -> f64| samples.iter().copied().fold(from, of);
        (bound(f64::INFINITY, f64::min), bound(0.0, f64::max))
    };
    let (before, after) = (bounds(&speeds.before_tokens_per_s), bounds(&speeds.after_tokens_per_s));
    let apart = before.1 < after.0 || after.1 < before.0;
    apart && speeds.gain().is_some_and(|gain| (gain - 1.0).abs() > speeds.noise())
}

/// Runs until two runs in a row take the same: a GPU that was idle takes a while to be fast.
async fn warm_up(
    executor: &TunableExecutor,
    rehearsal: &Rehearsal,
    steps: u32,
    host: &dyn Host,
) -> Result<(), TrialError> {
    let mut last = f64::INFINITY;
    for _ in 0..MOST_WARM_UPS {
        let us = run(executor, rehearsal, steps, host).await?;
        if (us / last - 1.0).abs() < 0.02 {
            break;
        }
        last = us;
    }
    Ok(())
}

/// Microseconds of so many steps, one after the other. Begins anew when a real step comes in between.
async fn run(
    executor: &TunableExecutor,
    rehearsal: &Rehearsal,
    steps: u32,
    host: &dyn Host,
) -> Result<f64, TrialError> {
    let gpu = executor.gpu();
    loop {
        host.turn().await;
        gpu.check()?;
        let begun = host.clock_us();
        let undisturbed = (0..steps).all(|_| executor.rehearse(rehearsal));
        gpu.idle().await?;
        if undisturbed {
            return Ok(host.clock_us() - begun);
        }
    }
}
