//! The database: facts by name, and where each came from.
//!
//! # Merging
//!
//! A record is a fact with a [name](crate::id) made of all it says, so merging is the union of two sets: commutative,
//! associative and idempotent by nature, and what another run of the same variant measured stands beside the first one. The
//! alternative, one record per device, kernel, shape and variant with the newer one winning, was left out: whoever exports
//! a record from the year 9999 would win for good.
//!
//! What is said *about* a fact is local: whether it was measured here, came with the package or was imported. Here it joins to
//! the most trusted of both sides, which is a maximum and thus merges just as well. It is never exported.

use crate::fault::Fault;
use crate::id::RecordId;
use crate::kernels::Kernels;
use crate::record::Record;
use crate::shape::Shape;
use crate::trial::Trial;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where a record came from, least trusted first. Local: not part of what is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// From a file that somebody gave us. Its winners' answers are checked here before use.
    Imported,
    /// Shipped with the package. Checked as well: this device may differ from its namesake.
    BuiltIn,
    /// Measured by this engine on this machine.
    MeasuredHere,
}

/// A record of either kind.
#[expect(clippy::large_enum_variant, reason = "nearly all are records, which are the large ones")]
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// One measurement of one variant.
    Record(Record),
    /// Tokens/s before and after.
    Trial(Trial),
}

impl Item {
    /// Its name.
    pub fn id(&self) -> RecordId {
        match self {
            Self::Record(record) => RecordId::of(record),
            Self::Trial(trial) => RecordId::of(trial),
        }
    }

    /// Says whether the format allows it.
    pub fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Record(record) => record.check(),
            Self::Trial(trial) => trial.check(),
        }
    }

    /// When it was measured.
    pub fn taken_at_ms(&self) -> u64 {
        match self {
            Self::Record(record) => record.taken_at_ms,
            Self::Trial(trial) => trial.taken_at_ms,
        }
    }
}

/// A record with what is known of it here.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub id: RecordId,
    /// Where it came from.
    pub provenance: Provenance,
    /// What it says.
    pub item: Item,
}

impl Entry {
    /// Names an item; refuses what the format forbids.
    pub fn new(item: Item, provenance: Provenance) -> Result<Self, Fault> {
        item.check()?;
        Ok(Self { id: item.id(), provenance, item })
    }
}

/// What an [insertion](Database::insert) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It was not known.
    New,
    /// It was known from a less trusted source.
    MoreTrusted,
    /// It was known.
    Known,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Database {
    entries: BTreeMap<RecordId, Entry>,
    /// Records by shape, which is what they are looked up by.
    by_shape: BTreeMap<Shape, BTreeSet<RecordId>>,
    trials: BTreeSet<RecordId>,
}

impl Database {
    /// Takes an entry.
    pub fn insert(&mut self, entry: Entry) -> Inserted {
        if let Some(known) = self.entries.get_mut(&entry.id) {
            if known.provenance >= entry.provenance {
                return Inserted::Known;
            }
            known.provenance = entry.provenance;
            return Inserted::MoreTrusted;
        }
        match &entry.item {
            Item::Record(record) => {
                self.by_shape.entry(record.shape.clone()).or_default().insert(entry.id.clone());
            }
            Item::Trial(_) => {
                self.trials.insert(entry.id.clone());
            }
        }
        self.entries.insert(entry.id.clone(), entry);
        Inserted::New
    }

    /// Takes all that another database has.
    pub fn merge(&mut self, other: Self) {
        for entry in other.entries.into_values() {
            self.insert(entry);
        }
    }

    /// Forgets an entry. Says whether it was there.
    pub fn remove(&mut self, id: &RecordId) -> bool {
        let Some(entry) = self.entries.remove(id) else { return false };
        self.trials.remove(id);
        if let Item::Record(record) = entry.item
            && let Some(ids) = self.by_shape.get_mut(&record.shape)
        {
            ids.remove(id);
            if ids.is_empty() {
                self.by_shape.remove(&record.shape);
            }
        }
        true
    }

    /// Records and trials.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One entry.
    pub fn get(&self, id: &RecordId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// All entries, ordered by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// All records, ordered by name.
    pub fn records(&self) -> impl Iterator<Item = (&Record, Provenance)> {
        self.entries.values().filter_map(|entry| match &entry.item {
            Item::Record(record) => Some((record, entry.provenance)),
            Item::Trial(_) => None,
        })
    }

    /// All shapes of which something was measured.
    pub fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.by_shape.keys()
    }

    /// Records of one shape, ordered by name.
    pub fn records_of(&self, shape: &Shape) -> impl Iterator<Item = (&Record, Provenance)> {
        self.by_shape.get(shape).into_iter().flatten().filter_map(|id| match self.entries.get(id) {
            Some(Entry { item: Item::Record(record), provenance, .. }) => Some((record, *provenance)),
            _ => None,
        })
    }

    /// All trials, ordered by name.
    pub fn trials(&self) -> impl Iterator<Item = (&Trial, Provenance)> {
        self.trials.iter().filter_map(|id| match self.entries.get(id) {
            Some(Entry { item: Item::Trial(trial), provenance, .. }) => Some((trial, *provenance)),
            _ => None,
        })
    }

    /// Names of what no kernel of this engine can use: the source has changed, or the kernel is gone.
    pub fn stale(&self, kernels: &Kernels) -> Vec<RecordId> {
        let current = |entry: &Entry| match &entry.item {
            Item::Record(record) => kernels.is_current(&record.kernel, &record.source_hash),
            Item::Trial(trial) => {
                trial.changes.iter().all(|change| kernels.is_current(&change.to.kernel, &change.source_hash))
            }
        };
        self.entries.values().filter(|entry| !current(entry)).map(|entry| entry.id.clone()).collect()
    }
}
