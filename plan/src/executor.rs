//! The trait that computes steps.

use crate::{SequenceId, StepId, StepOutput, StepPlan};
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Resolves when a step's output has been read back. It holds no borrow of the executor, so further steps can be issued
/// before it resolves; dropping it discards the output and not the step.
pub type StepFuture = LocalBoxFuture<'static, Result<StepOutput, ExecutorError>>;

/// Computes steps in the order in which they are issued.
pub trait Executor {
    /// What it can hold.
    fn capacity(&self) -> Capacity;

    /// Starts a step. Bad plans and lost devices are reported by the future; after an error that
    /// [`is_loss`](ExecutorError::is_loss) the executor is of no more use, after any other it is unchanged.
    fn issue(&mut self, step: StepId, plan: StepPlan) -> StepFuture;

    /// What computes, for a person to read: "NVIDIA H100 (Vulkan)", "CPU with AVX2, 2 threads".
    fn device(&self) -> String;
}

/// What an executor can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// KV blocks.
    pub blocks: u32,
    /// KV slots (tokens) per block.
    pub block_size: u32,
    /// Most rows that one step may have, over all its chunks.
    pub max_rows: u32,
    /// Most chunks that one step may have.
    pub max_chunks: u32,
    /// Most positions that a sequence may have: the model's context, or all blocks if that is less.
    pub max_context: u32,
    /// Size of the vocabulary: ids are below it.
    pub vocabulary: u32,
    /// How many steps may be issued before the first is read back; at least 1.
    pub depth: u32,
}

/// Why a step gave no output.
#[derive(Clone, Debug, PartialEq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExecutorError {
    /// The device is gone (driver crash, GPU process loss, host tab closed).
    #[error("the device was lost ({reason}); a new executor has to be made and running requests recomputed")]
    Lost {
        /// What the platform said.
        reason: String,
    },
    /// The place where it computed is gone, for a reason that no request has to answer for: a page was closed, or a better
    /// device came.
    #[error("the executor moved ({reason}); running requests have to be recomputed on the next one")]
    Moved {
        /// Why.
        reason: String,
    },
    /// The plan breaks a rule of [`StepPlan`].
    #[error("the step plan is not valid: {0}")]
    InvalidPlan(String),
    /// A plan names a sequence that was never opened, or was closed.
    #[error("sequence {0} is not open; open it in the step that first names it")]
    UnknownSequence(SequenceId),
    /// The model computed logits that are not numbers.
    #[error(
        "the model computed logits that are not finite for sequence {0}; the weights may be damaged, or overflow on this device"
    )]
    NotFinite(SequenceId),
}

impl ExecutorError {
    /// Whether the executor is gone, rather than one plan refused.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Moved { .. })
    }
}
