//! Candidates against each other.
//!
//! A candidate first has to give the right answer, and not to take for ever about it: a kernel that runs can't be stopped, so one
//! that took too long once is never run again. Then it is timed: R runs in one pass, R so large that a clock which ticks every 0.1
//! ms can tell. Rounds go through all candidates in turn, so that a device that slows down slows all of them.
//!
//! A GPU that had nothing to do while kernels were compiled runs at a quarter of its speed for a while (H100: 33 us instead of 8), so
//! the first candidate runs in every submission beside the others, and what ran while it was slow does not count.
//!
//! Where the GPU writes timestamps, a sample is a pass by its own clock, and many passes are one submission. Elsewhere it is the time
//! from submission to completion, which in a browser has some milliseconds that are not the kernel's: so R and 2 R are timed,
//! and the difference over R counts. Whatever disturbs such a run makes it longer, so of several the shortest R and the shortest
//! 2 R count; of a single one, a disturbed R would make a candidate look fast, so nobody drops out before the second.

use crate::host::Host;
use futures_util::lock::Mutex;
use tilewright_engine::gpu::trial::{Trial, TrialError};
use tilewright_engine::kernels::KernelVariant;

/// How thorough a race is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaceOptions {
    /// Largest error, relative to one plus the magnitude, that counts as right; by default the operation's own.
    pub tolerance: Option<f32>,
    /// Shortest pass that is measured, microseconds.
    pub least_us: f64,
    /// Who is so many times slower than the best drops out after the first round.
    pub drop: f64,
    /// A first run that takes longer, and so many times longer than the first candidate's, is the last, microseconds.
    pub slow_us: f64,
    /// Longest submission, microseconds, as far as candidates are known.
    pub slice_us: f64,
}

/// A slice counts only if the first candidate, who runs in each, takes at most so many times what it took at best; it is tried
/// again so often.
const WARM: f64 = 1.15;
const MOST_ATTEMPTS: u32 = 6;

/// A candidate's first pass has so many times fewer runs than the first candidate's, as it may be slow.
const FIRST: u32 = 6;
/// A pass that is so much of what was aimed at is long enough.
const LONG_ENOUGH: f64 = 0.85;

/// Kernels compiled in a turn: compiling can't be given up either. A GPU in software compiles one at a time, each in up to 2 s, and
/// whoever else needs a kernel waits for all that were asked for before.
const COMPILED_AT_ONCE: usize = 8;

/// A first run may take so many times longer than the first candidate's.
const SLOW: f64 = 8.0;
/// Whoever takes so many times what is allowed gets no second run.
const HANGS: f64 = 4.0;

impl Default for RaceOptions {
    fn default() -> Self {
        Self { tolerance: None, least_us: 2000.0, drop: 1.5, slow_us: 200_000.0, slice_us: 10_000.0 }
    }
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Right; timed as often as there are samples.
    Ok(Vec<Sample>),
    /// Its answer was off.
    Wrong,
    /// The device's compiler refused it.
    Refused(String),
    /// It took so long, microseconds, and was given up.
    Timeout(f64),
    /// The device was lost when it ran for the first time.
    Lost,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// R.
    pub runs: u32,
    /// Microseconds of R runs.
    pub once_us: f64,
    /// Microseconds of 2 R runs, where a clock needs the difference.
    pub twice_us: Option<f64>,
}

impl Sample {
    /// Microseconds of one run by this sample alone.
    pub fn run_us(&self) -> f64 {
        let all = self.twice_us.map_or(self.once_us, |twice| (twice - self.once_us).max(0.0));
        all / f64::from(self.runs)
    }
}

/// A candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Which.
    pub variant: KernelVariant,
    /// Its error against the twin; `None` if it never answered.
    pub error: Option<f32>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Entry {
    /// Microseconds of one run: see the top of this file.
    pub fn time_us(&self) -> Option<f64> {
        let samples = self.samples();
        let runs = f64::from(samples.first()?.runs);
        let least = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).fold(f64::INFINITY, f64::min);
        if samples.iter().all(|sample| sample.twice_us.is_some()) {
            let twice = least(&|sample| sample.twice_us.unwrap_or(f64::INFINITY));
            return Some(((twice - least(&|sample| sample.once_us)) / runs).max(0.0));
        }
        let mut times: Vec<f64> = samples.iter().map(Sample::run_us).collect();
        times.sort_by(f64::total_cmp);
        Some(f64::midpoint(times[(times.len() - 1) / 2], times[times.len() / 2]))
    }

    /// How often it was timed, and with what result.
    pub fn samples(&self) -> &[Sample] {
        if let Outcome::Ok(samples) = &self.outcome { samples } else { &[] }
    }
}

/// A race that is on.
pub struct Race<'a> {
    trial: Trial,
    options: RaceOptions,
    host: &'a dyn Host,
    /// Held by the race that keeps the device busy.
    device: &'a Mutex<()>,
    entries: Vec<Entry>,
    /// Who runs for the first time.
    suspect: Option<KernelVariant>,
    /// Microseconds of the first candidate's first run.
    first_us: Option<f64>,
    /// Shortest pass of the first candidate, microseconds.
    reference_us: f64,
    spent_us: f64,
}

