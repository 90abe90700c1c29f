//! Tensors, where they lie in their file, and the rules that hold for them in every format.
//!
//! A reader turns its format's words into [`TensorInfo`]s and this module decides whether they can be true: a size that
//! follows from shape and type without overflow, an end within the file, a name of its own, bytes of its own. Gaps
//! between tensors and bytes after the last one are allowed: both formats' writers pad.

use crate::error::quoted;
use crate::looks_like::looks_like;
use crate::{DType, FormatError, gguf};

/// Most dimensions that a tensor may have; GGUF's own limit.
pub const MAX_RANK: usize = 4;
/// Most tensors that a file may have. The largest mixture-of-experts models have some 100 000 before their experts are
/// stacked.
pub const MAX_TENSORS: u64 = 1 << 20;
/// Most bytes that the name of a tensor or key may have; GGUF's own limit.
pub const MAX_NAME_BYTES: u64 = (1 << 16) - 1;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, unique in the file.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// 1 to 4 lengths, outermost first as in numpy: a GGUF's `ne` reversed. None is 0; the last is a multiple of the
    /// block length.
    pub shape: Vec<u64>,
    /// Where it begins, in bytes from the beginning of the file.
    pub start: u64,
    /// How many bytes it takes.
    pub bytes: u64,
}

impl TensorInfo {
    /// Checks shape and place of a tensor and works out its size.
    pub(crate) fn new(
        file: &File,
        name: String,
        dtype: DType,
        shape: Vec<u64>,
        start: u64,
    ) -> Result<Self, FormatError> {
        let error_names = || (file.name.clone(), quoted(&name));
        let Some(&row) = shape.last().filter(|_| shape.len() <= MAX_RANK) else {
            let (file, tensor) = error_names();
            return Err(FormatError::BadRank { file, tensor, rank: shape.len() as u64 });
        };
        if shape.contains(&0) {
            let (file, tensor) = error_names();
            return Err(FormatError::EmptyTensor { file, tensor });
        }
        if !row.is_multiple_of(dtype.block_len()) {
            let (file, tensor) = error_names();
            return Err(FormatError::PartialBlock { file, tensor, dtype, row });
        }
        let bytes = shape
            .iter()
            .try_fold(1, |elements: u64, &length| elements.checked_mul(length))
            .and_then(|elements| (elements / dtype.block_len()).checked_mul(dtype.block_bytes()))
            .filter(|&bytes| start.checked_add(bytes).is_some());
        let Some(bytes) = bytes else {
            let (file, tensor) = error_names();
            return Err(FormatError::SizeOverflow { file, tensor });
        };
        Ok(Self { name, dtype, shape, start, bytes })
    }

    /// Where it ends, in bytes from the beginning of the file.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes)
    }

    /// How many elements it has.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// What a file says about itself before its data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// In the order of their data, which is the order in which a [`TensorSink`](crate::TensorSink) gets it.
    pub tensors: Vec<TensorInfo>,
    /// A GGUF's metadata.
    pub gguf: Option<gguf::Metadata>,
}

impl Header {
    /// Sorts tensors by place and checks what concerns more than one of them.
    pub(crate) fn new(
        file: &File,
        mut tensors: Vec<TensorInfo>,
        gguf: Option<gguf::Metadata>,
    ) -> Result<Self, FormatError> {
        let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(FormatError::DuplicateTensor { file: file.name.clone(), tensor: quoted(pair[0]) });
        }
        if let Some(file_len) = file.len
            && let Some(tensor) = tensors.iter().find(|tensor| tensor.end() > file_len)
        {
            let (file, end) = (file.name.clone(), tensor.end());
            return Err(FormatError::PastEnd { file, tensor: quoted(&tensor.name), end, file_len });
        }
        tensors.sort_by_key(|tensor| tensor.start);
        if let Some(pair) = tensors.windows(2).find(|pair| pair[0].end() > pair[1].start) {
            let (first, second) = (quoted(&pair[0].name), quoted(&pair[1].name));
            return Err(FormatError::Overlap { file: file.name.clone(), first, second });
        }
        Ok(Self { tensors, gguf })
    }
}

/// The file that is being read, for checks and errors.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) len: Option<u64>,
}

impl File {
    /// Refuses what would make the header end at byte `end`, if neither the file nor the limit reaches so far. `end` is
    /// wider than any sum of a position and a product of counts.
    pub(crate) fn check_header_end(
        &self,
        end: u128,
        limit: u64,
        what: impl FnOnce() -> String,
    ) -> Result<(), FormatError> {
        match self.len {
            Some(file_len) if end > file_len.into() => {
                Err(FormatError::HeaderPastEnd { file: self.name.clone(), what: what(), file_len })
            }
            _ if end > limit.into() => {
                Err(FormatError::HeaderTooLarge { file: self.name.clone(), what: what(), limit })
            }
            _ => Ok(()),
        }
    }

    /// The error of a file that doesn't begin as `format` does but with `start`.
    pub(crate) fn is_not(&self, format: &'static str, start: &[u8]) -> FormatError {
        let found = looks_like(start).unwrap_or("nothing known; check that it is the right file, or fetch it again");
        FormatError::NotThisFormat { file: self.name.clone(), format, found }
    }

    /// Refuses names beyond [`MAX_NAME_BYTES`].
    pub(crate) fn check_name_len(&self, length: u64, what: impl FnOnce() -> String) -> Result<(), FormatError> {
        if length > MAX_NAME_BYTES {
            return Err(FormatError::NameTooLong { file: self.name.clone(), what: what(), length });
        }
        Ok(())
    }

    /// Refuses counts beyond `limit`.
    pub(crate) fn check_count(&self, count: u64, limit: u64, what: &'static str) -> Result<(), FormatError> {
        if count > limit {
            return Err(FormatError::TooMany { file: self.name.clone(), what, count, limit });
        }
        Ok(())
    }
}
