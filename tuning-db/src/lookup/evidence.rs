//! What the database knows that bears on a query: runs and trials by rung.

use super::Query;
use crate::database::{Database, Provenance};
use crate::device::Rung;
use crate::record::{Outcome, Record};
use crate::trial::Verdict;
use crate::variant::Variant;
use std::collections::{BTreeMap, BTreeSet};

/// One record, and how near it is.
pub(super) struct Run<'a> {
    pub(super) record: &'a Record,
    pub(super) rung: Rung,
    pub(super) here: bool,
}

/// One trial that put a variant in.
struct Tried {
    rung: Rung,
    here: bool,
    taken_at_ms: u64,
    verdict: Verdict,
}

/// Why a variant is out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Out {
    NotPermitted,
    Wrong,
    Failed,
    Reverted,
}

/// All that bears on one query.
pub(super) struct Evidences<'a> {
    /// By variant.
    pub(super) runs: BTreeMap<Variant, Vec<Run<'a>>>,
    trials: BTreeMap<&'a Variant, Vec<Tried>>,
    /// Records of this shape whose kernel is another one by now.
    pub(super) stale: usize,
}

impl<'a> Evidences<'a> {
    pub(super) fn gather(database: &'a Database, query: &Query<'_>) -> Self {
        let here = (query.device, query.browser);
        let mut evidences = Self { runs: BTreeMap::new(), trials: BTreeMap::new(), stale: 0 };
        for (record, provenance) in database.records_of(query.shape) {
            let Some(rung) = Rung::between(here, (&record.device, &record.browser)) else { continue };
            if !query.kernels.is_current(&record.kernel, &record.source_hash) {
                evidences.stale += 1;
                continue;
            }
            let run = Run { record, rung, here: provenance == Provenance::MeasuredHere };
            evidences.runs.entry(record.variant()).or_default().push(run);
        }
        for (trial, provenance) in database.trials() {
            let Some(rung) = Rung::between(here, (&trial.device, &trial.browser)) else { continue };
            for change in &trial.changes {
                if change.shape == *query.shape && query.kernels.is_current(&change.to.kernel, &change.source_hash) {
                    evidences.trials.entry(&change.to).or_default().push(Tried {
                        rung,
                        here: provenance == Provenance::MeasuredHere,
                        taken_at_ms: trial.taken_at_ms,
                        verdict: trial.verdict,
                    });
                }
            }
        }
        evidences
    }

    /// Why a variant is out on a rung, if it is.
    pub(super) fn out(&self, variant: &Variant, rung: Rung, query: &Query<'_>) -> Option<Out> {
        if !(query.permits)(variant) {
            return Some(Out::NotPermitted);
        }
        let runs = self.runs.get(variant).map_or(&[][..], Vec::as_slice);
        // Our own runs on this very device say all there is to say.
        let checked_here = runs.iter().any(|run| run.here && run.rung == Rung::Exact);
        let counts = |run: &&Run<'_>| run.rung <= rung && (!checked_here || run.here && run.rung == Rung::Exact);
        if runs.iter().filter(counts).any(|run| run.record.outcome == Outcome::Wrong) {
            return Some(Out::Wrong);
        }
        let nearest = runs.iter().filter(counts).map(|run| run.rung).min()?;
        let newest = runs
            .iter()
            .filter(counts)
            .filter(|run| run.rung == nearest)
            // Of two at one moment, the one that failed.
            .max_by_key(|run| (run.record.taken_at_ms, run.record.outcome != Outcome::Ok))?;
        if newest.record.outcome != Outcome::Ok {
            return Some(Out::Failed);
        }
        self.is_reverted(variant, rung).then_some(Out::Reverted)
    }

    /// What the nearest trial that bears on `rung` says; our own before others', the newest of those.
    fn is_reverted(&self, variant: &Variant, rung: Rung) -> bool {
        let trials = self.trials.get(variant).into_iter().flatten().filter(|trial| trial.rung <= rung);
        let order = |trial: &&Tried| (trial.rung, !trial.here, u64::MAX - trial.taken_at_ms, trial.verdict);
        // Of two at one moment, `Kept` comes first: nothing is dropped for a clock's sake.
        trials.min_by_key(order).is_some_and(|trial| trial.verdict == Verdict::Reverted)
    }

    /// Whether anything was measured on a rung by ourselves.
    pub(super) fn any_here(&self, rung: Rung, variants: &BTreeSet<&Variant>) -> bool {
        let runs = variants.iter().filter_map(|variant| self.runs.get(*variant)).flatten();
        runs.into_iter().any(|run| run.rung == rung && run.here && run.record.time_ns().is_some())
    }
}
