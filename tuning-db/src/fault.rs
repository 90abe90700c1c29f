//! What no record may say, whoever wrote it: the bounds of the format.
//!
//! The same check guards what is measured here and what is imported. Texts without control characters can be printed to a
//! terminal, numbers are finite and come back from JSON as they were, and nothing is so long that a table could not show it.

use crate::device::{Browser, Device};
use crate::record::{Clock, Outcome, Record, SCHEMA};
use crate::shape::Shape;
use crate::trial::{Speeds, Trial};
use crate::variant::{ParameterValue, Variant};
use thiserror::Error;

/// Longest name, in bytes.
pub const NAME_BYTES: usize = 128;
/// Longest description or note, in bytes.
pub const TEXT_BYTES: usize = 2048;
/// Most samples of a record.
pub const MOST_SAMPLES: usize = 4096;
/// Most parameters, extents, features, or changes of a record.
pub const MOST_ITEMS: usize = 256;
/// Longest time: a thousand seconds.
pub const LONGEST_NS: f64 = 1e12;
/// Latest time: the last one that JavaScript has, in the year 275760.
pub const LATEST_MS: u64 = 8_640_000_000_000_000;

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// From a later version of the format.
    #[error("it is of schema {schema}, and this version reads up to {SCHEMA}: update to use it")]
    NewerSchema {
        /// Its version.
        schema: u32,
    },
    /// A name that has to be there.
    #[error("{field} is empty")]
    Empty {
        /// Which.
        field: &'static str,
    },
    /// A text that nobody would write.
    #[error("{field} is {bytes} bytes long; at most {most} are allowed")]
    TooLong {
        /// Which.
        field: &'static str,
        /// How long.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// A text with control characters.
    #[error("{field} has control characters")]
    ControlCharacters {
        /// Which.
        field: &'static str,
    },
    /// A list that nobody would write.
    #[error("{field} has {count} entries; at most {most} are allowed")]
    TooMany {
        /// Which.
        field: &'static str,
        /// How many.
        count: usize,
        /// How many are allowed.
        most: usize,
    },
    /// A number that can't be.
    #[error("{field} can't be {value}")]
    Number {
        /// Which.
        field: &'static str,
        /// What it is.
        value: String,
    },
    /// Two fields that contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
}

type Checked = Result<(), Fault>;

fn text(field: &'static str, text: &str, most: usize) -> Checked {
    if text.len() > most {
        return Err(Fault::TooLong { field, bytes: text.len(), most });
    }
    if text.chars().any(char::is_control) {
        return Err(Fault::ControlCharacters { field });
    }
    Ok(())
}

fn name(field: &'static str, name: &str) -> Checked {
    if name.is_empty() {
        return Err(Fault::Empty { field });
    }
    text(field, name, NAME_BYTES)
}

fn count(field: &'static str, count: usize, most: usize) -> Checked {
    if count > most { Err(Fault::TooMany { field, count, most }) } else { Ok(()) }
}

fn number(field: &'static str, value: f64, possible: bool) -> Checked {
    if possible { Ok(()) } else { Err(Fault::Number { field, value: value.to_string() }) }
}

fn time(taken_at_ms: u64) -> Checked {
    number("taken_at_ms", taken_at_ms as f64, taken_at_ms <= LATEST_MS)
}

fn schema(schema: u32) -> Checked {
    match schema {
        0 => Err(Fault::Number { field: "schema", value: "0".to_owned() }),
        1..=SCHEMA => Ok(()),
        _ => Err(Fault::NewerSchema { schema }),
    }
}

fn variant(variant: &Variant) -> Checked {
    name("kernel", &variant.kernel)?;
    count("parameters", variant.parameters.len(), MOST_ITEMS)?;
    for (parameter, value) in &variant.parameters {
        name("a parameter's name", parameter)?;
        if parameter == "kernel" {
            return Err(Fault::Contradiction("a parameter is called \"kernel\""));
        }
        if let ParameterValue::Word(word) = value {
            text("a parameter", word, NAME_BYTES)?;
        }
    }
    Ok(())
}

