//! A store in a file: the exchange format itself, so that what `tilewright tune --db` keeps can be shared as it is.
//!
//! What was measured here is noted by name in a second file, `NAME.here`: a file that came from somebody else has none, and its
//! records are imported ones. Every change reads the file, joins and replaces it by a rename, under a lock (`NAME.lock`), so that
//! two programs that tune at once lose nothing and a crash leaves the old file or the new one. A damaged file is renamed to
//! `NAME.damaged-1` and so on; one of a newer version is left alone.
//!
//! It is read and rewritten whole: 1.3 s for 10 000 records (7 MB) in a development build. So a tuner hands over a round at a
//! time, not a record.

use super::{Loaded, SetAside, Store, StoreError};
use crate::database::{Database, Entry, Provenance};
use crate::exchange::export;
use crate::id::RecordId;
use crate::import::{ImportError, ImportRules, Limits};
use futures_util::future::{FutureExt, LocalBoxFuture, ready};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keeps entries in a file.
#[derive(Clone, Debug)]
pub struct FileStore {
    path: PathBuf,
}

/// What a file has, and what of it is wrong.
#[derive(Default)]
struct Contents {
    database: Database,
    set_aside: Vec<SetAside>,
    /// Not everything could be read, so a copy is due before it is replaced.
    lossy: bool,
}

impl FileStore {
    /// A store in the file at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(self.path.as_os_str());
        name.push(ending);
        name.into()
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        let words = format!("{}: {error}", self.path.display());
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StoreError::Full(words),
            ErrorKind::ResourceBusy | ErrorKind::WouldBlock => StoreError::Blocked(words),
            ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotFound
            | ErrorKind::NotADirectory => StoreError::Unavailable(words),
            _ => StoreError::Failed(words),
        }
    }

    fn read(&self) -> Result<Contents, StoreError> {
        let mut contents = Contents::default();
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(contents),
            Err(error) => return Err(self.failed(&error)),
        };
        // It is ours, so however large it has become, it is read.
        let limits = Limits { bytes: usize::MAX, items: usize::MAX, ..Limits::default() };
        match contents.database.import(&bytes, &ImportRules { limits, ..ImportRules::default() }) {
            Ok(report) if report.skipped.is_empty() => {}
            Ok(report) => {
                let what = format!("{} of the records in {}", report.skipped_count(), self.path.display());
                contents.set_aside.push(SetAside { what, why: report.to_string() });
                contents.lossy = true;
            }
            Err(error @ ImportError::NewerSchema { .. }) => {
                return Err(StoreError::Unavailable(format!("{}: {error}", self.path.display())));
            }
            Err(error) => {
                let aside = self.aside();
                fs::rename(&self.path, &aside).map_err(|error| self.failed(&error))?;
                let what = format!("{}, now {}", self.path.display(), aside.display());
                contents.set_aside.push(SetAside { what, why: error.to_string() });
                return Ok(contents);
            }
        }
        let here = fs::read_to_string(self.beside(".here")).unwrap_or_default();
        let here: BTreeSet<&str> = here.lines().collect();
        let measured = contents.database.entries().filter(|entry| here.contains(entry.id.as_str()));
        let measured: Vec<Entry> =
            measured.map(|entry| Entry { provenance: Provenance::MeasuredHere, ..entry.clone() }).collect();
        for entry in measured {
            contents.database.insert(entry);
        }
        Ok(contents)
    }

    /// A name for a damaged file that is not taken.
    fn aside(&self) -> PathBuf {
        let names = (1..).map(|number: u32| self.beside(&format!(".damaged-{number}")));
        let mut free = names.filter(|path| !path.exists());
        free.next().unwrap_or_else(|| self.beside(".damaged"))
    }

    /// Reads, changes and replaces, while nobody else does.
    fn change(&self, change: impl FnOnce(&mut Database)) -> Result<(), StoreError> {
        let failed = |error: io::Error| self.failed(&error);
        let lock = File::create(self.beside(".lock")).map_err(failed)?;
        match lock.lock() {
            Err(error) if error.kind() != ErrorKind::Unsupported => return Err(failed(error)),
            // Without locks, as on some network disks, two writers at once may lose a round: measured again, no more.
            _ => {}
        }
        let mut contents = self.read()?;
        if contents.lossy {
            fs::copy(&self.path, self.aside()).map_err(failed)?;
        }
        change(&mut contents.database);
        let here = contents.database.entries().filter(|entry| entry.provenance == Provenance::MeasuredHere);
        let here: String = here.flat_map(|entry| [entry.id.as_str(), "\n"]).collect();
        // The names last: between the two, records are taken for imported ones, which costs a check.
        replace_file(&self.path, &export(&contents.database)).map_err(failed)?;
        replace_file(&self.beside(".here"), &here).map_err(failed)
    }
}

/// Replaces a file whole: a crash leaves the old one or the new one.
pub fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut temporary = OsString::from(path.as_os_str());
    temporary.push(format!(".{}-{}.tmp", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let replaced = written.and_then(|()| fs::rename(&temporary, path));
    if replaced.is_err() {
        // What is left of it is of no use to anybody.
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

impl Store for FileStore {
    fn load(&self) -> LocalBoxFuture<'_, Result<Loaded, StoreError>> {
        let loaded = self.read().map(|contents| Loaded {
            entries: contents.database.entries().cloned().collect(),
            set_aside: contents.set_aside,
        });
        ready(loaded).boxed_local()
    }

    fn put<'a>(&'a self, entries: &'a [Entry]) -> LocalBoxFuture<'a, Result<(), StoreError>> {
        let put = self.change(|database| {
            for entry in entries {
                database.insert(entry.clone());
            }
        });
        ready(put).boxed_local()
    }

    fn remove<'a>(&'a self, ids: &'a [RecordId]) -> LocalBoxFuture<'a, Result<(), StoreError>> {
        let removed = self.change(|database| {
            for id in ids {
                database.remove(id);
            }
        });
        ready(removed).boxed_local()
    }

    fn clear(&self) -> LocalBoxFuture<'_, Result<(), StoreError>> {
        ready(self.change(|database| *database = Database::default())).boxed_local()
    }
}
