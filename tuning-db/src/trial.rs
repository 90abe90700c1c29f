//! What tuning did to a whole model: tokens/s before and after, in one run.
//!
//! A kernel that is faster alone may be slower in a step: it may leave less of a cache to its neighbour, or heat the GPU up.
//! So the winners of a tuning are tried together or one by one, before and after by turns, and a trial says which choices it
//! changed and whether they stay. The look-up passes over a choice that the nearest trial took back.

use crate::device::{Browser, Device};
use crate::object::{list, object, optional};
use crate::shape::Shape;
use crate::statistics::{median, spread};
use crate::variant::Variant;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What became of the tried choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They help, and stay.
    Kept,
    /// They don't, and what was there before is back.
    Reverted,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Reverted => "reverted",
        })
    }
}

/// Tokens/s of one phase in alternating runs, each a sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Speeds {
    /// Tokens of one run: the prompt's, or decoded ones.
    pub tokens: u32,
    /// Sequences at once.
    pub sequences: u32,
    /// Before the change.
    pub before_tokens_per_s: Vec<f64>,
    /// After it.
    pub after_tokens_per_s: Vec<f64>,
}

impl Speeds {
    /// Median after by median before: above 1 is faster. `None` if a side has no sample.
    pub fn gain(&self) -> Option<f64> {
        Some(median(&self.after_tokens_per_s)? / median(&self.before_tokens_per_s)?)
    }

    /// How far [`gain`](Self::gain) may be from 1 by chance: two standard errors of either median, added as independent errors
    /// are, and at least 1 %.
    pub fn noise(&self) -> f64 {
        let error = |samples: &[f64]| -> f64 {
            let (Some(spread), Some(middle)) = (spread(samples), median(samples)) else { return 0.0 };
            // A median's standard error is 1.2533 times that of the mean.
            1.2533 * spread / middle / (samples.len() as f64).sqrt()
        };
        (2.0 * error(&self.before_tokens_per_s).hypot(error(&self.after_tokens_per_s))).max(0.01)
    }
}

/// One choice that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// For what.
    #[serde(deserialize_with = "object")]
    pub shape: Shape,
    /// Used before.
    #[serde(deserialize_with = "object")]
    pub from: Variant,
    /// Used after.
    #[serde(deserialize_with = "object")]
    pub to: Variant,
    /// Hash of the source of the kernel of `to`.
    pub source_hash: String,
}

/// Tokens/s of a model before and after a change of choices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// [`SCHEMA`](crate::record::SCHEMA) when it was written.
    pub schema: u32,
    /// Version of the engine.
    #[serde(default)]
    pub engine: String,
    /// The model, or the name of its shape.
    pub model: String,
    /// Where.
    #[serde(default, deserialize_with = "object")]
    pub device: Device,
    /// What ran it there.
    #[serde(default, deserialize_with = "object")]
    pub browser: Browser,
    /// What was changed.
    #[serde(deserialize_with = "list")]
    pub changes: Vec<Change>,
    /// Decoding; `None` if it was not run.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub decode: Option<Speeds>,
    /// Reading a prompt; `None` if it was not run.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub prefill: Option<Speeds>,
    /// What became of it.
    pub verdict: Verdict,
    /// When: milliseconds since 1970.
    pub taken_at_ms: u64,
}

impl Trial {
    /// The rule: kept if no phase is slower beyond its noise, and one is faster beyond it.
    pub fn judge(decode: Option<&Speeds>, prefill: Option<&Speeds>) -> Verdict {
        let mut helps = false;
        for speeds in [decode, prefill].into_iter().flatten() {
            let (Some(gain), noise) = (speeds.gain(), speeds.noise()) else { continue };
            if gain < 1.0 - noise {
                return Verdict::Reverted;
            }
            helps |= gain > 1.0 + noise;
        }
        if helps { Verdict::Kept } else { Verdict::Reverted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speeds(before: &[f64], after: &[f64]) -> Speeds {
        let (before_tokens_per_s, after_tokens_per_s) = (before.to_vec(), after.to_vec());
        Speeds { tokens: 128, sequences: 1, before_tokens_per_s, after_tokens_per_s }
    }

    #[test]
    fn a_change_stays_only_if_it_helps_one_phase_and_hurts_none() {
        let faster = speeds(&[100.0, 101.0, 99.0], &[120.0, 121.0, 119.0]);
        let equal = speeds(&[100.0, 101.0, 99.0], &[100.5, 101.5, 99.5]);
        let slower = speeds(&[100.0, 101.0, 99.0], &[90.0, 91.0, 89.0]);
        assert_eq!(Trial::judge(Some(&faster), Some(&equal)), Verdict::Kept);
        assert_eq!(Trial::judge(Some(&equal), Some(&equal)), Verdict::Reverted);
        assert_eq!(Trial::judge(Some(&faster), Some(&slower)), Verdict::Reverted);
        assert_eq!(Trial::judge(Some(&faster), None), Verdict::Kept);
        assert_eq!(Trial::judge(None, None), Verdict::Reverted);
    }

    #[test]
    fn five_percent_is_a_gain_only_where_runs_differ_by_less() {
        let steady = speeds(&[100.0, 100.2, 99.8], &[105.0, 105.2, 104.8]);
        let restless = speeds(&[100.0, 120.0, 80.0], &[105.0, 125.0, 85.0]);
        assert_eq!(Trial::judge(Some(&steady), None), Verdict::Kept);
        assert_eq!(Trial::judge(Some(&restless), None), Verdict::Reverted);
    }
}
