//! What people are shown of a tuning.

use serde::Serialize;
use tilewright_tuning_db::{Browser, Device, Shape, Trial, Variant};

/// Where a tuning stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// What goes on.
    pub state: State,
    /// The GPU.
    pub device: Device,
    /// What runs the kernels on it.
    pub browser: Browser,
    /// Milliseconds that the GPU was kept busy.
    pub spent_ms: f64,
    /// How many it may be.
    pub budget_ms: f64,
    /// Milliseconds in all, compiling included but not waiting for the device to be idle.
    pub elapsed_ms: f64,
    /// Of which: putting to use what was known.
    pub adopting_ms: f64,
    /// Of which: compiling and measuring variants.
    pub tuning_ms: f64,
    /// Of which: trying whole steps.
    pub trying_ms: f64,
    /// Variants that were tried this time.
    pub measured: usize,
    /// Operations, in the order in which they are tuned.
    pub operations: Vec<OperationStatus>,
    /// What the end effect was, by phase.
    pub trials: Vec<TrialStatus>,
    /// What went wrong with the store.
    pub troubles: Vec<String>,
    /// Why tuning ended early.
    pub error: Option<String>,
}

/// What goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was begun.
    #[default]
    Idle,
    /// What is known is checked and put to use.
    Adopting,
    /// Variants are measured.
    Tuning,
    /// The end effect is measured.
    Trying,
    /// All is known.
    Done,
    /// It ended early; see `error`.
    Failed,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationStatus {
    /// What people call it.
    pub label: String,
    /// Of what it is a part.
    pub phase: String,
    /// By value: where its records are.
    pub shape: Shape,
    /// Its part of the phase's step, estimated.
    pub share: f64,
    /// How far it is.
    pub state: OperationState,
    /// Variants that were tried this time.
    pub tried: usize,
    /// Variants that there are.
    pub space: usize,
    /// What is used where nobody knows better.
    pub default: Variant,
    /// What is used.
    pub chosen: Variant,
    /// Microseconds of the default, where it was measured.
    pub default_us: Option<f64>,
    /// Microseconds of what is used, where it was measured.
    pub chosen_us: Option<f64>,
    /// Why it is used, in a sentence.
    pub why: String,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Nothing was measured yet.
    Waiting,
    /// Its variants are being measured.
    Searching,
    /// It was measured this time.
    Measured,
    /// It was known before.
    Known,
}

/// An end effect.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialStatus {
    /// Of what.
    pub phase: String,
    /// Median speed after by median speed before; `None` where it was not run.
    pub gain: Option<f64>,
    /// How far the gain may be from 1 by chance.
    pub noise: f64,
    /// What was changed, and what came of it.
    pub trial: Trial,
}

impl TrialStatus {
    /// Of a phase, by its name.
    pub(crate) fn new(phase: &str, trial: Trial) -> Self {
        let speeds = trial.decode.as_ref().or(trial.prefill.as_ref());
        let (gain, noise) = speeds.map_or((None, 0.0), |speeds| (speeds.gain(), speeds.noise()));
        Self { phase: phase.to_owned(), gain, noise, trial }
    }
}
