//! The browser boundary: one loaded model behind a few calls, as a wasm module without atomics.
//!
//! It is thin on purpose. What a model is and how requests are answered is `tilewright-host`, which knows no JS; who is
//! there and who hears what is the worker's TypeScript (`web/ts`), which knows no wasm. Here their types meet:
//!
//! - [`engine`]: a running service that is told things by calls and answers by one callback
//! - `clock`: the time, for steps of a fraction of a millisecond
//! - `devices`: the GPU or the CPU, and another one when it is lost
//! - [`pools`]: CPU pools, which live in workers of tabs
//! - `messages`: what crosses as JSON; strings, because a number, a `null` and a missing field stay what they are
//! - [`bench`]: how fast the executor is, with nothing around it
//! - [`kernel_check`]: every kernel against its CPU twin on this browser's GPU
//! - [`logits`]: a model's bare logits, to compare a browser's GPU with a reference
//! - `tuning`: the tuner, which gives way to requests
//! - [`engine_locks`]: whose turn it is to tune, and whether another engine of the site answers
//! - `subgroups`: a GPU with them, though `wgpu` can't ask
//! - [`tuning_store`]: the tuning database's `Store` over a JS object's callbacks, so that IndexedDB stays in JS
//! - `tilewright_web_io`: files and last words, which the CPU module has as well

#![cfg(target_arch = "wasm32")]

pub mod bench;
mod clock;
mod device_shim;
mod devices;
pub mod engine;
pub mod engine_locks;
pub mod kernel_check;
pub mod logits;
mod messages;
pub mod pools;
mod tuning;
pub mod tuning_store;

pub use tilewright_web_io::panic::on_panic;
