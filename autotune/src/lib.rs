//! Finds the fastest kernel variants of this device.
//!
//! - [`space`]: which variants there are of an operation, within a device's limits
//! - [`ops`]: which operations a model's steps are made of
//! - [`check`]: whether a device's products are right, whatever a model needs
//! - [`race`]: candidates against each other: the right answer first, then time
#![forbid(unsafe_code)]

pub mod check;
pub mod ops;
pub mod race;
pub mod space;

pub use race::{Entry, Outcome, RaceOptions, race};
