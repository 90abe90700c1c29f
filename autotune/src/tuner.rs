//! Tuning a loaded model between its steps.
//!
//! First what is known is put to use: what was measured here at once, what others measured once it gave the right answer here.
//! Then what is not known is searched for, largest share of a step first, and last each phase is tried as a whole. Everything
//! that was measured goes to the database, the losers too. Whatever fails costs the tuning, never the model: a device that is
//! lost is the executor's affair.

use crate::end_to_end::{Change, try_changes};
use crate::host::Host;
use crate::plan::{LEAST_SHARE, LEAST_SHARE_OF_ALL, Phase, Planned, phases};
use crate::race::{Entry, Outcome, Race, RaceOptions};
use crate::records::{self, Place, RaceFacts};
use crate::search::{Found, SearchOptions, is_right, search};
use crate::space;
use crate::status::{OperationState, OperationStatus, State, Status, TrialStatus};
use futures_util::lock::Mutex;
use std::rc::Rc;
use thiserror::Error;
use tilewright_engine::gpu::TunableExecutor;
use tilewright_engine::gpu::trial::{Trial, TrialError};
use tilewright_engine::gpu::tunable::ChoiceError;
use tilewright_engine::gpu::tuned_op::TunedOp;
use tilewright_engine::kernels::KernelVariant;
use tilewright_tuning_db::{Answer, Database, Item, Keeper, Kernels, Provenance, Query, Rung, Shape, Verdict};

/// How thorough a tuning is.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the model is called.
    pub model: String,
    /// Microseconds that the GPU may be kept busy by searching.
    pub gpu_us: f64,
    /// Try every variant, however long that takes.
    pub exhaustive: bool,
    /// Measure anew what was measured here before.
    pub again: bool,
    /// Put to use what is known and measure nothing.
    pub adopt_only: bool,
    /// Only so many operations of each phase, largest share first.
    pub most_operations: usize,
    /// How candidates are timed.
    pub race: RaceOptions,
    /// What is tuned and tried; all phases by default.
    pub phases: Vec<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: String::new(),
            gpu_us: 3e6,
            exhaustive: false,
            again: false,
            adopt_only: false,
            most_operations: usize::MAX,
            race: RaceOptions::default(),
            phases: Vec::new(),
        }
    }
}

/// Why tuning ended early.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TuneError {
    /// A trial could not be made.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// The executor could not be changed.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
}

/// Searching may take so much longer than the GPU may be busy: the rest is compiling.
const ALL_OVER_GPU: f64 = 1.0;
/// A change that promises to save less of a phase's operations is not worth a trial.
const LEAST_PROMISE: f64 = 0.004;
/// Candidates of a query that are checked before the default is taken.
const MOST_CHECKS: usize = 6;

/// A tuning of one model.
pub struct Tuner<'a> {
    executor: TunableExecutor,
    keeper: Rc<Mutex<Keeper>>,
    place: Place,
    kernels: Kernels,
    host: &'a dyn Host,
    tell: &'a dyn Fn(&Status),
    options: Options,
    status: Status,
    begun_us: f64,
}

impl<'a> Tuner<'a> {
    /// Of an executor, with what the keeper knows. `tell` hears whenever something has changed.
    pub fn new(
        executor: TunableExecutor,
        keeper: Rc<Mutex<Keeper>>,
        place: Place,
        options: Options,
        host: &'a dyn Host,
        tell: &'a dyn Fn(&Status),
    ) -> Self {
        let status = Status {
            device: place.device.clone(),
            browser: place.browser.clone(),
            budget_ms: options.gpu_us / 1e3,
            ..Status::default()
        };
        let kernels = records::current_kernels();
        Self { executor, keeper, place, kernels, host, tell, options, status, begun_us: 0.0 }
    }

    /// Puts to use what is known and measures what is not.
    pub async fn run(mut self) -> Status {
        self.begun_us = self.host.clock_us();
        if let Err(error) = self.all().await {
            tracing::warn!("tuning ended early: {error}");
            (self.status.state, self.status.error) = (State::Failed, Some(error.to_string()));
        }
        self.show();
        self.status
    }