fn shape(shape: &Shape) -> Checked {
    name("op", &shape.op)?;
    text("quantization", &shape.quantization, NAME_BYTES)?;
    text("dtype", &shape.dtype, NAME_BYTES)?;
    number("m", f64::from(shape.m), shape.m.is_power_of_two())?;
    count("extents", shape.extents.len(), MOST_ITEMS)?;
    shape.extents.keys().try_for_each(|extent| name("an extent's name", extent))
}

fn place(device: &Device, browser: &Browser) -> Checked {
    text("vendor", &device.vendor, NAME_BYTES)?;
    text("architecture", &device.architecture, NAME_BYTES)?;
    text("device", &device.device, NAME_BYTES)?;
    text("description", &device.description, TEXT_BYTES)?;
    text("limits_digest", &device.limits_digest, NAME_BYTES)?;
    count("features", device.features.len(), MOST_ITEMS)?;
    device.features.iter().try_for_each(|feature| name("a feature", feature))?;
    if device.subgroup_min > device.subgroup_max {
        return Err(Fault::Contradiction("the smallest subgroup is larger than the largest"));
    }
    text("the browser's name", &browser.name, NAME_BYTES)?;
    text("the browser's version", &browser.version, NAME_BYTES)?;
    text("os", &browser.os, NAME_BYTES)
}

fn speeds(speeds: &Speeds) -> Checked {
    for (field, samples) in
        [("before_tokens_per_s", &speeds.before_tokens_per_s), ("after_tokens_per_s", &speeds.after_tokens_per_s)]
    {
        count(field, samples.len(), MOST_SAMPLES)?;
        if samples.is_empty() {
            return Err(Fault::Empty { field });
        }
        samples.iter().try_for_each(|&speed| number(field, speed, speed > 0.0 && speed <= 1e12))?;
    }
    Ok(())
}

impl Record {
    /// Says whether the format allows it.
    pub fn check(&self) -> Result<(), Fault> {
        schema(self.schema)?;
        text("engine", &self.engine, NAME_BYTES)?;
        name("source_hash", &self.source_hash)?;
        variant(&self.variant())?;
        shape(&self.shape)?;
        for dtype in [&self.dtypes.input, &self.dtypes.weights, &self.dtypes.accumulate, &self.dtypes.output] {
            text("a dtype", dtype, NAME_BYTES)?;
        }
        place(&self.device, &self.browser)?;
        let quantum = self.timer_quantum_ns;
        number("timer_quantum_ns", quantum, (0.0..=LONGEST_NS).contains(&quantum))?;
        count("samples_ns", self.samples_ns.len(), MOST_SAMPLES)?;
        self.samples_ns.iter().try_for_each(|&ns| number("a sample", ns, ns > 0.0 && ns <= LONGEST_NS))?;
        if self.method.clock == Clock::None && !self.samples_ns.is_empty() {
            return Err(Fault::Contradiction("there are samples, and no clock that they were read from"));
        }
        if self.outcome == Outcome::Constraint && !self.samples_ns.is_empty() {
            return Err(Fault::Contradiction("there are samples of what was never tried"));
        }
        if let Some(error) = self.error {
            for value in [error.absolute, error.relative, Some(error.tolerance)].into_iter().flatten() {
                number("an error", value, value.is_finite() && value >= 0.0)?;
            }
        }
        text("note", &self.note, TEXT_BYTES)?;
        time(self.taken_at_ms)
    }
}

impl Trial {
    /// Says whether the format allows it.
    pub fn check(&self) -> Result<(), Fault> {
        schema(self.schema)?;
        text("engine", &self.engine, NAME_BYTES)?;
        name("model", &self.model)?;
        place(&self.device, &self.browser)?;
        count("changes", self.changes.len(), MOST_ITEMS)?;
        for change in &self.changes {
            shape(&change.shape)?;
            variant(&change.from)?;
            variant(&change.to)?;
            name("source_hash", &change.source_hash)?;
        }
        [&self.decode, &self.prefill].into_iter().flatten().try_for_each(speeds)?;
        if self.decode.is_none() && self.prefill.is_none() {
            return Err(Fault::Contradiction("a trial without any run"));
        }
        time(self.taken_at_ms)
    }
}

/// What can be printed of a text that others wrote: its beginning, without control characters.
pub fn printable(text: &str, most_chars: usize) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(most_chars).collect();
    if text.chars().nth(most_chars).is_some() {
        shown.push_str("...");
    }
    shown
}
