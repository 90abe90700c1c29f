//! A database and the store that it outlives this session in. It never fails.
//!
//! Everything happens in memory first. A store that can't be opened, is full or holds rubbish becomes a [`Trouble`] to be shown;
//! tuning then lasts as long as the engine, and the chat does not notice.

use crate::database::{Database, Entry, Inserted, Item, Provenance};
use crate::fault::Fault;
use crate::id::RecordId;
use crate::import::{ImportError, ImportReport, ImportRules};
use crate::kernels::Kernels;
use crate::store::{SetAside, Store, StoreError};
use std::fmt;

/// What went wrong with the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// It could not do something.
    Store(StoreError),
    /// It had something unreadable.
    SetAside(SetAside),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::SetAside(aside) => write!(f, "{} was set aside: {}", aside.what, aside.why),
        }
    }
}

/// Most troubles that are remembered: the first ones, which tell the most.
const MOST_TROUBLES: usize = 32;

/// A database that is kept.
pub struct Keeper {
    database: Database,
    store: Box<dyn Store>,
    troubles: Vec<Trouble>,
}

impl Keeper {
    /// Reads what `store` has on top of `built_in`.
    pub async fn open(store: Box<dyn Store>, built_in: Database) -> Self {
        let mut keeper = Self { database: built_in, store, troubles: Vec::new() };
        keeper.refresh().await;
        keeper
    }

    /// Reads what others have put into the store since; says whether that was anything.
    pub async fn refresh(&mut self) -> bool {
        let mut is_more = false;
        match self.store.load().await {
            Ok(loaded) => {
                for entry in loaded.entries {
                    is_more |= self.database.insert(entry) != Inserted::Known;
                }
                loaded.set_aside.into_iter().for_each(|aside| self.trouble(Trouble::SetAside(aside)));
            }
            Err(error) => self.trouble(Trouble::Store(error)),
        }
        is_more
    }

    /// What is known.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// What went wrong with the store so far.
    pub fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    /// Takes measurements that were made here. Of what the format forbids, the first fault is said and the rest is kept.
    pub async fn record(&mut self, items: impl IntoIterator<Item = Item>) -> Result<(), Fault> {
        let mut fault = Ok(());
        let mut fresh = Vec::new();
        for item in items {
            match Entry::new(item, Provenance::MeasuredHere) {
                Ok(entry) => {
                    if self.database.insert(entry.clone()) != Inserted::Known {
                        fresh.push(entry);
                    }
                }
                Err(found) => fault = fault.and(Err(found)),
            }
        }
        self.put(&fresh).await;
        fault
    }

    /// Takes what can be taken of a file.
    pub async fn import(&mut self, bytes: &[u8], rules: &ImportRules<'_>) -> Result<ImportReport, ImportError> {
        let report = self.database.import(bytes, rules)?;
        self.put(&report.taken).await;
        Ok(report)
    }

    /// Forgets what no kernel of this engine can use. Says how many records that were.
    pub async fn forget_stale(&mut self, kernels: &Kernels) -> usize {
        let ids = self.database.stale(kernels);
        self.remove(&ids).await;
        ids.len()
    }

    /// Forgets everything but what came with the package.
    pub async fn reset(&mut self) {
        let own = self.database.entries().filter(|entry| entry.provenance != Provenance::BuiltIn);
        for id in own.map(|entry| entry.id.clone()).collect::<Vec<_>>() {
            self.database.remove(&id);
        }
        let cleared = self.store.clear().await;
        self.note(cleared);
    }

    async fn remove(&mut self, ids: &[RecordId]) {
        for id in ids {
            self.database.remove(id);
        }
        if !ids.is_empty() {
            let removed = self.store.remove(ids).await;
            self.note(removed);
        }
    }

    async fn put(&mut self, entries: &[Entry]) {
        if !entries.is_empty() {
            let put = self.store.put(entries).await;
            self.note(put);
        }
    }

    fn note(&mut self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            self.trouble(Trouble::Store(error));
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        if self.troubles.len() < MOST_TROUBLES && !self.troubles.contains(&trouble) {
            self.troubles.push(trouble);
        }
    }
}