impl<'a> Race<'a> {
    /// Nobody takes part yet. Races that go on at a time share `device`.
    pub fn new(trial: Trial, options: RaceOptions, host: &'a dyn Host, device: &'a Mutex<()>) -> Self {
        let (entries, suspect, first_us) = (Vec::new(), None, None);
        Self { trial, options, host, device, entries, suspect, first_us, reference_us: f64::INFINITY, spent_us: 0.0 }
    }

    /// All candidates, in the order in which they came.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whoever ran for the first time when the device was lost: to be left alone from now on, unless it is the first candidate, which
    /// has long been in use.
    pub fn suspect(&self) -> Option<Entry> {
        let variant = self.suspect.filter(|_| !self.entries.is_empty())?;
        Some(Entry { variant, error: None, outcome: Outcome::Lost })
    }

    /// Microseconds that the device was kept busy.
    pub fn spent_us(&self) -> f64 {
        self.spent_us
    }

    /// Whether times are the GPU's own.
    pub fn has_timestamps(&self) -> bool {
        self.trial.has_timestamps()
    }

    /// Largest error that counts as right.
    pub fn tolerance(&self) -> f32 {
        self.options.tolerance.unwrap_or_else(|| self.trial.tolerance())
    }

    /// The fastest so far.
    pub fn best(&self) -> Option<&Entry> {
        let key = |entry: &&Entry| entry.time_us().unwrap_or(f64::INFINITY);
        self.entries.iter().filter(|entry| entry.time_us().is_some()).min_by(|a, b| key(a).total_cmp(&key(b)))
    }

    /// Takes candidates in that are not there yet: each is checked, and timed once.
    ///
    /// # Errors
    /// When the device fails, or has no memory for the operands.
    pub async fn enter(&mut self, variants: &[KernelVariant]) -> Result<(), TrialError> {
        let mut new: Vec<KernelVariant> = Vec::new();
        for variant in variants {
            if !new.contains(variant) && self.entries.iter().all(|entry| entry.variant != *variant) {
                new.push(*variant);
            }
        }
        {
            let _busy = self.device.lock().await;
            self.host.turn().await;
            self.trial.prepare(&new).await?;
        }
        // Meanwhile the device is another race's.
        let gpu = self.trial.gpu();
        let at_once = if gpu.is_software() { 1 } else { COMPILED_AT_ONCE };
        let ahead = if gpu.compiles_ahead() { &new[..] } else { &[] };
        for some in ahead.chunks(at_once) {
            self.host.turn().await;
            self.trial.compile_ahead(some).await;
        }
        let _busy = self.device.lock().await;
        let first = self.entries.len();
        for variant in &new {
            self.suspect = Some(*variant);
            let entry = self.check(variant).await?;
            self.suspect = None;
            self.entries.push(entry);
        }
        // The first of all is what the others are held against.
        let others = if first == 0 { 1 } else { first };
        self.sample(&(first..others.min(self.entries.len())).collect::<Vec<_>>()).await?;
        self.sample(&(others..self.entries.len()).collect::<Vec<_>>()).await
    }

