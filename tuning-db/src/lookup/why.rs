//! Why a variant was chosen, for programs and in a sentence.

use crate::device::{Browser, Device, Rung};
use crate::variant::Variant;
use std::collections::BTreeSet;
use std::fmt;

/// What a choice rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The device that measured; of several, the one that measured the chosen variant last.
    pub device: Device,
    /// Its browser.
    pub browser: Browser,
    /// By this engine on this machine, not from a file.
    pub measured_here: bool,
    /// Median time of the chosen variant there.
    pub time_ns: f64,
    /// Samples of the chosen variant.
    pub samples: usize,
    /// Variants that it was compared with, itself included.
    pub variants: usize,
    /// Devices and browsers that took part.
    pub places: usize,
}

/// What was not considered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// Records of kernels whose source has changed.
    pub stale: usize,
    /// Variants that this device or shape doesn't allow.
    pub not_permitted: BTreeSet<Variant>,
    /// Variants that gave a wrong answer.
    pub wrong: BTreeSet<Variant>,
    /// Variants that were refused, timed out or were never tried.
    pub failed: BTreeSet<Variant>,
    /// Variants that did not help end to end.
    pub reverted: BTreeSet<Variant>,
}

/// How an answer was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// The rung of the ladder.
    pub rung: Rung,
    /// What it rests on; `None` for the default.
    pub evidence: Option<Evidence>,
    /// What was not considered on the way.
    pub passed_over: PassedOver,
}

/// A time with three digits: `812 ns`, `4.25 us`.
pub fn time_in_words(ns: f64) -> String {
    let (value, unit) = match ns {
        _ if ns < 1e3 => (ns, "ns"),
        _ if ns < 1e6 => (ns / 1e3, "us"),
        _ if ns < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {unit}")
}

fn plural(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("one {one}") } else { format!("{count} {many}") }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.evidence {
            Some(evidence) => evidence.tell(self.rung, f)?,
            None => f.write_str("The built-in default: nothing usable was measured on a GPU like this one")?,
        }
        self.passed_over.tell(f)?;
        f.write_str(".")
    }
}

impl Evidence {
    fn tell(&self, rung: Rung, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The fastest of {}", plural(self.variants, "variant", "variants"))?;
        let (device, browser) = (self.device.name(), &self.browser);
        match (rung, self.measured_here) {
            (Rung::Exact, true) => f.write_str(" measured on this device in this browser"),
            (Rung::Exact, false) => f.write_str(" that a file has of this device and this browser"),
            (Rung::SameGpu, _) => write!(f, " measured on this GPU in another browser, {browser}"),
            (Rung::Architecture, _) => write!(f, " measured on the same architecture, on {device} in {browser}"),
            (Rung::Vendor | Rung::Default, _) => write!(f, " measured on the same vendor's {device} in {browser}"),
        }?;
        if self.places > 1 {
            write!(f, " and {}", plural(self.places - 1, "other place", "other places"))?;
        }
        write!(f, ": {}, the median of {}", time_in_words(self.time_ns), plural(self.samples, "sample", "samples"))
    }
}

impl PassedOver {
    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.stale, "record of a kernel that has changed", "records of kernels that have changed"),
            (
                self.not_permitted.len(),
                "variant that this device does not allow",
                "variants that this device does not allow",
            ),
            (self.wrong.len(), "variant with a wrong answer", "variants with wrong answers"),
            (self.failed.len(), "variant that failed", "variants that failed"),
            (self.reverted.len(), "variant that did not help end to end", "variants that did not help end to end"),
        ];
        let parts: Vec<_> =
            parts.iter().filter(|part| part.0 > 0).map(|(count, one, many)| plural(*count, one, many)).collect();
        if parts.is_empty() { Ok(()) } else { write!(f, "; passed over: {}", parts.join(", ")) }
    }
}
