//! What can be set. What the executor can hold is not set here: it comes with `ExecutorReady`.

use crate::events::Millis;
use serde::{Deserialize, Serialize};

/// The scheduler's limits; [`Config::default`] is right for a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Requests of one client that may wait for their first step.
    pub max_waiting_per_client: u32,
    /// Requests that may wait for their first step.
    pub max_waiting: u32,
    /// Most rows per step, where the executor would take more.
    pub max_step_rows: u32,
    /// Most rows of one prompt per step.
    pub max_prefill_rows: u32,
    /// Rows of prompts in the first step that has any, before anything is known of step times.
    pub first_prefill_rows: u32,
    /// What a step should stay under while a request of the focused tab decodes.
    pub focused_budget: Millis,
    /// What a step should stay under otherwise.
    pub budget: Millis,
    /// What a step must stay under, where its fixed costs take most of the other two: browsers kill work of two seconds.
    pub longest_step: Millis,
    /// Share of a step, in percent of its predicted time, that other tabs get while the focused one has work.
    pub others_percent: u32,
    /// A request that could run is left out of at most so many steps for the sake of a better class, or of its own client's
    /// other requests; at least 1.
    pub max_skipped_steps: u32,
    /// Waiting this long for admission raises a request by one class, again and again, though never to the first.
    pub raise_after: Millis,
    /// Blocks that an admission leaves free for those already running, in percent of all (rounded up). Waived when nothing runs.
    pub watermark_percent: u32,
    /// Tokens that a request may be ahead of its client's acknowledgements.
    pub credit_window: u32,
    /// A request that runs during two losses of the executor this close together is given up: it may be the cause.
    pub loss_window: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_waiting_per_client: 4,
            max_waiting: 32,
            max_step_rows: u32::MAX,
            max_prefill_rows: u32::MAX,
            first_prefill_rows: 32,
            focused_budget: Millis(50),
            budget: Millis(150),
            longest_step: Millis(500),
            others_percent: 10,
            max_skipped_steps: 7,
            raise_after: Millis(30_000),
            watermark_percent: 1,
            credit_window: 256,
            loss_window: Millis(60_000),
        }
    }
}
