//! Where a model's bytes come from.
//!
//! A trait and not a path, because in a browser there is none: bytes come from `fetch`, from a cache, from a file that the
//! user dropped. A file is read once, from its beginning to its end, and never held whole.

use futures_util::future::LocalBoxFuture;
use thiserror::Error;

/// The files of one model: one GGUF, or a folder in Hugging Face layout.
pub trait ModelFiles {
    /// A small file's text, or nothing if there is no such file.
    fn text(&self, name: &str) -> LocalBoxFuture<'_, Result<Option<String>, FileError>>;

    /// Opens a file. If there is none, the error's code is [`FileError::NOT_FOUND`].
    fn open(&self, name: &str) -> LocalBoxFuture<'_, Result<Box<dyn ByteStream>, FileError>>;
}

/// A file's bytes, front to back.
#[allow(clippy::len_without_is_empty)] // Whether a file of unknown size is empty is only known at its end.
pub trait ByteStream {
    /// The file's size in bytes, where it is known.
    fn len(&self) -> Option<u64>;

    /// The next bytes, in cuts of any size; nothing at the end.
    fn next(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, FileError>>;
}

/// Why a file can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name}: {message}")]
pub struct FileError {
    /// The file, as it was asked for.
    pub name: String,
    /// A word that a program can match, where there is one: [`FileError::NOT_FOUND`].
    pub code: Option<String>,
    /// What went wrong and what to do.
    pub message: String,
}

impl FileError {
    /// The code of a file that isn't there.
    pub const NOT_FOUND: &str = "file_not_found";

    /// No such file.
    pub fn not_found(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            code: Some(Self::NOT_FOUND.to_owned()),
            message: "there is no such file; check the model's name or address".to_owned(),
        }
    }

    /// Reading failed.
    pub fn read(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), code: None, message: message.into() }
    }

    /// Whether the file isn't there, rather than unreadable.
    pub fn is_not_found(&self) -> bool {
        self.code.as_deref() == Some(Self::NOT_FOUND)
    }
}
