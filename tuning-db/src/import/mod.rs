//! Taking a file that somebody gave us: hostile until proven otherwise.
//!
//! A file is refused as a whole if it is too large, too deep, no JSON, no tuning database, or of a newer schema; nothing of
//! it is taken then. Otherwise each record is judged alone, and what is left out is counted by reason. What is taken is
//! [`Provenance::Imported`]: the look-up asks for a check of its answer on this device before it is used.
//!
//! The file is read twice. The first pass parses nothing into memory and sees that it is well-formed to its end and what it
//! says it is; the second one holds one record at a time, so that 32 MiB of `[0,0,0,...` stay 32 MiB.

mod envelope;
mod limits;
mod report;

pub use limits::Limits;
pub use report::{ImportReport, SkipReason};

use crate::database::{Database, Entry, Inserted, Item, Provenance};
use crate::fault::{Fault, printable};
use crate::kernels::Kernels;
use crate::object::Object;
use crate::record::{Record, SCHEMA};
use crate::shape::Shape;
use crate::trial::Trial;
use crate::variant::Variant;
use envelope::{Envelope, RawItem};
use serde::de::DeserializeOwned;
use thiserror::Error;

/// What the caller knows of what may come.
#[derive(Clone, Copy)]
pub struct ImportRules<'a> {
    /// How large and how deep.
    pub limits: Limits,
    /// The kernels here; `None` takes records of any.
    pub kernels: Option<&'a Kernels>,
    /// Says what is impossible about a variant on a shape, whatever the device: a tile of 0 rows.
    pub possible: &'a dyn Fn(&Shape, &Variant) -> Result<(), String>,
    /// Now. Records from later than a day after are refused; `None` takes them.
    pub now_ms: Option<u64>,
}

impl Default for ImportRules<'_> {
    fn default() -> Self {
        Self { limits: Limits::default(), kernels: None, possible: &|_, _| Ok(()), now_ms: None }
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Why a file is refused as a whole.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Too large to be read.
    #[error("the file has {bytes} bytes, and at most {most} are read: export less, or split it")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// Too deep to be one of ours.
    #[error("the file nests deeper than {most} levels, which no tuning database does")]
    TooDeep {
        /// How deep it may be.
        most: usize,
    },
    /// No JSON, or cut off.
    #[error("the file is not JSON, or was cut off: {0}")]
    NotJson(serde_json::Error),
    /// JSON of something else.
    #[error("the file is not a tuning database: it lacks \"format\": \"tilewright-tuning\"")]
    NotOurs,
    /// From a later version.
    #[error(
        "the file is of schema {schema}, and this version reads up to {SCHEMA}: update to import it, or export it again \
         with this version"
    )]
    NewerSchema {
        /// What it says.
        schema: u64,
    },
}

impl Database {
    /// Takes what can be taken of a file. [`ImportReport::taken`] has what is new, for a store to keep.
    pub fn import(&mut self, bytes: &[u8], rules: &ImportRules<'_>) -> Result<ImportReport, ImportError> {
        let mut report = ImportReport::default();
        read(bytes, rules, &mut report, |entry, report| match self.insert(entry.clone()) {
            Inserted::New => report.taken.push(entry),
            Inserted::MoreTrusted | Inserted::Known => report.known += 1,
        })?;
        Ok(report)
    }
}

/// Gives every usable record of a file to `take`.
fn read(
    bytes: &[u8],
    rules: &ImportRules<'_>,
    report: &mut ImportReport,
    mut take: impl FnMut(Entry, &mut ImportReport),
) -> Result<(), ImportError> {
    rules.limits.check(bytes)?;
    let envelope = Envelope::survey(bytes).map_err(ImportError::NotJson)?;
    if !envelope.is_ours {
        return Err(ImportError::NotOurs);
    }
    if envelope.schema > u64::from(SCHEMA) {
        return Err(ImportError::NewerSchema { schema: envelope.schema });
    }
    report.unknown_fields += envelope.unknown_fields;
    let mut index = 0;
    envelope::each_item(bytes, |raw| {
        if index >= rules.limits.items {
            report.skip(SkipReason::TooMany, index, format!("only the first {} are read", rules.limits.items));
        } else {
            match judge(raw, rules, report) {
                Ok(entry) => take(entry, report),
                Err((reason, words)) => report.skip(reason, index, words),
            }
        }
        index += 1;
    })
    .map_err(ImportError::NotJson)
}

type Skipped = (SkipReason, String);

fn judge(raw: RawItem<'_>, rules: &ImportRules<'_>, report: &mut ImportReport) -> Result<Entry, Skipped> {
    let text = raw.text();
    if text.len() > rules.limits.item_bytes {
        return Err((SkipReason::TooLarge, format!("it has {} bytes", text.len())));
    }
    let item = match raw {
        RawItem::Record(text) => Item::Record(parse::<Record>(text, report)?),
        RawItem::Trial(text) => Item::Trial(parse::<Trial>(text, report)?),
    };
    let used: Vec<(&Shape, Variant, &str)> = match &item {
        Item::Record(record) => vec![(&record.shape, record.variant(), &record.source_hash)],
        Item::Trial(trial) => {
            let changes = trial.changes.iter();
            changes.map(|change| (&change.shape, change.to.clone(), change.source_hash.as_str())).collect()
        }
    };
    item.check().map_err(|fault| match fault {
        Fault::NewerSchema { .. } => (SkipReason::NewerSchema, fault.to_string()),
        _ => (SkipReason::Invalid, fault.to_string()),
    })?;
    if rules.now_ms.is_some_and(|now| item.taken_at_ms() > now.saturating_add(DAY_MS)) {
        return Err((SkipReason::FromTheFuture, format!("it was taken at {} ms", item.taken_at_ms())));
    }
    for (shape, variant, source_hash) in used {
        if let Some(kernels) = rules.kernels {
            if !kernels.has(&variant.kernel) {
                return Err((SkipReason::UnknownKernel, variant.kernel));
            }
            if !kernels.is_current(&variant.kernel, source_hash) {
                return Err((SkipReason::Stale, variant.kernel));
            }
        }
        (rules.possible)(shape, &variant).map_err(|words| (SkipReason::Impossible, format!("{variant}: {words}")))?;
    }
    Entry::new(item, Provenance::Imported).map_err(|fault| (SkipReason::Invalid, fault.to_string()))
}

fn parse<T: DeserializeOwned>(text: &str, report: &mut ImportReport) -> Result<T, Skipped> {
    let mut unknown = 0;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = serde_ignored::deserialize::<_, _, Object<T>>(&mut deserializer, |_| unknown += 1);
    report.unknown_fields += unknown;
    parsed.map(|object| object.0).map_err(|error| (SkipReason::Malformed, printable(&error.to_string(), 200)))
}
