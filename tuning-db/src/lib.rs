//! The tuning database: what was measured of the kernels, on which device, and what follows for this one.
//!
//! It is pure: no GPU, no JS, no clock (times are passed in), no threads. It knows no kernel either: names, parameters and shapes
//! are data by value, so that it lies below the engine and what it keeps outlives it.
//!
//! - [`record`], [`trial`]: one measurement of one variant; tokens/s of a model before and after
//! - [`variant`], [`shape`], [`device`], [`kernels`]: what those are made of
//! - [`fault`]: the bounds of the format
//! - [`id`], [`database`]: names of records, and the union of them
//! - [`lookup`]: which variant to use here, and why
//! - [`exchange`], [`import`]: one JSON file out, and in again
//! - [`store`], [`keeper`]: where records stay: memory, a file, a browser's database
//! - [`builtin`]: records that come with the package
//! - [`winners`]: what a database would choose on each device, and how two differ
//! - [`statistics`]: the middle of samples, and how far they spread

#![forbid(unsafe_code)]

pub mod builtin;
pub mod database;
pub mod device;
pub mod exchange;
pub mod fault;
pub mod id;
pub mod import;
pub mod keeper;
pub mod kernels;
pub mod lookup;
mod object;
pub mod record;
pub mod shape;
pub mod statistics;
pub mod store;
pub mod trial;
pub mod variant;
pub mod winners;

pub use database::{Database, Entry, Inserted, Item, Provenance};
pub use device::{Browser, Device, Rung};
pub use id::RecordId;
pub use import::{ImportError, ImportReport, ImportRules, Limits, SkipReason};
pub use keeper::Keeper;
pub use kernels::Kernels;
pub use lookup::{Answer, Query, Why};
pub use record::{Clock, Method, Outcome, Record, SCHEMA, TwinError};
pub use shape::{Dtypes, Shape, bucket};
pub use store::{Store, StoreError};
pub use trial::{Change, Speeds, Trial, Verdict};
pub use variant::{ParameterValue, Variant};
