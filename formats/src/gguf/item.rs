//! The items that a GGUF header is made of, read from the bytes that are there.
//!
//! Each reading gives an item, or nothing when its bytes have not all come; then no byte is used up and it is tried
//! again with more. Counts and lengths are held against the file's length and [`MAX_HEADER_BYTES`] before the bytes
//! behind them are waited for.

use super::MAX_HEADER_BYTES;
use super::value::Kind;
use crate::FormatError;
use crate::error::quoted;
use crate::header::File;

/// An item, or `None` when it is not whole yet.
pub(super) type Item<T> = Result<Option<T>, FormatError>;

/// Unread bytes and their place in the file. A copy reads ahead.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) file: &'a File,
    pub(super) rest: &'a [u8],
    pub(super) position: u64,
}

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        self.position += length;
        Some(taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// A string; `what` says whose, for errors.
    pub(super) fn string(&mut self, what: impl Fn() -> String) -> Item<String> {
        let mut ahead = *self;
        let Some(length) = ahead.u64() else { return Ok(None) };
        ahead.check_claim(length, 1, || format!("{} with {length} bytes", what()))?;
        let Some(bytes) = ahead.take(length) else { return Ok(None) };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| FormatError::NotUtf8 { file: self.file.name.clone(), what: what() })?;
        *self = ahead;
        Ok(Some(text.to_owned()))
    }

    /// A string that names a key or tensor.
    pub(super) fn name(&mut self, what: impl Fn() -> String) -> Item<String> {
        let mut ahead = *self;
        let Some(length) = ahead.u64() else { return Ok(None) };
        self.file.check_name_len(length, &what)?;
        self.string(what)
    }

    /// The type of a value.
    pub(super) fn kind(&mut self, key: &str) -> Item<Kind> {
        let Some(number) = self.u32() else { return Ok(None) };
        let (file, value_type) = (|| self.file.name.clone(), number);
        let unknown = || FormatError::UnknownValueType { file: file(), key: quoted(key), value_type };
        Kind::from_number(number).ok_or_else(unknown).map(Some)
    }

    /// Refuses `count` things of at least `each` bytes that neither file nor limit can hold.
    pub(super) fn check_claim(&self, count: u64, each: u64, what: impl FnOnce() -> String) -> Result<(), FormatError> {
        let end = u128::from(self.position) + u128::from(count) * u128::from(each);
        self.file.check_header_end(end, MAX_HEADER_BYTES, what)
    }
}
