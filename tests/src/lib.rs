//! What the end-to-end tests share: reference checkpoints, models opened on a device, and steps run by hand.
//!
//! - [`fixture`]: the checkpoints in `tests/fixtures` and what `transformers` computed from them
//! - [`model`]: a model on a device
//! - [`drive`]: prompts as step plans

pub mod drive;
pub mod fixture;
pub mod model;
