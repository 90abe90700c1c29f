//! What became of a file, in numbers and in words.

use crate::database::Entry;
use std::collections::BTreeMap;
use std::fmt;

/// Why a record was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// Of a kernel that this engine doesn't have.
    UnknownKernel,
    /// Of a kernel whose source is another one here.
    Stale,
    /// Parameters that can't be, whatever the device.
    Impossible,
    /// Fields that are missing, or of another type.
    Malformed,
    /// Values that the format forbids.
    Invalid,
    /// Written by a later version.
    NewerSchema,
    /// From tomorrow, or later.
    FromTheFuture,
    /// Larger than a record can be.
    TooLarge,
    /// Past the most that are read.
    TooMany,
}

impl SkipReason {
    /// For programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownKernel => "unknown_kernel",
            Self::Stale => "stale",
            Self::Impossible => "impossible",
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::NewerSchema => "newer_schema",
            Self::FromTheFuture => "from_the_future",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::UnknownKernel => "of a kernel that is unknown here",
            Self::Stale => "of a kernel whose source has changed",
            Self::Impossible => "with impossible parameters",
            Self::Malformed => "with fields that are missing or of another type",
            Self::Invalid => "with values that can't be",
            Self::NewerSchema => "of a newer schema",
            Self::FromTheFuture => "from the future",
            Self::TooLarge => "too large",
            Self::TooMany => "past the most that are read",
        }
    }
}

/// Records left out for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub count: usize,
    /// Place in the file of the first one, from 0, trials after or before records as the file has them.
    pub first: usize,
    /// What exactly was wrong with the first one.
    pub example: String,
}

/// What an import did. Displays as a few sentences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportReport {
    /// New records, as they were taken: for a store to keep.
    pub taken: Vec<Entry>,
    /// Records that were here already.
    pub known: usize,
    /// Records that were left out.
    pub skipped: BTreeMap<SkipReason, Skipped>,
    /// Fields that this version doesn't know, in records that were taken or not. They were ignored.
    pub unknown_fields: usize,
}

impl ImportReport {
    /// Records that were left out, for whatever reason.
    pub fn skipped_count(&self) -> usize {
        self.skipped.values().map(|skipped| skipped.count).sum()
    }

    pub(super) fn skip(&mut self, reason: SkipReason, index: usize, example: String) {
        let skipped = self.skipped.entry(reason).or_insert_with(|| Skipped { count: 0, first: index, example });
        skipped.count += 1;
    }
}

fn records(count: usize) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{count} records") }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} taken, {} already known, {} skipped",
            records(self.taken.len()),
            self.known,
            self.skipped_count()
        )?;
        for (reason, skipped) in &self.skipped {
            let Skipped { count, first, example } = skipped;
            write!(f, "; {count} {} (the first is number {}: {example})", reason.words(), first + 1)?;
        }
        match self.unknown_fields {
            0 => {}
            1 => f.write_str("; 1 unknown field was ignored")?,
            count => write!(f, "; {count} unknown fields were ignored")?,
        }
        f.write_str(".")
    }
}
