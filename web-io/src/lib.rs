//! What both wasm modules say to their TypeScript alike.
//!
//! `tilewright_web` (scheduler, API, GPU engine; no atomics) and `tilewright_cpu` (the CPU engine with its threads) are two
//! compilations with different flags, and neither can be loaded where the other lives. Both read a model's files through
//! the same callbacks and fail in the same words:
//!
//! - [`model_files`]: the host's `ModelFiles` over a JS object's callbacks, so that downloads and storage stay in JS
//! - [`bench`]: what a benchmark times
//! - [`json`]: progress and errors as JSON
//! - [`panic`]: the last words of an instance that is lost

#![cfg(target_arch = "wasm32")]

pub mod bench;
pub mod json;
pub mod model_files;
pub mod panic;

pub use json::{Callback, Loading, json, thrown};
pub use model_files::JsModelFiles;
