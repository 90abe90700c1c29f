//! Candidates against each other.
//!
//! A candidate first has to give the right answer. Then it is timed: R runs in one pass, R so large that they take at least two
//! milliseconds by a clock that may tick only every 65 us, then 2 R; the difference over R is the time of one, without what
//! submitting and waiting cost. Rounds go through all candidates in turn, so that a device that slows down slows all of them.
//! Whatever disturbs a run makes it longer, so the shortest of R and the shortest of 2 R count; of a single round, a disturbed R would make a
//! candidate look fast, so nobody drops out before the second.

use tilewright_engine::gpu::trial::{Trial, TrialError};
use tilewright_engine::kernels::KernelVariant;

/// How thorough a race is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaceOptions {
    /// Largest error, relative to one plus the magnitude, that counts as right.
    pub tolerance: f32,
    /// Shortest time that is measured, microseconds.
    pub least_us: f64,
    /// Most rounds.
    pub rounds: u32,
    /// Who is so many times slower than the best drops out.
    pub drop: f64,
}

impl Default for RaceOptions {
    fn default() -> Self {
        Self { tolerance: 2e-3, least_us: 2000.0, rounds: 3, drop: 1.5 }
    }
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Right; what each round took.
    Ok(Vec<Sample>),
    /// Its answer was off by so much.
    Wrong(f32),
    /// The device's compiler refused it.
    Refused(String),
}

/// A round: so many runs took so long, and twice as many so long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// R.
    pub runs: u32,
    /// Microseconds of R runs.
    pub once_us: f64,
    /// Microseconds of 2 R runs.
    pub twice_us: f64,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Which.
    pub variant: KernelVariant,
    /// Its error against the twin.
    pub error: f32,
    /// What became of it.
    pub outcome: Outcome,
}

impl Entry {
    /// Microseconds of one run: see the top of this file.
    pub fn time_us(&self) -> Option<f64> {
        let Outcome::Ok(samples) = &self.outcome else { return None };
        let runs = samples.first()?.runs;
        let least = |of: fn(&Sample) -> f64| samples.iter().map(of).fold(f64::INFINITY, f64::min);
        Some(((least(|s| s.twice_us) - least(|s| s.once_us)) / f64::from(runs)).max(0.0))
    }
}

/// Races candidates; they come back fastest first, and those without a time last. `clock_us` tells the time.
///
/// # Errors
/// When the device fails.
pub async fn race(
    trial: &mut Trial,
    candidates: &[KernelVariant],
    options: &RaceOptions,
    clock_us: &dyn Fn() -> f64,
) -> Result<Vec<Entry>, TrialError> {
    let mut entries = Vec::new();
    for variant in candidates {
        let begun = clock_us();
        let (error, outcome) = match trial.check(variant).await {
            Ok(error) if error <= options.tolerance => (error, Outcome::Ok(Vec::new())),
            Ok(error) => (error, Outcome::Wrong(error)),
            Err(TrialError::Refused { reason, .. }) => (f32::INFINITY, Outcome::Refused(reason)),
            Err(other) => return Err(other),
        };
        tracing::debug!("{variant:?}: error {error:e}, compiled and checked in {:.0} ms", (clock_us() - begun) / 1e3);
        entries.push(Entry { variant: *variant, error, outcome });
    }
    let mut best = f64::INFINITY;
    for round in 0..options.rounds {
        for entry in &mut entries {
            let behind = entry.time_us().is_some_and(|time| time > best * options.drop);
            if round > 1 && behind {
                continue;
            }
            let Outcome::Ok(samples) = &mut entry.outcome else { continue };
            let runs = samples.first().map(|sample| sample.runs);
            let sample = time(trial, &entry.variant, runs, options.least_us, clock_us).await?;
            samples.push(sample);
        }
        best = entries.iter().filter_map(Entry::time_us).fold(f64::INFINITY, f64::min);
    }
    let key = |entry: &Entry| entry.time_us().unwrap_or(f64::INFINITY);
    entries.sort_by(|a, b| key(a).total_cmp(&key(b)));
    Ok(entries)
}

async fn time(
    trial: &mut Trial,
    variant: &KernelVariant,
    runs: Option<u32>,
    least_us: f64,
    clock_us: &dyn Fn() -> f64,
) -> Result<Sample, TrialError> {
    let mut times = runs.unwrap_or(8);
    loop {
        let begun = clock_us();
        trial.run(variant, times).await?;
        let once_us = clock_us() - begun;
        if runs.is_some() || once_us >= least_us || times >= 4096 {
            let begun = clock_us();
            trial.run(variant, 2 * times).await?;
            return Ok(Sample { runs: times, once_us, twice_us: clock_us() - begun });
        }
        times = (f64::from(times) * (least_us * 1.2 / once_us.max(50.0)).clamp(1.5, 16.0)) as u32;
    }
}
