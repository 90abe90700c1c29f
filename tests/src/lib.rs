//! What the end-to-end tests share: reference checkpoints, models opened on a device, and steps run by hand.
//!
//! - [`fixture`]: the checkpoints in `tests/fixtures` and what `transformers` computed from them
//! - [`twin`]: the same as GGUF, quantized or not
//! - [`model`]: a model on a device
//! - [`drive`]: prompts as step plans
//! - [`serve`]: requests to a service
//! - [`warnings`]: what is logged meanwhile

pub mod drive;
pub mod fixture;
pub mod model;
pub mod serve;
pub mod twin;
pub mod warnings;