    /// Times those again who are not far behind; each time fewer are near enough.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn round(&mut self, least_samples: usize) -> Result<(), TrialError> {
        let Some((best, sampled)) = self.best().and_then(|best| Some((best.time_us()?, best.samples().len()))) else {
            return Ok(());
        };
        // By 1.5, 1.22, 1.11, 1.05.
        let drop = self.options.drop.powf(0.5_f64.powi(sampled as i32 - 1));
        let near = |entry: &Entry| entry.time_us().is_some_and(|time| time <= best * drop);
        let again = |entry: &Entry| near(entry) || (!self.has_timestamps() && entry.samples().len() == 1);
        let wanted = |(_, entry): &(usize, &Entry)| again(entry) && entry.samples().len() < least_samples;
        let who: Vec<usize> = self.entries.iter().enumerate().filter(wanted).map(|(index, _)| index).collect();
        let _busy = self.device.lock().await;
        self.sample(&who).await
    }

    async fn check(&mut self, variant: &KernelVariant) -> Result<Entry, TrialError> {
        self.host.turn().await;
        let entry = |error, outcome| Ok(Entry { variant: *variant, error, outcome });
        match self.trial.compile(variant).await {
            Ok(()) => {}
            Err(TrialError::Refused { reason, .. }) => return entry(None, Outcome::Refused(reason)),
            Err(other) => return Err(other),
        }
        let (error, mut took) = self.first_run(variant).await?;
        if error.is_nan() || error > self.tolerance() {
            return entry(Some(error), Outcome::Wrong);
        }
        let most = self.options.slow_us.max(SLOW * *self.first_us.get_or_insert(took));
        if took > most && took < most * HANGS {
            // Some drivers compile when a kernel first runs.
            took = self.first_run(variant).await?.1;
        }
        if took > most {
            return entry(Some(error), Outcome::Timeout(took));
        }
        entry(Some(error), Outcome::Ok(Vec::new()))
    }

    /// Error and microseconds of a single run.
    async fn first_run(&mut self, variant: &KernelVariant) -> Result<(f32, f64), TrialError> {
        let begun = self.host.clock_us();
        let error = self.trial.check(variant).await?;
        let took = self.host.clock_us() - begun;
        self.spent_us += took;
        Ok((error, took))
    }

    /// One more sample of each.
    async fn sample(&mut self, who: &[usize]) -> Result<(), TrialError> {
        let who: Vec<usize> =
            who.iter().copied().filter(|&index| matches!(self.entries[index].outcome, Outcome::Ok(_))).collect();
        if !self.has_timestamps() {
            for index in who {
                self.host.turn().await;
                let begun = self.host.clock_us();
                let runs = self.entries[index].samples().first().map(|sample| sample.runs);
                let sample = self.slope(index, runs).await?;
                self.spent_us += self.host.clock_us() - begun;
                self.keep(index, sample);
            }
            return Ok(());
        }
        // How often each has to run is found out by running it a few times.
        let new: Vec<usize> = who.iter().copied().filter(|&index| self.entries[index].samples().is_empty()).collect();
        let first = self.entries.first().and_then(|first| first.samples().first()).map_or(2, |sample| sample.runs);
        let mut runs: Vec<(usize, u32)> = new.iter().map(|&index| (index, (first / FIRST).max(2))).collect();
        for _ in 0..4 {
            let short: Vec<(usize, u32)> = std::mem::take(&mut runs);
            if short.is_empty() {
                break;
            }
            for ((index, times), us) in self.passes(&short).await? {
                if us >= self.options.least_us * LONG_ENOUGH || times >= 4096 {
                    self.keep(index, Sample { runs: times, once_us: us, twice_us: None });
                } else {
                    // Below a tick of the clock nothing is known but that it is short.
                    let grow = (self.options.least_us * 1.2 / us.max(self.options.least_us / 24.0)).max(1.5);
                    runs.push((index, (f64::from(times) * grow).ceil().min(4096.0) as u32));
                }
            }
        }
        for (index, times) in runs {
            let us = self.passes(&[(index, times)]).await?.first().map_or(0.0, |pass| pass.1);
            self.keep(index, Sample { runs: times, once_us: us, twice_us: None });
        }
        let known = who.iter().copied().filter(|index| !new.contains(index));
        let again: Vec<(usize, u32)> = known.map(|index| (index, self.entries[index].samples()[0].runs)).collect();
        for ((index, times), us) in self.passes(&again).await? {
            self.keep(index, Sample { runs: times, once_us: us, twice_us: None });
        }
        Ok(())
    }

    /// Passes by the GPU's clock, as many in a submission as a slice has room for.
    async fn passes(&mut self, runs: &[(usize, u32)]) -> Result<Vec<((usize, u32), f64)>, TrialError> {
        let mut times = Vec::new();
        let at_once = (self.options.slice_us / (self.options.least_us * 1.5)).clamp(1.0, 32.0) as usize;
        let reference = self.entries.first().and_then(|first| Some((first.variant, first.samples().first()?.runs)));
        for slice in runs.chunks(at_once) {
            let passes = slice.iter().map(|&(index, runs)| (self.entries[index].variant, runs));
            let passes: Vec<_> = reference.into_iter().chain(passes).collect();
            for attempt in 0.. {
                self.host.turn().await;
                let mut took = self.trial.time(&passes).await?;
                self.spent_us += took.iter().sum::<f64>();
                if reference.is_some() && !took.is_empty() {
                    let reference_us = took.remove(0);
                    self.reference_us = self.reference_us.min(reference_us);
                    if reference_us > self.reference_us * WARM && attempt < MOST_ATTEMPTS {
                        continue;
                    }
                }
                times.extend(slice.iter().copied().zip(took));
                break;
            }
        }
        Ok(times)
    }

    fn keep(&mut self, index: usize, sample: Sample) {
        if let Outcome::Ok(samples) = &mut self.entries[index].outcome {
            samples.push(sample);
        }
    }

    /// R and 2 R by the clock on the wall.
    async fn slope(&mut self, index: usize, runs: Option<u32>) -> Result<Sample, TrialError> {
        let variant = self.entries[index].variant;
        let mut times = runs.unwrap_or(2);
        loop {
            let begun = self.host.clock_us();
            self.trial.run(&variant, times).await?;
            let once_us = self.host.clock_us() - begun;
            if runs.is_some() || once_us >= self.options.least_us || times >= 4096 {
                let begun = self.host.clock_us();
                self.trial.run(&variant, 2 * times).await?;
                return Ok(Sample { runs: times, once_us, twice_us: Some(self.host.clock_us() - begun) });
            }
            let grow = (self.options.least_us * 1.2 / once_us.max(50.0)).clamp(1.5, 16.0);
            times = (f64::from(times) * grow).ceil() as u32;
        }
    }
}
