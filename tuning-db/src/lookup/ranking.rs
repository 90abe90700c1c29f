//! The best variant of a rung.
//!
//! A variant's time on one device and browser is the median of its runs' medians. Times of two devices are not comparable, so
//! where a rung has several, each gives every variant its time relative to the best one there, and the geometric mean over the
//! devices decides, as in CLBlast's defaults. A device that did not measure a variant counts as [`UNMEASURED`]. Equals are
//! decided by the order of variants, so that every machine decides alike.

use super::evidence::{Evidences, Out};
use super::why::{Evidence, PassedOver};
use super::{Query, Rung};
use crate::device::{Browser, Device};
use crate::statistics::median;
use crate::variant::Variant;
use std::collections::{BTreeMap, BTreeSet};

/// Where a tuner gives a candidate up after the first round, and therefore the least that an unmeasured one may be behind.
const UNMEASURED: f64 = 1.5;

/// The best permitted variant of `rung` and what speaks for it. What was left out is added to `passed_over`.
pub(super) fn best(
    evidences: &Evidences<'_>,
    rung: Rung,
    query: &Query<'_>,
    passed_over: &mut PassedOver,
) -> Option<(Variant, Evidence)> {
    let mut variants = BTreeSet::new();
    for (variant, runs) in &evidences.runs {
        if !runs.iter().any(|run| run.rung == rung) {
            continue;
        }
        match evidences.out(variant, rung, query) {
            Some(out) => passed_over.note(variant, out),
            None => _ = variants.insert(variant),
        }
    }
    let here = evidences.any_here(rung, &variants);
    // Medians of runs, by device and browser, then by variant.
    let mut places: BTreeMap<(&Device, &Browser), BTreeMap<&Variant, Vec<f64>>> = BTreeMap::new();
    for &variant in &variants {
        for run in evidences.runs[variant].iter().filter(|run| run.rung == rung && (run.here || !here)) {
            if let Some(time) = run.record.time_ns() {
                let place = (&run.record.device, &run.record.browser);
                places.entry(place).or_default().entry(variant).or_default().push(time);
            }
        }
    }
    let mut log_score: BTreeMap<&Variant, f64> = BTreeMap::new();
    let measured: BTreeSet<&Variant> = places.values().flat_map(BTreeMap::keys).copied().collect();
    for times in places.values() {
        let times: BTreeMap<&Variant, f64> =
            times.iter().filter_map(|(variant, runs)| Some((*variant, median(runs)?))).collect();
        let fastest = times.values().copied().min_by(f64::total_cmp)?;
        for &variant in &measured {
            let ratio = times.get(variant).map_or(UNMEASURED, |time| time / fastest);
            *log_score.entry(variant).or_default() += ratio.ln();
        }
    }
    let compare = |a: &(&&Variant, &f64), b: &(&&Variant, &f64)| a.1.total_cmp(b.1).then(a.0.cmp(b.0));
    let winner = *log_score.iter().min_by(compare)?.0;

    let runs = evidences.runs[winner].iter().filter(|run| run.rung == rung && (run.here || !here));
    let runs: Vec<_> = runs.filter(|run| run.record.time_ns().is_some()).collect();
    // The device to name: the newest run's.
    let named = runs.iter().max_by_key(|run| (run.record.taken_at_ms, &run.record.device, &run.record.browser))?;
    let same_place = |run: &&&super::evidence::Run<'_>| {
        run.record.device == named.record.device && run.record.browser == named.record.browser
    };
    let times: Vec<f64> = runs.iter().filter(same_place).filter_map(|run| run.record.time_ns()).collect();
    let evidence = Evidence {
        device: named.record.device.clone(),
        browser: named.record.browser.clone(),
        measured_here: here,
        time_ns: median(&times)?,
        samples: runs.iter().map(|run| run.record.samples_ns.len()).sum(),
        variants: measured.len(),
        places: places.len(),
    };
    Some((winner.clone(), evidence))
}

impl PassedOver {
    fn note(&mut self, variant: &Variant, out: Out) {
        let variants = match out {
            Out::NotPermitted => &mut self.not_permitted,
            Out::Wrong => &mut self.wrong,
            Out::Failed => &mut self.failed,
            Out::Reverted => &mut self.reverted,
        };
        variants.insert(variant.clone());
    }
}
