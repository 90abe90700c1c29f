//! Where something was measured, and how near that is to here.
//!
//! Browsers hide what would tell one user from another: Chromium leaves `device` and `description` empty, Firefox all four
//! names. So a device is everything that an adapter says, limits and features included, and two are the same GPU if all of it
//! is equal, or if they say the same name. An empty name is never equal to anything.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What an adapter says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// `nvidia`, `apple`; empty if hidden.
    pub vendor: String,
    /// `hopper`, `common-3`; empty if hidden.
    pub architecture: String,
    /// The vendor's id of the device; most often hidden.
    pub device: String,
    /// In words: `NVIDIA H100 80GB HBM3`; most often hidden.
    pub description: String,
    /// Fewest invocations of a subgroup; 0 if unknown.
    pub subgroup_min: u32,
    /// Most invocations of a subgroup; 0 if unknown.
    pub subgroup_max: u32,
    /// WebGPU features that it offers.
    pub features: BTreeSet<String>,
    /// A hash of its limits: two drivers of one GPU may allow different kernels.
    pub limits_digest: String,
}

/// What runs the kernels on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Browser {
    /// `Chromium`, `Firefox`; `native` for the program in a terminal.
    pub name: String,
    /// Its major version, which decides what compiles the kernels.
    pub version: String,
    /// The operating system.
    pub os: String,
}

/// The ladder of a look-up, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// This device in this browser.
    Exact,
    /// This GPU in another browser, or another version of it.
    SameGpu,
    /// A GPU of the same architecture.
    Architecture,
    /// A GPU of the same vendor.
    Vendor,
    /// Nobody measured: the caller's own choice.
    Default,
}

impl Rung {
    /// The rungs on which something was measured.
    pub const MEASURED: [Self; 4] = [Self::Exact, Self::SameGpu, Self::Architecture, Self::Vendor];

    /// How near a measurement on `there` is to us, `here`; `None`: it says nothing about us.
    pub fn between(here: (&Device, &Browser), there: (&Device, &Browser)) -> Option<Self> {
        let (device, other) = (here.0, there.0);
        let says = |a: &str, b: &str| !a.is_empty() && a.eq_ignore_ascii_case(b);
        let vendor = says(&device.vendor, &other.vendor);
        let architecture = vendor && says(&device.architecture, &other.architecture);
        let named = vendor
            && device.architecture.eq_ignore_ascii_case(&other.architecture)
            && (says(&device.device, &other.device) || says(&device.description, &other.description))
            && device.device == other.device
            && device.description == other.description;
        if device == other && here.1 == there.1 {
            Some(Self::Exact)
        } else if device == other && !device.vendor.is_empty() || named {
            Some(Self::SameGpu)
        } else if architecture {
            Some(Self::Architecture)
        } else {
            vendor.then_some(Self::Vendor)
        }
    }
}

impl Device {
    /// What to call it: its description, or as much as it says.
    pub fn name(&self) -> String {
        let words = [&self.vendor, &self.architecture, &self.device];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).map(String::as_str).collect();
        match (self.description.as_str(), words.is_empty()) {
            ("", true) => "a GPU that hides its name".to_owned(),
            ("", false) => words.join(" "),
            (description, _) => description.to_owned(),
        }
    }
}

impl fmt::Display for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "an unknown browser" } else { &self.name };
        f.write_str(name)?;
        if !self.version.is_empty() {
            write!(f, " {}", self.version)?;
        }
        if !self.os.is_empty() {
            write!(f, " on {}", self.os)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(vendor: &str, architecture: &str, description: &str) -> Device {
        let words = [vendor, architecture, description].map(str::to_owned);
        let [vendor, architecture, description] = words;
        Device { vendor, architecture, description, ..Device::default() }
    }

    fn browser(name: &str, version: &str) -> Browser {
        Browser { name: name.to_owned(), version: version.to_owned(), os: "Linux".to_owned() }
    }

    #[test]
    fn the_nearest_rung_that_holds_is_taken() {
        let (here, chromium) = (device("nvidia", "hopper", "H100"), browser("Chromium", "156"));
        let rung = |device: &Device, browser: &Browser| Rung::between((&here, &chromium), (device, browser));
        assert_eq!(rung(&here, &chromium), Some(Rung::Exact));
        assert_eq!(rung(&here, &browser("Chromium", "157")), Some(Rung::SameGpu));
        let fewer_features = Device { limits_digest: "other".to_owned(), ..here.clone() };
        assert_eq!(rung(&fewer_features, &chromium), Some(Rung::SameGpu));
        assert_eq!(rung(&device("NVIDIA", "Hopper", "H200"), &chromium), Some(Rung::Architecture));
        assert_eq!(rung(&device("nvidia", "ampere", "A100"), &chromium), Some(Rung::Vendor));
        assert_eq!(rung(&device("amd", "rdna-3", ""), &chromium), None);
    }

    #[test]
    fn a_hidden_name_is_nobodys_but_its_own_browsers() {
        let (hidden, firefox) = (Device::default(), browser("Firefox", "153"));
        assert_eq!(Rung::between((&hidden, &firefox), (&hidden, &firefox)), Some(Rung::Exact));
        assert_eq!(Rung::between((&hidden, &firefox), (&hidden, &browser("Chromium", "156"))), None);
        // Chromium's adapters say vendor and architecture; with other limits it may be another GPU of the kind.
        let masked = device("nvidia", "hopper", "");
        let other = Device { limits_digest: "other".to_owned(), ..masked.clone() };
        assert_eq!(Rung::between((&masked, &firefox), (&other, &firefox)), Some(Rung::Architecture));
    }
}
