//! What can be wrong with a model file.
//!
//! Each variant names the file, and the tensor or key where there is one, and its message says what to do. Names come
//! from the file, so they are printed quoted and escaped, and cut to [`MAX_QUOTED`] characters: a hostile name can
//! neither flood a log nor drive a terminal.

use crate::DType;
use thiserror::Error;

/// Characters that an error keeps of a name or text from the file.
pub const MAX_QUOTED: usize = 120;

/// Why a file can't be read. Cheap to compare, so that tests can say exactly what they expect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file begins like something else.
    #[error("{file:?} is not a {format} file: it begins like {found}")]
    NotThisFormat {
        /// The file.
        file: String,
        /// "GGUF" or "safetensors".
        format: &'static str,
        /// What it is instead, and what to do.
        found: &'static str,
    },
    /// A GGUF written on a big-endian machine.
    #[error("{file:?} is a big-endian GGUF; convert the model again without `--bigendian`")]
    BigEndian {
        /// The file.
        file: String,
    },
    /// A GGUF version other than 2 and 3.
    #[error(
        "{file:?} is GGUF version {version}; versions 2 and 3 can be read: convert the model again with a current llama.cpp"
    )]
    UnsupportedVersion {
        /// The file.
        file: String,
        /// What it says.
        version: u32,
    },
    /// The bytes ended too early.
    #[error("{file:?} ends after {got} bytes, inside {place}; the download is incomplete: fetch the file again")]
    Truncated {
        /// The file.
        file: String,
        /// What the missing bytes belong to.
        place: String,
        /// Bytes that came.
        got: u64,
    },
    /// More bytes came than the file was said to have.
    #[error(
        "{file:?} was announced with {announced} bytes and has more; give its real length, or none (a compressed response has no usable length)"
    )]
    LongerThanAnnounced {
        /// The file.
        file: String,
        /// The length given to the stream.
        announced: u64,
    },
    /// A count or length in the header that no header within the limit can hold.
    #[error(
        "{file:?}: {what} would take the header past {limit} bytes, the most that is read; the file is damaged or hostile: fetch it again from a source that you trust"
    )]
    HeaderTooLarge {
        /// The file.
        file: String,
        /// What is too large, with its size.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A count or length in the header that the rest of the file can't hold.
    #[error("{file:?}: {what} can't fit into a file of {file_len} bytes; the file is damaged: fetch it again")]
    HeaderPastEnd {
        /// The file.
        file: String,
        /// What is too large, with its size.
        what: String,
        /// The file's length in bytes.
        file_len: u64,
    },
    /// More keys or tensors than any model has.
    #[error(
        "{file:?} says that it has {count} {what}, and at most {limit} are read; the file is damaged or hostile: fetch it again from a source that you trust"
    )]
    TooMany {
        /// The file.
        file: String,
        /// "metadata keys" or "tensors".
        what: &'static str,
        /// How many.
        count: u64,
        /// The limit.
        limit: u64,
    },
    /// A key or tensor name longer than 65535 bytes, GGUF's limit.
    #[error(
        "{file:?}: the name of {what} is {length} bytes long, and at most 65535 are read; the file is damaged: fetch it again"
    )]
    NameTooLong {
        /// The file.
        file: String,
        /// Which name.
        what: String,
        /// Its length in bytes.
        length: u64,
    },
    /// Text that is not UTF-8.
    #[error("{file:?}: {what} is not valid UTF-8; the file is damaged: fetch it again")]
    NotUtf8 {
        /// The file.
        file: String,
        /// Which text.
        what: String,
    },
    /// A metadata value of a type that GGUF doesn't have.
    #[error(
        "{file:?}: the value of key {key:?} has type {value_type}, and GGUF's types are 0 to 12; the file is damaged, or newer than this reader"
    )]
    UnknownValueType {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The type's number.
        value_type: u32,
    },
    /// A boolean that is neither 0 nor 1.
    #[error("{file:?}: a boolean of key {key:?} is {byte}, neither 0 nor 1; the file is damaged: fetch it again")]
    BadBool {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// What it is.
        byte: u8,
    },
    /// Arrays of arrays of arrays and so on.
    #[error(
        "{file:?}: the arrays of key {key:?} are nested deeper than {limit}; no model needs that: fetch the file from a source that you trust"
    )]
    NestedTooDeep {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The deepest nesting that is read.
        limit: usize,
    },
    /// A metadata key that occurs twice.
    #[error(
        "{file:?} has the metadata key {key:?} twice; which value is meant can't be known: convert the model again"
    )]
    DuplicateKey {
        /// The file.
        file: String,
        /// The key.
        key: String,
    },
    /// `general.alignment` is not a power of two.
    #[error(
        "{file:?}: general.alignment is {found}, and it has to be a power of two of at most 2^31; the file is damaged: fetch it again"
    )]
    BadAlignment {
        /// The file.
        file: String,
        /// What it is.
        found: String,
    },
    /// A metadata key that was asked for is not there.
    #[error(
        "{file:?} has no metadata key {key:?}, which this model needs; convert the model again with a current llama.cpp"
    )]
    MissingKey {
        /// The file.
        file: String,
        /// The key.
        key: String,
    },
    /// A metadata value of another type than was asked for.
    #[error(
        "{file:?}: metadata key {key:?} should be {expected} and is {found}; convert the model again with a current llama.cpp"
    )]
    WrongValueType {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// JSON that can't be parsed, or says something else than the format wants.
    #[error("{file:?}: the JSON is not as it should be: {message}; the file is damaged: fetch it again")]
    Json {
        /// The file.
        file: String,
        /// What the JSON parser said.
        message: String,
    },
    /// A tensor name that occurs twice.
    #[error("{file:?} has the tensor {tensor:?} twice; which one is meant can't be known: convert the model again")]
    DuplicateTensor {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// An element type that the engine has no kernels for, or that doesn't exist.
    #[error("{file:?}: tensor {tensor:?} has type {dtype}, which can't be read; use a file with types {readable}", readable = readable())]
    UnsupportedDType {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// The type's name, or its number if it has none.
        dtype: String,
    },
    /// A tensor with no dimensions or with more than 4.
    #[error(
        "{file:?}: tensor {tensor:?} has {rank} dimensions, and only tensors with 1 to 4 are read; the file is damaged, or of a kind of model that can't be run"
    )]
    BadRank {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// How many dimensions it has.
        rank: u64,
    },
    /// A tensor with a dimension of length 0.
    #[error("{file:?}: tensor {tensor:?} has a dimension of length 0; the file is damaged: fetch it again")]
    EmptyTensor {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor whose size or end is not below 2^64.
    #[error(
        "{file:?}: the size of tensor {tensor:?} overflows 64 bits; the file is damaged or hostile: fetch it again from a source that you trust"
    )]
    SizeOverflow {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A quantized tensor whose rows are not a whole number of blocks.
    #[error("{file:?}: the rows of tensor {tensor:?} have {row} elements, which is not a multiple of the {block} in a block of {dtype}; the file is damaged: fetch it again", block = dtype.block_len())]
    PartialBlock {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: DType,
        /// Elements in its innermost dimension.
        row: u64,
    },
    /// A GGUF tensor that doesn't begin at a multiple of the file's alignment.
    #[error(
        "{file:?}: tensor {tensor:?} begins at offset {offset}, which is not a multiple of the alignment {alignment}; the file is damaged: fetch it again"
    )]
    Misaligned {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Its offset in the tensor data.
        offset: u64,
        /// The file's alignment in bytes.
        alignment: u64,
    },
    /// A tensor whose data is not as long as its shape and type say.
    #[error(
        "{file:?}: tensor {tensor:?} needs {expected} bytes by its shape and type and has {found}; the file is damaged: fetch it again"
    )]
    WrongTensorSize {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Bytes by shape and type.
        expected: u64,
        /// Bytes by the offsets; negative when the end lies before the beginning.
        found: i128,
    },
    /// A tensor that ends after the file's end.
    #[error(
        "{file:?}: tensor {tensor:?} ends at byte {end}, and the file has {file_len}; the download is incomplete or the file is damaged: fetch it again"
    )]
    PastEnd {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Where it ends.
        end: u64,
        /// The file's length in bytes.
        file_len: u64,
    },
    /// Two tensors share bytes.
    #[error(
        "{file:?}: the tensors {first:?} and {second:?} overlap; the file is damaged or hostile: fetch it again from a source that you trust"
    )]
    Overlap {
        /// The file.
        file: String,
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
    },
    /// A shard in an index that is not a plain file name.
    #[error(
        "{file:?} names the shard {shard:?}, which is not a plain file name (letters, digits, '-', '_' and '.'); use a model from a source that you trust"
    )]
    BadShardName {
        /// The index file.
        file: String,
        /// The name.
        shard: String,
    },
    /// An index that names no shard.
    #[error("{file:?} names no shard: its weight_map is empty; fetch it again")]
    NoShards {
        /// The index file.
        file: String,
    },
    /// Bytes were pushed, or the end declared, after an error.
    #[error("reading {file:?} stopped at an earlier error; begin the file again with a new stream")]
    Stopped {
        /// The file.
        file: String,
    },
}

fn readable() -> String {
    DType::ALL.map(DType::name).join(", ")
}

/// A name or text from the file as an error keeps it.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{FormatError, MAX_QUOTED, quoted};

    #[test]
    fn a_hostile_name_is_cut_and_escaped_in_the_message() {
        let tensor = quoted(&"\u{1b}[2Jé".repeat(1000));
        assert_eq!(tensor.chars().count(), MAX_QUOTED + 1);
        let message = FormatError::EmptyTensor { file: "m.gguf".into(), tensor }.to_string();
        assert!(message.len() < 2000 && !message.contains('\u{1b}'), "{message}");
    }

    #[test]
    fn an_unsupported_type_is_answered_with_those_that_can_be_read() {
        let error =
            FormatError::UnsupportedDType { file: "m.gguf".into(), tensor: "t".into(), dtype: "IQ2_XXS".into() };
        assert!(error.to_string().contains("IQ2_XXS, which can't be read; use a file with types F32, F16, BF16, Q4_0"));
    }

    #[test]
    fn an_error_is_small_enough_to_pass_by_value() {
        assert!(size_of::<FormatError>() <= 128, "{}", size_of::<FormatError>());
    }
}
