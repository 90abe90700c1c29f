//! An entry as the text that a key-value store keeps: the record, and where it came from.

use crate::database::{Entry, Item, Provenance};
use crate::fault::Fault;
use crate::object::Object;
use crate::record::Record;
use crate::trial::Trial;
use serde::{Deserialize, Serialize};
use thiserror::Error;

#[derive(Serialize)]
struct Written<'a> {
    provenance: Provenance,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<&'a Trial>,
}

#[derive(Deserialize)]
struct Kept {
    provenance: Provenance,
    record: Option<Object<Record>>,
    trial: Option<Object<Trial>>,
}

/// A text that is no entry.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EntryTextError {
    /// Not an entry's JSON.
    #[error("not an entry: {0}")]
    Json(#[from] serde_json::Error),
    /// Neither of the two, or both.
    #[error("not an entry: it has neither a record nor a trial, or both")]
    Kind,
    /// Not what the format allows.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// An entry as text. Its key is its [name](Entry::id).
pub fn entry_to_text(entry: &Entry) -> String {
    let (record, trial) = match &entry.item {
        Item::Record(record) => (Some(record), None),
        Item::Trial(trial) => (None, Some(trial)),
    };
    // Records are plain data with string keys, so there is nothing that JSON could not write.
    serde_json::to_string(&Written { provenance: entry.provenance, record, trial }).unwrap_or_default()
}

/// The entry of a text.
pub fn entry_from_text(text: &str) -> Result<Entry, EntryTextError> {
    let kept: Kept = serde_json::from_str::<Object<_>>(text)?.0;
    let item = match (kept.record, kept.trial) {
        (Some(record), None) => Item::Record(record.0),
        (None, Some(trial)) => Item::Trial(trial.0),
        _ => return Err(EntryTextError::Kind),
    };
    Ok(Entry::new(item, kept.provenance)?)
}
