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
            watermark_percent: 1,
            credit_window: 256,
            loss_window: Millis(60_000),
        }
    }
}
