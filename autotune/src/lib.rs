//! Finds the fastest kernel variants of this device, and sees to it that they are used.
//!
//! - [`space`]: which variants there are of an operation, within a device's limits
//! - [`race`]: candidates against each other: the right answer first, then time
//! - [`search`]: a good variant without trying all of them
//! - [`records`]: what the tuning database is told of them
//! - [`plan`]: which operations to tune, largest share of a step first
//! - [`tuner`]: all of it for a loaded model, between its steps; [`end_to_end`]: whether it helped
//! - [`status`]: what people are shown of it
//! - [`host`]: clocks, and the tuner's turn on the device
//! - [`check`]: a selection of all products against their twins
#![forbid(unsafe_code)]

pub mod check;
pub mod end_to_end;
pub mod host;
mod known;
pub mod plan;
pub mod race;
pub mod records;
pub mod search;
pub mod space;
pub mod status;
pub mod tuner;

pub use host::Host;
pub use race::{Entry, Outcome, Race, RaceOptions};
pub use records::Place;
pub use status::Status;
pub use tuner::{Options, Tuner};
