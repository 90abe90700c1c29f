//! What a record is called: a hash of its canonical text.
//!
//! The text is JSON in the order of the types' fields with sorted maps, so that equal records have equal names wherever they
//! were written. A union keyed by such names has no conflicts to settle: whoever has a name has the same record.

use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fmt::Write as _;

/// Name of a record or a trial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(String);

impl RecordId {
    /// The first 128 bits of the canonical text's SHA-256, in hexadecimal.
    pub(crate) fn of<T: Serialize>(value: &T) -> Self {
        // Records are plain data with string keys, so there is nothing that JSON could not write.
        let text = serde_json::to_vec(value).unwrap_or_default();
        let mut id = String::with_capacity(32);
        for byte in &Sha256::digest(&text)[..16] {
            let _ = write!(id, "{byte:02x}");
        }
        Self(id)
    }

    /// The name as a store's key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
