//! Who goes first and who gives way.
//!
//! Everything here is an order. Requests are compared by class (what the user looks at), then by their clients' counters
//! (what each had already), then by who came first; the planner takes the least, charges its client, and asks again.
//! Whoever was left out too often goes before everyone once. Those who give their blocks back are taken from the other end.

use crate::clients::Class;
use crate::scheduler::Scheduler;
use crate::sequence::{Arrival, Sequence};
use crate::snapshot::Parked;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tilewright_plan::BlockId;

/// Where a request stands among those that could have rows; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    /// The longest left out first, if anyone was left out for too long.
    overdue: Reverse<u32>,
    class: Class,
    counter: u64,
    /// Of one client's requests that decode, the one served longest ago.
    last_served: u64,
    arrival: Arrival,
}

impl Turn {
    /// Whether a prompt takes the place of a row that decodes: among equals it does not.
    pub(crate) fn goes_before(&self, other: &Self) -> bool {
        (self.overdue, self.class, self.counter) < (other.overdue, other.class, other.counter)
    }
}

impl Scheduler {
    /// The class of a request, with what it gained by waiting.
    pub(crate) fn class(&self, sequence: &Sequence) -> Class {
        self.clients.class(sequence.client, sequence.spec.priority).raised(sequence.raised)
    }

    /// Why a request stands still, if it does.
    pub(crate) fn parked(&self, sequence: &Sequence) -> Option<Parked> {
        if self.clients.is_frozen(sequence.client) {
            Some(Parked::Frozen)
        } else if sequence.out_of_credit(self.config.credit_window) {
            Some(Parked::Credit)
        } else {
            None
        }
    }

    /// Whether it stands still until its client does something, and not just until a step in flight is back. It has no
    /// claim to what it holds meanwhile.
    pub(crate) fn stalls(&self, sequence: &Sequence) -> bool {
        let window = self.config.credit_window as usize;
        self.clients.is_frozen(sequence.client) || sequence.unacknowledged() >= window
    }

    /// Whether a running request could have rows.
    pub(crate) fn is_runnable(&self, sequence: &Sequence) -> bool {
        sequence.rows_left(self.limit) > 0 && self.parked(sequence).is_none()
    }

    pub(crate) fn is_overdue(&self, sequence: &Sequence) -> bool {
        sequence.skipped >= self.config.max_skipped_steps.max(1)
    }

    /// Where it stands for rows. Prompts of one client are finished one after the other, its answers grow side by side.
    /// `given` are rows that its client gets in this step already.
    pub(crate) fn turn(&self, arrival: Arrival, sequence: &Sequence, given: u64) -> Turn {
        let decodes = sequence.decodes(self.limit);
        Turn {
            overdue: Reverse(if self.is_overdue(sequence) { sequence.skipped } else { 0 }),
            class: self.class(sequence),
            counter: self.clients.counter(sequence.client) + given,
            last_served: if decodes { sequence.last_served } else { 0 },
            arrival,
        }
    }

    /// The waiting request to be admitted next: nobody of its class or a worse one overtakes it, however short.
    pub(crate) fn next_to_admit(&self) -> Option<Arrival> {
        let standing = |arrival: &Arrival| {
            let sequence = self.sequences.get(arrival)?;
            let moves = !self.stalls(sequence);
            moves.then(|| ((self.class(sequence), self.clients.counter(sequence.client), *arrival), *arrival))
        };
        self.waiting.iter().filter_map(standing).min().map(|(_, arrival)| arrival)
    }

    /// Running requests that may give way to one of this class, worst first: those that stand still anyway, whatever their
    /// class, then the worst class, then the latest admission.
    fn candidates(&self, not_better_than: Class) -> Vec<Arrival> {
        let mut candidates: Vec<_> = self
            .seated()
            .filter(|(_, sequence)| self.class(sequence) >= not_better_than || self.stalls(sequence))
            .map(|(arrival, sequence)| {
                ((self.stalls(sequence), self.class(sequence), sequence.admitted, arrival), arrival)
            })
            .collect();
        candidates.sort_unstable_by_key(|(badness, _)| Reverse(*badness));
        candidates.into_iter().map(|(_, arrival)| arrival).collect()
    }

    /// Requests whose blocks, once given back, are at least `blocks` more than now: the worst, and none that is not needed
    /// for it. `None` if all candidates together are not enough. Blocks in `shared` do not count: they are spoken for.
    pub(crate) fn victims(
        &self,
        blocks: u32,
        not_better_than: Class,
        spared: Option<Arrival>,
        shared: &[BlockId],
    ) -> Option<Vec<Arrival>> {
        let mut held = Held { shared, taken: BTreeMap::new(), freed: 0 };
        let mut victims = Vec::new();
        for arrival in self.candidates(not_better_than).into_iter().filter(|arrival| Some(*arrival) != spared) {
            if held.freed >= blocks {
                break;
            }
            held.take(self, arrival, 1);
            victims.push(arrival);
        }
        // The worst were taken first; the best of them that turn out not to be needed stay.
        for arrival in victims.clone().into_iter().rev() {
            held.take(self, arrival, -1);
            if held.freed >= blocks {
                victims.retain(|other| *other != arrival);
            } else {
                held.take(self, arrival, 1);
            }
        }
        (held.freed >= blocks).then_some(victims)
    }
}

/// Blocks that a set of requests would give back together.
struct Held<'a> {
    shared: &'a [BlockId],
    taken: BTreeMap<BlockId, i64>,
    freed: u32,
}

impl Held<'_> {
    /// Adds (1) or takes away (-1) a request.
    fn take(&mut self, scheduler: &Scheduler, arrival: Arrival, times: i64) {
        let Some(sequence) = scheduler.sequences.get(&arrival) else { return };
        for block in sequence.table.iter().filter(|block| !self.shared.contains(block)) {
            let references = i64::from(scheduler.pool.references(*block));
            let taken = self.taken.entry(*block).or_default();
            let was_freed = *taken == references;
            *taken += times;
            match (was_freed, *taken == references) {
                (false, true) => self.freed += 1,
                (true, false) => self.freed -= 1,
                _ => {}
            }
        }
    }
}