    async fn all(&mut self) -> Result<(), TuneError> {
        let least_share = if self.options.exhaustive { LEAST_SHARE_OF_ALL } else { LEAST_SHARE };
        let wants_all = self.options.exhaustive
            || self.options.gpu_us > Options::default().gpu_us
            || !self.options.phases.is_empty();
        let mut phases = phases(&self.executor, least_share, wants_all);
        if !self.options.phases.is_empty() {
            let wanted = self.options.phases.clone();
            phases = phases.into_iter().enumerate().filter(|(i, _)| wanted.contains(i)).map(|(_, p)| p).collect();
        }
        for phase in &mut phases {
            phase.operations.truncate(self.options.most_operations);
        }
        self.status.state = State::Adopting;
        let mut unknown = Vec::new();
        for (index, phase) in phases.iter().enumerate() {
            for planned in &phase.operations {
                let known = self.adopt(phase, planned).await?;
                if !known || self.options.again {
                    unknown.push((index, planned.operation.op));
                }
            }
        }
        if self.options.adopt_only {
            unknown.clear();
        }
        let all_weight: f64 = unknown.iter().map(|(phase, op)| weight(&phases[*phase], op)).sum();
        for (index, phase) in phases.iter().enumerate() {
            let mut changes = Vec::new();
            for planned in &phase.operations {
                let op = planned.operation.op;
                if unknown.contains(&(index, op)) {
                    self.status.state = State::Tuning;
                    let part = weight(phase, &op) / all_weight;
                    changes.extend(self.tune(planned, self.options.gpu_us * part).await?);
                }
            }
            self.try_phase(phase, changes).await?;
        }
        self.status.state = State::Done;
        Ok(())
    }

