//! What is kept of steps that are done, for whoever looks.

use crate::events::{ClientId, Micros};
use serde::{Deserialize, Serialize};
use tilewright_plan::StepId;

/// One step that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which.
    pub step: StepId,
    /// Whose rows it had.
    pub rows: Vec<ClientRows>,
    /// How long it took.
    pub elapsed: Micros,
}

/// One client's rows of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRows {
    /// Whose.
    pub client: ClientId,
    /// Rows of sequences that decode.
    pub decode: u32,
    /// Rows of prompts.
    pub prefill: u32,
}
