//! Tuning a loaded model between its steps.
//!
//! First what is known is put to use: what was measured here at once, what others measured once it gave the right answer here.
//! Then what is not known is searched for, largest share of a step first, and last each phase is tried as a whole. Everything
//! that was measured goes to the database, the losers too. Whatever fails costs the tuning, never the model: a device that is
//! lost is the executor's affair.
//!
//! Where kernels are compiled beside what the device does, several operations are searched at a time: while the candidates of one are
//! compiled, those of another are timed, one after the other. A device that is never idle is also one that keeps its clock up.

use crate::end_to_end::{Change, try_changes};
use crate::host::{Host, Worked};
use crate::known::Known;
use crate::plan::{LEAST_SHARE, LEAST_SHARE_OF_ALL, Phase, Planned, phases};
use crate::race::{Entry, Outcome, Race, RaceOptions};
use crate::records::{self, Place, RaceFacts};
use crate::search::{SearchOptions, search};
use crate::space;
use crate::status::{OperationState, OperationStatus, State, Status, TrialStatus};
use futures_util::lock::Mutex;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::cell::RefCell;
use std::rc::Rc;
use thiserror::Error;
use tilewright_engine::gpu::TunableExecutor;
use tilewright_engine::gpu::trial::{Trial, TrialError};
use tilewright_engine::gpu::tunable::{ChoiceError, Operation};
use tilewright_engine::gpu::tuned_op::TunedOp;
use tilewright_engine::kernels::KernelVariant;
use tilewright_tuning_db::{Answer, Keeper, Verdict};

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
    /// Operations that are searched at a time, where kernels are compiled beside what a real GPU does: as many as there are cores
    /// for, since compilers that take all of them keep everybody waiting who needs the GPU.
    pub at_once: usize,
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
            at_once: 1,
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

/// A search is over after so much of the time that the GPU may be busy, whatever of it was: most goes to compiling. With 0.75 a tuning
/// of `qwen2-0.5b` takes five seconds on an H100, and its five largest operations are as fast as after an exhaustive search.
const ALL_OVER_GPU: f64 = 0.75;
/// A change that promises to save less of a phase's operations is not worth a trial.
const LEAST_PROMISE: f64 = 0.004;
/// Candidates of a query that are checked before the default is taken.
const MOST_CHECKS: usize = 6;
/// Variants that a search begins with because they are fast elsewhere: of this operation, and of all.
const SEEDS_OF_OP: usize = 3;
const MOST_SEEDS: usize = 6;

