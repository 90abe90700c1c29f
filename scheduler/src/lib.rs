//! Requests in, step plans out: continuous batching of many clients' requests over paged KV blocks.
//!
//! The crate is sans-IO. Everything that happens to it is an [`Event`], everything it wants done is a [`Command`], and
//! [`Scheduler::handle`] turns one into the other without clock, thread, random number or device:
//!
//! ```
//! use tilewright_plan::{Capacity, TokenId};
//! use tilewright_scheduler::{ClientId, Command, Config, Event, Millis, RequestId, RequestSpec, Scheduler};
//!
//! let mut scheduler = Scheduler::new(Config::default());
//! let capacity = Capacity { blocks: 8, block_size: 16, max_rows: 64, max_chunks: 8, max_context: 128, vocabulary: 100, depth: 1 };
//! scheduler.handle(Event::ExecutorReady { epoch: 0, capacity }, Millis(0));
//! let spec = RequestSpec::new(vec![TokenId(5), TokenId(7)], 10);
//! let commands = scheduler.handle(Event::Submit { client: ClientId(1), request: RequestId(1), spec }, Millis(1));
//! let [Command::RunStep { plan, .. }] = &commands[..] else { panic!("one step, with both rows of the prompt") };
//! assert_eq!(plan.rows(), 2);
//! ```
//!
//! All collections are ordered, so the same script of events gives the same commands, on every machine.
//!
//! - [`events`], [`commands`]: the seam
//! - [`config`]: what can be set
//! - [`scheduler`]: the state, one handler per event, and the pump that keeps the executor busy
//! - `admission`: in, or not, and why
//! - `planner`: one step plan, out of decode rows, prompt chunks and admissions
//! - `policy`: who goes first, who gives way
//! - `results`: what becomes of a step
//! - `capacity`: the executor comes, goes, shrinks and grows
//! - `clients`: who is there, what their users look at, what each has had
//! - `sequence`: one request's tokens, block table and progress
//! - `step_times`: how long a step will take
//! - [`block_pool`], `free_list`, [`prefix`]: who holds which KV block, and which beginnings are still there
//! - [`records`]: what is kept of steps that are done
//! - [`snapshot`]: the whole state as plain data, for people and tests

#![forbid(unsafe_code)]

mod admission;
pub mod block_pool;
mod capacity;
mod clients;
pub mod commands;
pub mod config;
pub mod events;
mod free_list;
mod planner;
mod policy;
pub mod prefix;
pub mod records;
mod results;
pub mod scheduler;
mod sequence;
pub mod snapshot;
mod step_times;

pub use block_pool::BlockPool;
pub use commands::{Command, FinishReason, QueueScope, RejectReason};
pub use config::Config;
pub use events::{ClientId, Event, Micros, Millis, Priority, RequestId, RequestSpec, StepFailure};
pub use records::{ClientRows, StepRecord};
pub use scheduler::Scheduler;
pub use snapshot::{BlockState, ClientSnapshot, Parked, SequenceSnapshot, Snapshot};
