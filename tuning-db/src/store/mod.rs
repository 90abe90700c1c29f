//! Where records stay.
//!
//! A store keeps entries one by one, each whole or not at all, and gives back what it can: what it can't read it sets aside
//! and names. Whatever fails is a [`StoreError`] that says what to do; nobody has to stop for it, for what is lost is a
//! measurement. [`Keeper`](crate::Keeper) holds a database and a store together and never fails.

mod entry_text;
#[cfg(not(target_arch = "wasm32"))]
mod file;
mod memory;

pub use entry_text::{EntryTextError, entry_from_text, entry_to_text};
#[cfg(not(target_arch = "wasm32"))]
pub use file::{FileStore, replace_file};
pub use memory::MemoryStore;

use crate::database::Entry;
use crate::id::RecordId;
use futures_util::future::LocalBoxFuture;
use thiserror::Error;

/// Keeps entries.
pub trait Store {
    /// Everything that is kept and can be read.
    fn load(&self) -> LocalBoxFuture<'_, Result<Loaded, StoreError>>;

    /// Keeps entries; of those kept already, the more trusted provenance stays. Each is kept whole or not at all.
    fn put<'a>(&'a self, entries: &'a [Entry]) -> LocalBoxFuture<'a, Result<(), StoreError>>;

    /// Forgets entries; unknown ones are ignored.
    fn remove<'a>(&'a self, ids: &'a [RecordId]) -> LocalBoxFuture<'a, Result<(), StoreError>>;

    /// Forgets everything.
    fn clear(&self) -> LocalBoxFuture<'_, Result<(), StoreError>>;
}

/// What a store has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// What could be read.
    pub entries: Vec<Entry>,
    /// What could not: out of the way, and named.
    pub set_aside: Vec<SetAside>,
}

/// Something in a store that is not what was put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Which entry or file; where it is now, if it was moved.
    pub what: String,
    /// What is wrong with it.
    pub why: String,
}

/// What a store can't do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room.
    #[error("there is no room left to keep measurements ({0}): free some, or export them")]
    Full(String),
    /// Somebody else holds it.
    #[error("the kept measurements are in use elsewhere ({0}): close tabs of an older version")]
    Blocked(String),
    /// There is none: private windows, a read-only disk, a browser without one.
    #[error("measurements can't be kept here ({0}); they last until the engine ends")]
    Unavailable(String),
    /// Any other failure.
    #[error("the kept measurements could not be read or written: {0}")]
    Failed(String),
}