/// A tuning of one model.
pub struct Tuner<'a> {
    executor: TunableExecutor,
    known: Known,
    host: Worked<'a>,
    tell: &'a dyn Fn(&Status),
    options: Options,
    status: RefCell<Status>,
    /// The device, which one race at a time keeps busy.
    device: Mutex<()>,
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
        let status = RefCell::new(Status {
            device: place.device.clone(),
            browser: place.browser.clone(),
            budget_ms: options.gpu_us / 1e3,
            ..Status::default()
        });
        let (known, host) = (Known::new(keeper, place), Worked::new(host));
        Self { executor, known, host, tell, options, status, device: Mutex::default() }
    }

    /// Puts to use what is known and measures what is not.
    pub async fn run(self) -> Status {
        let result = self.all().await;
        // What time it took was read when its last part ended.
        self.change(|status| match result {
            Ok(()) => status.state = State::Done,
            Err(error) => {
                tracing::warn!("tuning ended early: {error}");
                (status.state, status.error) = (State::Failed, Some(error.to_string()));
            }
        });
        self.status.into_inner()
    }

    async fn all(&self) -> Result<(), TuneError> {
        let phases = self.phases();
        self.show(|status| status.state = State::Adopting);
        let mut unknown = Vec::new();
        for (index, phase) in phases.iter().enumerate() {
            for planned in &phase.operations {
                let known = self.adopt(phase, planned).await?;
                if (!known || self.options.again) && !self.options.adopt_only {
                    unknown.push((index, planned));
                }
            }
        }
        let _alone = if unknown.is_empty() { None } else { Some(self.host.alone().await) };
        if !unknown.is_empty() && self.known.refresh().await && !self.options.again {
            // Whoever measured meanwhile may have left nothing to measure.
            let mut left = Vec::new();
            for (index, planned) in unknown {
                if !self.adopt(&phases[index], planned).await? {
                    left.push((index, planned));
                }
            }
            unknown = left;
        }
        self.lap(|status| &mut status.adopting_ms);
        let mut changes: Vec<Vec<Change>> = phases.iter().map(|_| Vec::new()).collect();
        if !unknown.is_empty() {
            self.show(|status| status.state = State::Tuning);
            let gpu = self.executor.gpu();
            let at_once = if gpu.compiles_ahead() && !gpu.is_software() { self.options.at_once.max(1) } else { 1 };
            let weight = |index: usize, planned: &Planned| phases[index].weight * planned.weight();
            let all_weight: f64 = unknown.iter().map(|&(index, planned)| weight(index, planned)).sum();
            let searches = unknown.into_iter().map(|(index, planned)| {
                let gpu_us = self.options.gpu_us * weight(index, planned) / all_weight;
                // Who waits for others has so much more time.
                let all_us = gpu_us * ALL_OVER_GPU * at_once as f64;
                async move { Ok::<_, TuneError>((index, self.tune(planned, gpu_us, all_us).await?)) }
            });
            let found: Vec<_> = stream::iter(searches).buffer_unordered(at_once).try_collect().await?;
            for (index, change) in found {
                changes[index].extend(change);
            }
            self.lap(|status| &mut status.tuning_ms);
        }
        for (phase, changes) in phases.iter().zip(changes) {
            self.try_phase(phase, changes).await?;
        }
        self.lap(|status| &mut status.trying_ms);
        Ok(())
    }

    /// What is tuned, as far as the options want it.
    fn phases(&self) -> Vec<Phase> {
        let Options { exhaustive, gpu_us, phases: wanted, most_operations, .. } = &self.options;
        let least_share = if *exhaustive { LEAST_SHARE_OF_ALL } else { LEAST_SHARE };
        let wants_all = *exhaustive || *gpu_us > Options::default().gpu_us || !wanted.is_empty();
        let all = phases(&self.executor, least_share, wants_all).into_iter().enumerate();
        let mut phases: Vec<Phase> =
            all.filter(|(index, _)| wanted.is_empty() || wanted.contains(index)).map(|(_, phase)| phase).collect();
        for phase in &mut phases {
            phase.operations.truncate(*most_operations);
        }
        phases
    }

    /// Puts to use what is known of an operation. Says whether that is enough not to measure it.
    async fn adopt(&self, phase: &Phase, planned: &Planned) -> Result<bool, TuneError> {
        let (op, default) = (planned.operation.op, planned.operation.default);
        let space = space::variants(&op, &self.executor.gpu().limits());
        let mut answer = self.known.answer(&op, &default, &space).await;
        for _ in 0..MOST_CHECKS {
            if !answer.needs_check {
                break;
            }
            self.check(&op, &answer).await?;
            answer = self.known.answer(&op, &default, &space).await;
        }
        let known = self.known.is_enough(&op, &default, &answer).await;
        let usable = self.known.may_be_used(&op, &answer).await;
        let mut chosen = answer.variant.decode::<KernelVariant>().ok().filter(|_| usable).unwrap_or(default);
        if self.executor.current(&op) != Some(chosen) {
            self.host.turn().await;
            match self.executor.choose(&[(op, Some(chosen))]).await {
                Ok(()) => {}
                Err(ChoiceError::Refused { .. }) => chosen = planned.operation.current,
                Err(other) => return Err(other.into()),
            }
        }
        let operation = OperationStatus {
            label: records::label(&op),
            phase: phase.name.clone(),
            shape: records::shape(&op),
            share: planned.share,
            state: if known { OperationState::Known } else { OperationState::Waiting },
            tried: 0,
            space: space.len(),
            default: records::variant(&default),
            chosen: records::variant(&chosen),
            default_us: self.known.time_us(&op, &default).await,
            chosen_us: self.known.time_us(&op, &chosen).await,
            why: Known::why(&answer, &chosen),
        };
        self.show(|status| match status.operations.iter_mut().find(|shown| shown.shape == operation.shape) {
            Some(shown) => *shown = operation,
            None => status.operations.push(operation),
        });
        Ok(known)
    }

    /// Has a variant that others measured give the right answer here.
    async fn check(&self, op: &TunedOp, answer: &Answer) -> Result<(), TuneError> {
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
        self.known.keep_race(op, &[entry], &facts, self.host.now_ms()).await;
        Ok(())
    }

    /// Searches for something faster, and says what would change.
    async fn tune(&self, planned: &Planned, gpu_us: f64, all_us: f64) -> Result<Option<Change>, TuneError> {
        let (op, default) = (planned.operation.op, planned.operation.default);
        let gpu = self.executor.gpu();
        let hanging = self.known.hanging(&op).await;
        let mut space = space::variants(&op, &gpu.limits());
        space.retain(|variant| !hanging.contains(variant));
        self.show_operation(&op, |operation| operation.state = OperationState::Searching);
        let mut race = Race::new(Trial::new(&gpu, op), self.options.race, &self.host, &self.device);
        let facts = RaceFacts::from(&race);
        let seeds = self.seeds(&op, &space).await;
        let options = SearchOptions { gpu_us, all_us, exhaustive: self.options.exhaustive, ..SearchOptions::default() };
        let searched = search(&mut race, default, &seeds, &space, &options, &self.host).await;
        // What is known by then is known, also where the device did not survive it.
        let mut entries = race.entries().to_vec();
        entries.extend(race.suspect());
        self.known.keep_race(&op, &entries, &facts, self.host.now_ms()).await;
        searched?;
        let spent_us = race.spent_us();
        let troubles = self.known.troubles().await;
        let answer = self.known.answer(&op, &default, &space).await;
        let current = self.executor.current(&op).unwrap_or(default);
        let to = answer.variant.decode::<KernelVariant>().unwrap_or(default);
        let time =
            |variant: &KernelVariant| entries.iter().find(|entry| entry.variant == *variant).and_then(Entry::time_us);
        let (default_us, current_us) = (time(&default), time(&current).or(time(&default)));
        self.show_operation(&op, |operation| {
            operation.state = OperationState::Measured;
            operation.tried = entries.len();
            (operation.default_us, operation.chosen_us) = (default_us, current_us);
            operation.why = Known::why(&answer, &current);
        });
        self.show(|status| {
            status.spent_ms += spent_us / 1e3;
            status.measured += entries.len();
            status.troubles = troubles;
        });
        let saved_us = current_us.zip(time(&to)).map_or(0.0, |(now, then)| now - then);
        let promise_us = saved_us * f64::from(planned.operation.times);
        Ok((to != current).then_some(Change { op, from: current, to, promise_us }))
    }

    /// What is fast elsewhere: the best of this operation on other devices, and what was chosen here for its kin of other sizes.
    async fn seeds(&self, op: &TunedOp, space: &[KernelVariant]) -> Vec<KernelVariant> {
        let shape = records::shape(op);
        let best = self.known.fast_anywhere(op).await.into_iter().take(SEEDS_OF_OP);
        let status = self.status.borrow();
        let kin = status
            .operations
            .iter()
            .filter(|other| other.shape != shape && other.shape.op == shape.op && other.shape.dtype == shape.dtype);
        let kin = kin.filter_map(|other| other.chosen.decode::<KernelVariant>().ok());
        let mut seeds: Vec<KernelVariant> = Vec::new();
        for seed in best.chain(kin).filter(|seed| space.contains(seed)) {
            if !seeds.contains(&seed) && seeds.len() < MOST_SEEDS {
                seeds.push(seed);
            }
        }
        seeds
    }

    /// Tries a phase's changes on whole steps; if all together don't help, the one that promises most.
    async fn try_phase(&self, phase: &Phase, mut changes: Vec<Change>) -> Result<(), TuneError> {
        changes.sort_by(|a, b| b.promise_us.total_cmp(&a.promise_us));
        // What promises less than anybody could measure is not tried.
        let mut step_us = 0.0;
        for Planned { operation, .. } in &phase.operations {
            let default_us = self.known.time_us(&operation.op, &operation.default).await;
            step_us += f64::from(operation.times) * default_us.unwrap_or(0.0);
        }
        changes.retain(|change| change.promise_us >= LEAST_PROMISE * step_us);
        while !changes.is_empty() {
            self.show(|status| status.state = State::Trying);
            let (model, place) = (&self.options.model, &self.known.place);
            let trial = try_changes(&self.executor, phase, &changes, model, place, &self.host).await?;
            let kept = trial.verdict == Verdict::Kept;
            self.show(|status| status.trials.push(TrialStatus::new(&phase.name, trial.clone())));
            let alone = changes.len() == 1;
            let mut told = trial;
            if !kept && !alone {
                // What is tried again alone is not yet taken back; the others are.
                told.changes.remove(0);
            }
            self.known.keep_trial(told).await;
            for change in &changes {
                let used = if kept { change.to } else { change.from };
                let planned = phase.operations.iter().find(|planned| planned.operation.op == change.op);
                if let Some(Planned { operation, .. }) = planned {
                    self.show_choice(operation, &used).await;
                }
            }
            if kept || alone {
                break;
            }
            changes.truncate(1);
        }
        Ok(())
    }

    /// Takes note of what is used after a trial, and why.
    async fn show_choice(&self, Operation { op, default, .. }: &Operation, used: &KernelVariant) {
        let space = space::variants(op, &self.executor.gpu().limits());
        let answer = self.known.answer(op, default, &space).await;
        let chosen_us = self.known.time_us(op, used).await;
        self.show_operation(op, |operation| {
            (operation.chosen, operation.chosen_us) = (records::variant(used), chosen_us);
            operation.why = Known::why(&answer, used);
        });
    }

    fn show_operation(&self, op: &TunedOp, change: impl FnOnce(&mut OperationStatus)) {
        let shape = records::shape(op);
        self.show(|status| {
            if let Some(operation) = status.operations.iter_mut().find(|operation| operation.shape == shape) {
                change(operation);
            }
        });
    }

    fn show(&self, change: impl FnOnce(&mut Status)) {
        self.change(|status| {
            status.elapsed_ms = self.host.worked_us() / 1e3;
            change(status);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.status.borrow_mut();
        change(&mut status);
        (self.tell)(&status);
    }

    /// Writes down what a part took that has ended now: all that the earlier ones did not.
    fn lap(&self, part: impl FnOnce(&mut Status) -> &mut f64) {
        self.show(|status| {
            let before_ms = status.adopting_ms + status.tuning_ms + status.trying_ms;
            *part(status) = status.elapsed_ms - before_ms;
        });
    }
}
