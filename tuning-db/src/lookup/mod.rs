//! Which variant to use here, and why.
//!
//! The ladder, as in CLBlast: this device and browser, this GPU in another browser, its architecture, its vendor, the caller's
//! default. The first rung with an answer gives it. Three rules hold on every rung:
//!
//! - What has another source hash is another kernel: stale, never used.
//! - A variant that gave a wrong answer on a rung as near or nearer is out; so is one whose newest measurement failed, and one
//!   that the nearest trial took back.
//! - What was measured here goes before what others say: a file with made-up times can't push a measured winner aside.
//!
//! An answer that was not checked on this device says so ([`Answer::needs_check`]): the caller has it give the right answer
//! first, and keeps that as a record of its own, with or without samples.

mod evidence;
mod ranking;
mod why;

pub use why::{Evidence, PassedOver, Why, time_in_words};

use crate::database::{Database, Provenance};
use crate::device::{Browser, Device, Rung};
use crate::kernels::Kernels;
use crate::record::{Outcome, Record};
use crate::shape::Shape;
use crate::variant::Variant;
use evidence::Evidences;

/// What is asked.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// For what.
    pub shape: &'a Shape,
    /// The device here.
    pub device: &'a Device,
    /// The browser here.
    pub browser: &'a Browser,
    /// The kernels here.
    pub kernels: &'a Kernels,
    /// Whether this device and this shape allow a variant: its limits, its features.
    pub permits: &'a dyn Fn(&Variant) -> bool,
    /// What is used if nobody knows better.
    pub default: &'a Variant,
}

/// What to use.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The variant.
    pub variant: Variant,
    /// How it was found. Displays as a sentence.
    pub why: Why,
    /// It was never seen to give the right answer on this device in this browser: check it before use.
    pub needs_check: bool,
}

impl Database {
    /// Answers a query. The same database gives the same answer, in whatever order it was filled.
    pub fn look_up(&self, query: &Query<'_>) -> Answer {
        let evidences = Evidences::gather(self, query);
        let mut passed_over = PassedOver { stale: evidences.stale, ..PassedOver::default() };
        for rung in Rung::MEASURED {
            if let Some((variant, evidence)) = ranking::best(&evidences, rung, query, &mut passed_over) {
                let checked = variant == *query.default || self.is_checked(&variant, query);
                let why = Why { rung, evidence: Some(evidence), passed_over };
                return Answer { variant, why, needs_check: !checked };
            }
        }
        let why = Why { rung: Rung::Default, evidence: None, passed_over };
        Answer { variant: query.default.clone(), why, needs_check: false }
    }

    /// What was measured on this device in this browser with the kernels of today, ordered by name: what a tuner need not measure
    /// again, and what a page shows of its search.
    pub fn tried<'a>(&'a self, query: &'a Query<'a>) -> impl Iterator<Item = (&'a Record, Provenance)> {
        self.records_of(query.shape).filter(|(record, _)| {
            let there = (&record.device, &record.browser);
            query.kernels.is_current(&record.kernel, &record.source_hash)
                && Rung::between((query.device, query.browser), there) == Some(Rung::Exact)
        })
    }

    /// Whether a variant gave the right answer here, by our own measurement.
    fn is_checked(&self, variant: &Variant, query: &Query<'_>) -> bool {
        self.tried(query).any(|(record, provenance)| {
            provenance == Provenance::MeasuredHere && record.outcome == Outcome::Ok && record.variant() == *variant
        })
    }
}
