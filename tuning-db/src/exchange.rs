//! The file that databases travel in: one JSON object, one record a line.
//!
//! Records are ordered by what they are about, then by time and name, so that equal databases are equal files and a difference
//! shows as lines. Provenance stays at home. `schema/tuning-db.schema.json` is the format's definition.

use crate::database::{Database, Item};
use crate::record::{Record, SCHEMA};
use crate::trial::Trial;
use serde::Serialize;
use std::fmt::Write as _;

/// What the file says it is.
pub const FORMAT: &str = "tilewright-tuning";

/// The format's definition, JSON Schema 2020-12.
pub const JSON_SCHEMA: &str = include_str!("../schema/tuning-db.schema.json");

/// A database as a file.
pub fn export(database: &Database) -> String {
    let mut records: Vec<&Record> = Vec::new();
    let mut trials: Vec<&Trial> = Vec::new();
    // By name first: sorts below are stable.
    for entry in database.entries() {
        match &entry.item {
            Item::Record(record) => records.push(record),
            Item::Trial(trial) => trials.push(trial),
        }
    }
    records.sort_by_key(|r| (&r.device, &r.browser, &r.shape, &r.kernel, &r.parameters, &r.source_hash, r.taken_at_ms));
    trials.sort_by_key(|t| (&t.device, &t.browser, &t.model, t.taken_at_ms));
    let mut text = format!("{{\n  \"format\": \"{FORMAT}\",\n  \"schema\": {SCHEMA},\n");
    list(&mut text, "records", &records);
    text.push_str(",\n");
    list(&mut text, "trials", &trials);
    text.push_str("\n}\n");
    text
}

fn list<T: Serialize>(text: &mut String, name: &str, items: &[T]) {
    let _ = write!(text, "  \"{name}\": [");
    for (index, item) in items.iter().enumerate() {
        text.push_str(if index == 0 { "\n    " } else { ",\n    " });
        // Records are plain data with string keys, so there is nothing that JSON could not write.
        text.push_str(&serde_json::to_string(item).unwrap_or_default());
    }
    text.push_str(if items.is_empty() { "]" } else { "\n  ]" });
}
