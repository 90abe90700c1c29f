//! Who goes first and who gives way: first come, first served.
//!
//! The running requests are always the earliest to have arrived that fit. So the queue has no state of its own: a preempted
//! request stands where it stood, before everyone who came later. Classes by what the user looks at, fairness between
//! clients and displacement change this file and [`crate::planner`] only.

use crate::sequence::Arrival;
use std::collections::BTreeSet;

/// Which waiting request is admitted next. Nobody overtakes it, however short.
pub(crate) fn next_to_admit(waiting: &BTreeSet<Arrival>) -> Option<Arrival> {
    waiting.first().copied()
}

/// Which running request gives its blocks back when they run out: the newest, as it has waited least. May be the
/// one that needs the block.
pub(crate) fn victim(running: &BTreeSet<Arrival>) -> Option<Arrival> {
    running.last().copied()
}

/// In which order running requests get rows.
pub(crate) fn service_order(running: &BTreeSet<Arrival>) -> Vec<Arrival> {
    running.iter().copied().collect()
}
