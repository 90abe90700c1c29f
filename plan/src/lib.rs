//! What one forward pass computes, as plain data, and the trait that computes it.
//!
//! The scheduler writes a [`StepPlan`], an [`Executor`] answers with a [`StepOutput`]. Neither knows more of the other:
//! the scheduler never sees a GPU, the executor never sees a client. Every type here can be printed, compared, stored
//! in a test and replayed, and sent to a worker as it is.
//!
//! - [`id`]: newtypes for tokens, sequences, blocks and steps
//! - [`sampling`]: how a token is drawn from logits
//! - [`step`]: ragged rows over paged KV blocks, and what comes back
//! - [`executor`]: the trait, what it can hold, how it fails

#![forbid(unsafe_code)]

pub mod executor;
pub mod id;
pub mod sampling;
pub mod step;

pub use executor::{Capacity, Executor, ExecutorError, StepFuture};
pub use id::{BlockId, SequenceId, StepId, TokenId};
pub use sampling::SamplingParams;
pub use step::{Chunk, ChunkOutput, OpenSequence, Sampled, StepOutput, StepPlan, TokenMask, TokenSource};
