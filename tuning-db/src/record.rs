//! One measurement of one variant: everything about it, by value.
//!
//! A record is a fact and never changes. Measured again, there is another one: so merging two databases is the union of
//! their facts, and nothing that either knew is lost. Every candidate's record is kept, not only the winner's: a later
//! engine, or a person, may rank them otherwise.

use crate::device::{Browser, Device};
use crate::object::{object, optional};
use crate::shape::{Dtypes, Shape};
use crate::statistics::median;
use crate::variant::{ParameterValue, Variant, map_without_doubles};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Version of the format that this crate writes. It grows when an older reader would misunderstand what is written; a field
/// more is no such thing.
pub const SCHEMA: u32 = 1;

/// What came of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Computed the right answer.
    Ok,
    /// Computed another answer than its twin.
    Wrong,
    /// The device or its compiler refused it.
    Refused,
    /// Took too long and was given up.
    Timeout,
    /// Never tried: the device's limits forbid it.
    Constraint,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Constraint => "constraint",
        })
    }
}

/// What the time was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Timestamps that the GPU writes.
    Timestamp,
    /// Wall time from submission to completion.
    Wall,
    /// None: only the answer was checked, or not even that.
    #[default]
    None,
}

/// How it was timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Method {
    /// What the time was read from.
    pub clock: Clock,
    /// A sample is the slope between R and 2 R dispatches, so that what a submission costs is not in it.
    pub slope: bool,
    /// R: dispatches of the shorter run.
    pub repetitions: u32,
    /// Weights changed from dispatch to dispatch, so that no cache held them.
    pub cold_weights: bool,
    /// Candidates took turns, so that a GPU that heats up slows all of them.
    pub interleaved: bool,
}

/// How far the answer was from the twin's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TwinError {
    /// Largest absolute difference; `null` if not a finite number.
    pub absolute: Option<f64>,
    /// Largest difference relative to the twin's value; `null` if not a finite number.
    pub relative: Option<f64>,
    /// What was allowed, in the unit of the one that was compared.
    pub tolerance: f64,
}

impl TwinError {
    /// Differences as they were computed: an infinite one, or none at all, becomes `None`.
    pub fn new(absolute: f64, relative: f64, tolerance: f64) -> Self {
        let finite = |value: f64| value.is_finite().then_some(value);
        Self { absolute: finite(absolute), relative: finite(relative), tolerance }
    }
}

/// One measurement of one variant on one shape, device and browser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`] when it was written.
    pub schema: u32,
    /// Version of the engine that measured.
    #[serde(default)]
    pub engine: String,
    /// Name of the kernel.
    pub kernel: String,
    /// Hash of the kernel's source: with another source it is another kernel, and this record says nothing about it.
    pub source_hash: String,
    /// What it was built from.
    #[serde(default, deserialize_with = "map_without_doubles")]
    pub parameters: BTreeMap<String, ParameterValue>,
    /// What it was measured on.
    #[serde(deserialize_with = "object")]
    pub shape: Shape,
    /// Number formats of the operands.
    #[serde(default, deserialize_with = "object")]
    pub dtypes: Dtypes,
    /// Where it was measured.
    #[serde(default, deserialize_with = "object")]
    pub device: Device,
    /// What ran it there.
    #[serde(default, deserialize_with = "object")]
    pub browser: Browser,
    /// How it was timed.
    #[serde(default, deserialize_with = "object")]
    pub method: Method,
    /// Smallest step of the clock.
    #[serde(default)]
    pub timer_quantum_ns: f64,
    /// Every sample in the order taken: time of one dispatch.
    #[serde(default)]
    pub samples_ns: Vec<f64>,
    /// How far it was from its twin; `None` if it never answered.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub error: Option<TwinError>,
    /// What came of it.
    pub outcome: Outcome,
    /// Whatever was said about the outcome: the compiler's message, the limit in the way.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When: milliseconds since 1970.
    pub taken_at_ms: u64,
}

impl Record {
    /// A record without samples that says that `variant` came to `outcome`; the caller fills in the rest.
    pub fn new(variant: Variant, source_hash: String, shape: Shape, outcome: Outcome, taken_at_ms: u64) -> Self {
        Self {
            schema: SCHEMA,
            engine: String::new(),
            kernel: variant.kernel,
            source_hash,
            parameters: variant.parameters,
            shape,
            dtypes: Dtypes::default(),
            device: Device::default(),
            browser: Browser::default(),
            method: Method::default(),
            timer_quantum_ns: 0.0,
            samples_ns: Vec::new(),
            error: None,
            outcome,
            note: String::new(),
            taken_at_ms,
        }
    }

    /// What was measured.
    pub fn variant(&self) -> Variant {
        Variant { kernel: self.kernel.clone(), parameters: self.parameters.clone() }
    }

    /// What counts of the samples: their median, if the answer was right.
    pub fn time_ns(&self) -> Option<f64> {
        if self.outcome == Outcome::Ok { median(&self.samples_ns) } else { None }
    }
}
