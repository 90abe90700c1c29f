//! Model files on a disk.

use futures_util::future::{LocalBoxFuture, ready};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use tilewright_host::{ByteStream, FileError, ModelFiles};

/// How much is read at a time.
const CUT_BYTES: usize = 4 << 20;

/// A folder.
pub(crate) struct DiskFiles {
    pub(crate) folder: PathBuf,
}

struct DiskStream {
    name: String,
    file: File,
    length: Option<u64>,
}

impl DiskFiles {
    fn read_text(&self, name: &str) -> Result<Option<String>, FileError> {
        match std::fs::read_to_string(self.folder.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::read(name, error.to_string())),
        }
    }

    fn open_stream(&self, name: &str) -> Result<Box<dyn ByteStream>, FileError> {
        let file = File::open(self.folder.join(name)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => FileError::not_found(name),
            _ => FileError::read(name, error.to_string()),
        })?;
        let length = file.metadata().ok().map(|metadata| metadata.len());
        Ok(Box::new(DiskStream { name: name.to_owned(), file, length }))
    }
}

impl ModelFiles for DiskFiles {
    fn text(&self, name: &str) -> LocalBoxFuture<'_, Result<Option<String>, FileError>> {
        Box::pin(ready(self.read_text(name)))
    }

    fn open(&self, name: &str) -> LocalBoxFuture<'_, Result<Box<dyn ByteStream>, FileError>> {
        Box::pin(ready(self.open_stream(name)))
    }
}

impl ByteStream for DiskStream {
    fn len(&self) -> Option<u64> {
        self.length
    }

    fn next(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, FileError>> {
        let mut cut = vec![0; CUT_BYTES];
        let result = match self.file.read(&mut cut) {
            Ok(0) => Ok(None),
            Ok(count) => {
                cut.truncate(count);
                Ok(Some(cut))
            }
            Err(error) => Err(FileError::read(&self.name, error.to_string())),
        };
        Box::pin(ready(result))
    }
}
