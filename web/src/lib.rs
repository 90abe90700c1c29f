//! The browser boundary: one loaded model behind a few calls, as a wasm module without atomics.
//!
//! It is thin on purpose. What a model is and how requests are answered is `tilewright-host`, which knows no JS; who is
//! there and who hears what is the worker's TypeScript (`web/ts`), which knows no wasm. Here their types meet:
//!
//! - [`engine`]: a running service that is told things by calls and answers by one callback
//! - `clock`: the time, for steps of a fraction of a millisecond
//! - `gpu_source`: the GPU, and another one when it is lost
//! - [`model_files`]: the host's `ModelFiles` over a JS object's callbacks, so that downloads and caches stay in JS
//! - `messages`: what crosses as JSON; strings, because a number, a `null` and a missing field stay what they are
//! - [`bench`]: how fast the executor is, with nothing around it
//! - [`logits`]: a model's bare logits, to compare a browser's GPU with a reference
//! - [`tuning_store`]: the tuning database's `Store` over a JS object's callbacks, so that IndexedDB stays in JS
//! - [`panic`]: the last words of an instance that is lost

#![cfg(target_arch = "wasm32")]

pub mod bench;
mod clock;
pub mod engine;
mod gpu_source;
pub mod logits;
mod messages;
pub mod model_files;
pub mod panic;
pub mod tuning_store;