    /// Puts to use what is known of an operation. Says whether that is enough not to measure it.
    async fn adopt(&mut self, phase: &Phase, planned: &Planned) -> Result<bool, TuneError> {
        let op = planned.operation.op;
        let limits = self.executor.gpu().limits();
        let default = planned.operation.default;
        let space = space::variants(&op, &limits);
        let mut answer = self.answer(&op, default, &space).await;
        for _ in 0..MOST_CHECKS {
            if !answer.needs_check {
                break;
            }
            self.check(&op, &answer).await?;
            answer = self.answer(&op, default, &space).await;
        }
        let is_exact = answer.why.rung == Rung::Exact && !answer.needs_check;
        let known = is_exact && self.is_known(&op, default).await;
        // What is fastest alone here is used only where a trial has shown that it helps.
        if is_exact && !was_kept(self.keeper.lock().await.database(), &records::shape(&op), &answer) {
            (answer.variant, answer.needs_check) = (records::variant(&default), false);
        }
        let chosen = answer.variant.decode::<KernelVariant>().ok().filter(|_| !answer.needs_check).unwrap_or(default);
        if chosen != planned.operation.current {
            self.host.turn().await;
            match self.executor.choose(&[(op, Some(chosen))]).await {
                Ok(()) | Err(ChoiceError::Refused { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        self.status.operations.push(OperationStatus {
            label: records::label(&op),
            phase: phase.name.clone(),
            shape: records::shape(&op),
            share: planned.share,
            state: if known { OperationState::Known } else { OperationState::Waiting },
            tried: 0,
            space: space.len(),
            default: records::variant(&default),
            chosen: records::variant(&chosen),
            default_us: self.time_us(&op, &default).await,
            chosen_us: self.time_us(&op, &chosen).await,
            why: answer.why.to_string(),
        });
        self.show();
        Ok(known)
    }

    /// What the database says of an operation.
    async fn answer(&self, op: &TunedOp, default: KernelVariant, space: &[KernelVariant]) -> Answer {
        let keeper = self.keeper.lock().await;
        let default = records::variant(&default);
        let permitted: Vec<_> = space.iter().map(records::variant).collect();
        let permits = |variant: &_| *variant == default || permitted.contains(variant);
        let shape = records::shape(op);
        let query = self.query(&shape, &default, &permits);
        keeper.database().look_up(&query)
    }

    fn query<'b>(
        &'b self,
        shape: &'b Shape,
        default: &'b tilewright_tuning_db::Variant,
        permits: &'b dyn Fn(&tilewright_tuning_db::Variant) -> bool,
    ) -> Query<'b> {
        Query {
            shape,
            device: &self.place.device,
            browser: &self.place.browser,
            kernels: &self.kernels,
            permits,
            default,
        }
    }

    /// Whether variants of an operation were timed here, or a file has such times of this very device and browser. A GPU whose name is
    /// hidden may be any, so no file knows it; and what comes with the package is of somebody else's device, however alike.
    async fn is_known(&self, op: &TunedOp, default: KernelVariant) -> bool {
        let (shape, default) = (records::shape(op), records::variant(&default));
        let query = self.query(&shape, &default, &|_| true);
        let keeper = self.keeper.lock().await;
        let mut timed = keeper.database().tried(&query).filter(|(record, _)| record.time_ns().is_some());
        timed.any(|(_, provenance)| match provenance {
            Provenance::MeasuredHere => true,
            Provenance::Imported => !self.place.device.vendor.is_empty(),
            Provenance::BuiltIn => false,
        })
    }

    /// What a variant took here.
    async fn time_us(&self, op: &TunedOp, variant: &KernelVariant) -> Option<f64> {
        let (shape, variant) = (records::shape(op), records::variant(variant));
        let query = self.query(&shape, &variant, &|_| true);
        let keeper = self.keeper.lock().await;
        let tried = keeper.database().tried(&query).filter(|(record, _)| record.variant() == variant);
        let newest =
            tried.filter(|(record, _)| record.time_ns().is_some()).max_by_key(|(record, _)| record.taken_at_ms);
        newest.and_then(|(record, _)| record.time_ns()).map(|ns| ns / 1e3)
    }

    /// Has a variant that others measured give the right answer here.
    async fn check(&mut self, op: &TunedOp, answer: &Answer) -> Result<(), TuneError> {
        let Ok(variant) = answer.variant.decode::<KernelVariant>() else { return Ok(()) };
        self.host.turn().await;
        let mut trial = Trial::new(&self.executor.gpu(), *op);
        let facts = RaceFacts { has_timestamps: false, tolerance: trial.tolerance() };
        let entry = match trial.check(&variant).await {
            Ok(error) if error <= facts.tolerance => {
                Entry { variant, error: Some(error), outcome: Outcome::Ok(Vec::new()) }
            }
            Ok(error) => Entry { variant, error: Some(error), outcome: Outcome::Wrong },
            Err(TrialError::Refused { reason, .. }) => {
                Entry { variant, error: None, outcome: Outcome::Refused(reason) }
            }
            Err(other) => return Err(other.into()),
        };
        self.keep(op, &[entry], facts).await;
        Ok(())
    }

    /// Searches for something faster, and says what would change.
    async fn tune(&mut self, planned: &Planned, gpu_us: f64) -> Result<Option<Change>, TuneError> {
        let op = planned.operation.op;
        let gpu = self.executor.gpu();
        let space = space::variants(&op, &gpu.limits());
        let default = planned.operation.default;
        self.status(&op, |status| status.state = OperationState::Searching);
        self.show();
        let race = Race::new(Trial::new(&gpu, op), self.options.race, self.host);
        let facts = RaceFacts::from(&race);
        let seeds = self.seeds(&op, &space).await;
        let options = SearchOptions {
            gpu_us,
            all_us: gpu_us * ALL_OVER_GPU,
            exhaustive: self.options.exhaustive,
            ..SearchOptions::default()
        };
        let Found { entries, spent_us } = search(race, default, &seeds, &space, &options, self.host).await?;
        self.keep(&op, &entries, facts).await;
        let answer = self.answer(&op, default, &space).await;
        let current = self.current(&op).unwrap_or(default);
        let to = answer.variant.decode::<KernelVariant>().unwrap_or(default);
        let time =
            |variant: &KernelVariant| entries.iter().find(|entry| entry.variant == *variant).and_then(Entry::time_us);
        self.status.spent_ms += spent_us / 1e3;
        self.status.measured += entries.len();
        let (default_us, current_us, to_us) = (time(&default), time(&current), time(&to));
        self.status(&op, |status| {
            status.state = OperationState::Measured;
            status.tried = entries.len();
            (status.default_us, status.chosen_us) = (default_us, current_us.or(default_us));
            status.why = answer.why.to_string();
        });
        self.show();
        let promise_us = match (current_us.or(default_us), to_us) {
            (Some(now), Some(then)) => (now - then) * f64::from(planned.operation.times),
            _ => 0.0,
        };
        Ok((to != current).then_some(Change { op, from: current, to, promise_us }))
    }

    /// What the executor uses now.
    fn current(&self, op: &TunedOp) -> Option<KernelVariant> {
        let rows = op.rows();
        let all =
            [(rows, rows), (rows, 1)].into_iter().flat_map(|(rows, outputs)| self.executor.operations(rows, outputs));
        all.into_iter().find(|operation| operation.op == *op).map(|operation| operation.current)
    }

    /// What is fast elsewhere: the best of this operation on other devices, and the best of its kind on other sizes here.
    async fn seeds(&self, op: &TunedOp, space: &[KernelVariant]) -> Vec<KernelVariant> {
        let shape = records::shape(op);
        let keeper = self.keeper.lock().await;
        let database = keeper.database();
        let mut seeds = Vec::new();
        let mut timed: Vec<(f64, KernelVariant)> = Vec::new();
        for (record, _) in database.records_of(&shape) {
            let is_current = self.kernels.is_current(&record.kernel, &record.source_hash);
            if let (true, Some(time), Ok(variant)) = (is_current, record.time_ns(), record.variant().decode()) {
                timed.push((time, variant));
            }
        }
        timed.sort_by(|a, b| a.0.total_cmp(&b.0));
        seeds.extend(timed.into_iter().map(|(_, variant)| variant).take(3));
        // Of the same kind: the chosen ones of this tuning.
        let kin = self
            .status
            .operations
            .iter()
            .filter(|other| other.shape != shape && other.shape.op == shape.op && other.shape.dtype == shape.dtype);
        seeds.extend(kin.filter_map(|other| other.chosen.decode::<KernelVariant>().ok()));
        seeds.retain(|seed| space.contains(seed));
        let mut unique: Vec<KernelVariant> = Vec::new();
        for seed in seeds {
            if !unique.contains(&seed) {
                unique.push(seed);
            }
        }
        unique.truncate(6);
        unique
    }

    /// Tries a phase's changes on whole steps; if all together don't help, the one that promises most.
    async fn try_phase(&mut self, phase: &Phase, mut changes: Vec<Change>) -> Result<(), TuneError> {
        changes.sort_by(|a, b| b.promise_us.total_cmp(&a.promise_us));
        // What promises less than anybody could measure is not tried.
        let mut step_us = 0.0;
        for planned in &phase.operations {
            let times = f64::from(planned.operation.times);
            step_us += times * self.time_us(&planned.operation.op, &planned.operation.default).await.unwrap_or(0.0);
        }
        changes.retain(|change| change.promise_us >= LEAST_PROMISE * step_us);
        while !changes.is_empty() {
            self.status.state = State::Trying;
            self.show();
            let trial =
                try_changes(&self.executor, phase, &changes, &self.options.model, &self.place, self.host).await?;
            let kept = trial.verdict == Verdict::Kept;
            self.status.trials.push(TrialStatus { phase: phase.name.clone(), trial: trial.clone() });
            let alone = changes.len() > 1;
            if kept || !alone {
                self.keep_items([Item::Trial(trial)]).await;
            } else {
                // What is tried again alone is not yet taken back; the others are.
                let mut others = trial;
                others.changes.remove(0);
                self.keep_items([Item::Trial(others)]).await;
            }
            if kept {
                for change in &changes {
                    let chosen_us = self.time_us(&change.op, &change.to).await;
                    self.status(&change.op, |status| {
                        (status.chosen, status.chosen_us) = (records::variant(&change.to), chosen_us);
                    });
                }
                break;
            }
            changes.truncate(usize::from(alone));
        }
        Ok(())
    }

    async fn keep(&mut self, op: &TunedOp, entries: &[Entry], facts: RaceFacts) {
        let now_ms = self.host.now_ms();
        let items: Vec<Item> = entries
            .iter()
            .filter(|entry| !is_right(entry) || entry.error.is_some())
            .map(|entry| Item::Record(records::record(op, entry, &facts, &self.place, now_ms)))
            .collect();
        self.keep_items(items).await;
    }

    async fn keep_items(&mut self, items: impl IntoIterator<Item = Item>) {
        let mut keeper = self.keeper.lock().await;
        if let Err(fault) = keeper.record(items).await {
            tracing::warn!("a measurement can't be kept: {fault}");
        }
        self.status.troubles = keeper.troubles().iter().map(ToString::to_string).collect();
    }

    fn status(&mut self, op: &TunedOp, change: impl FnOnce(&mut OperationStatus)) {
        let shape = records::shape(op);
        if let Some(status) = self.status.operations.iter_mut().find(|status| status.shape == shape) {
            change(status);
        }
    }

    fn show(&mut self) {
        self.status.elapsed_ms = (self.host.clock_us() - self.begun_us) / 1e3;
        (self.tell)(&self.status);
    }
}

/// How much of the time an operation gets: a search of half the share needs more than half the time.
fn weight(phase: &Phase, op: &TunedOp) -> f64 {
    let planned = phase.operations.iter().find(|planned| planned.operation.op == *op);
    phase.weight * planned.map_or(0.0, |planned| planned.share.sqrt())
}

/// Whether a trial of this shape kept the answer's variant.
fn was_kept(database: &Database, shape: &Shape, answer: &Answer) -> bool {
    database.trials().any(|(trial, _)| {
        trial.verdict == Verdict::Kept
            && trial.changes.iter().any(|change| change.shape == *shape && change.to == answer.variant)
    })
}
