//! One running service: a model's text side (`tilewright-api`), the scheduler and an executor behind a stream of inputs.
//!
//! The crate knows neither JS nor files nor threads nor a clock: what a browser worker and a terminal do differently comes
//! in as [`ModelFiles`], as a stream of [`Input`]s and as a closure that tells the time. Both therefore run the
//! very same service, and so do its tests.
//!
//! ```no_run
//! # use tilewright_host::*;
//! # async fn example(files: &dyn ModelFiles, inputs: impl futures_util::Stream<Item = Input>) -> Result<(), LoadError> {
//! let layout = ModelLayout::Gguf { file: "model.gguf".to_owned() };
//! let options = tilewright_engine::LoadOptions::default();
//! let service = load(files, layout, "my-model", tilewright_engine::Device::Cpu, options, &mut |_progress| ()).await?;
//! service.serve(inputs, || std::time::Duration::ZERO, |output| println!("{output:?}")).await;
//! # Ok(())
//! # }
//! ```
//!
//! - [`files`]: where a model's bytes come from
//! - [`load`](mod@load): files to a service, and what can be wrong with them
//! - [`io`]: what a service is told and what it says
//! - [`service`]: the parts together, and the one task that drives them
//! - `submit`: a request's way in, or in again
//! - `requests`: the live requests' text side
//! - [`activity`]: whether anybody waits for an answer
//! - `acks`: from chunks that a client has read to emits that the scheduler counts
//! - `commands`: what the scheduler wants done
//! - `executors`: steps under way, a lost executor, and making another
//! - [`remote`]: an executor in another worker
//! - [`back_off`]: how long to wait before each attempt at a new executor
//! - `errors`: what ends a request, as the client reads it
//! - [`logits`]: what the model computes, without scheduler and sampler
//! - [`single`]: one request to its end, for a program that has only one

#![forbid(unsafe_code)]

mod acks;
pub mod activity;
pub mod back_off;
mod commands;
mod errors;
mod executors;
pub mod files;
pub mod io;
pub mod load;
pub mod logits;
pub mod remote;
mod requests;
pub mod service;
pub mod single;
mod submit;

pub use activity::Activity;
pub use back_off::BackOff;
pub use files::{ByteStream, FileError, ModelFiles};
pub use io::{Input, Output, RequestReport, Resume, Timings};
pub use load::{LoadError, ModelLayout, Phase, Progress, Weights, load, load_weights, load_with};
pub use logits::Logits;
pub use remote::{Answering, Line, RemoteExecutor};
pub use service::Service;
pub use single::Completed;
pub use tilewright_api::Endpoint;
pub use tilewright_scheduler::{ClientId, FinishReason, RequestId, Snapshot};
