//! What a database says is fastest on each device and shape, and how two databases differ in that.
//!
//! This knows no kernels of today: of each kernel it takes the source that was measured last on the device.

use crate::database::Database;
use crate::device::{Browser, Device};
use crate::record::{Outcome, Record};
use crate::shape::Shape;
use crate::statistics::median;
use crate::variant::Variant;
use std::collections::{BTreeMap, BTreeSet};

/// What is decided alone: a device, a browser and a shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Where.
    pub device: Device,
    /// What ran it.
    pub browser: Browser,
    /// For what.
    pub shape: Shape,
}

/// The fastest variant of a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Winner {
    /// The variant.
    pub variant: Variant,
    /// Its median time.
    pub time_ns: f64,
    /// Every variant's median time, the winner's included.
    pub times_ns: BTreeMap<Variant, f64>,
    /// Variants by what came of them last.
    pub outcomes: BTreeMap<Outcome, usize>,
}

/// The winner of every place that has one.
pub fn winners(database: &Database) -> BTreeMap<Place, Winner> {
    let mut places: BTreeMap<Place, Vec<&Record>> = BTreeMap::new();
    for (record, _) in database.records() {
        let (device, browser, shape) = (record.device.clone(), record.browser.clone(), record.shape.clone());
        places.entry(Place { device, browser, shape }).or_default().push(record);
    }
    places.into_iter().filter_map(|(place, records)| Some((place, winner(&records)?))).collect()
}

fn winner(records: &[&Record]) -> Option<Winner> {
    let mut sources: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for record in records {
        let source = (record.taken_at_ms, record.source_hash.as_str());
        let newest = sources.entry(&record.kernel).or_insert(source);
        *newest = source.max(*newest);
    }
    let mut runs: BTreeMap<Variant, Vec<&Record>> = BTreeMap::new();
    for &record in records.iter().filter(|record| sources[record.kernel.as_str()].1 == record.source_hash) {
        runs.entry(record.variant()).or_default().push(record);
    }
    let mut outcomes: BTreeMap<Outcome, usize> = BTreeMap::new();
    let mut times_ns = BTreeMap::new();
    for (variant, runs) in runs {
        let wrong = runs.iter().any(|run| run.outcome == Outcome::Wrong);
        let newest = runs.iter().max_by_key(|run| (run.taken_at_ms, run.outcome)).map(|run| run.outcome)?;
        let outcome = if wrong { Outcome::Wrong } else { newest };
        *outcomes.entry(outcome).or_default() += 1;
        let times: Vec<f64> = runs.iter().filter_map(|run| run.time_ns()).collect();
        if let (Outcome::Ok, Some(time)) = (outcome, median(&times)) {
            times_ns.insert(variant, time);
        }
    }
    let (variant, time_ns) =
        times_ns.iter().min_by(|a, b| a.1.total_cmp(b.1).then(a.0.cmp(b.0))).map(|(v, t)| (v.clone(), *t))?;
    Some(Winner { variant, time_ns, times_ns, outcomes })
}

/// A place where two databases choose differently, or that only one has.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// The first database's winner.
    pub first: Option<Winner>,
    /// The second one's.
    pub second: Option<Winner>,
}

impl Difference {
    /// Time of the second's winner by that of the first's: below 1, the second's is faster. Times of one database are taken if
    /// one has timed both, because runs of two days differ by more than good variants do.
    pub fn ratio(&self) -> Option<f64> {
        let (first, second) = (self.first.as_ref()?, self.second.as_ref()?);
        let within = |times: &BTreeMap<Variant, f64>| Some(times.get(&second.variant)? / times.get(&first.variant)?);
        within(&second.times_ns).or_else(|| within(&first.times_ns)).or(Some(second.time_ns / first.time_ns))
    }
}

/// Where the winners of two databases differ, and how many places have the same one.
pub fn differences(first: &Database, second: &Database) -> (Vec<Difference>, usize) {
    let (mut first, mut second) = (winners(first), winners(second));
    let places: BTreeSet<Place> = first.keys().chain(second.keys()).cloned().collect();
    let mut same = 0;
    let mut differences = Vec::new();
    for place in places {
        let (first, second) = (first.remove(&place), second.remove(&place));
        match (&first, &second) {
            (Some(a), Some(b)) if a.variant == b.variant => same += 1,
            _ => differences.push(Difference { place, first, second }),
        }
    }
    (differences, same)
}
