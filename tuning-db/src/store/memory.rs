//! A store that ends with its owner: for tests, and where nothing else is to be had.

use super::{Loaded, Store, StoreError};
use crate::database::{Database, Entry};
use crate::id::RecordId;
use futures_util::future::{FutureExt, LocalBoxFuture, ready};
use std::cell::RefCell;

/// Keeps entries in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: RefCell<Database>,
}

impl Store for MemoryStore {
    fn load(&self) -> LocalBoxFuture<'_, Result<Loaded, StoreError>> {
        let entries = self.kept.borrow().entries().cloned().collect();
        ready(Ok(Loaded { entries, set_aside: Vec::new() })).boxed_local()
    }

    fn put<'a>(&'a self, entries: &'a [Entry]) -> LocalBoxFuture<'a, Result<(), StoreError>> {
        let mut kept = self.kept.borrow_mut();
        for entry in entries {
            kept.insert(entry.clone());
        }
        ready(Ok(())).boxed_local()
    }

    fn remove<'a>(&'a self, ids: &'a [RecordId]) -> LocalBoxFuture<'a, Result<(), StoreError>> {
        let mut kept = self.kept.borrow_mut();
        for id in ids {
            kept.remove(id);
        }
        ready(Ok(())).boxed_local()
    }

    fn clear(&self) -> LocalBoxFuture<'_, Result<(), StoreError>> {
        *self.kept.borrow_mut() = Database::default();
        ready(Ok(())).boxed_local()
    }
}
