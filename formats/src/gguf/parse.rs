//! Reads a GGUF header that arrives in pieces.
//!
//! A state machine over items: a name, a number, a string of an array, the fixed part of a tensor description. An item
//! is parsed once, when all its bytes are there, and its bytes are then dropped; what is buffered is at most one
//! incomplete item. So a header of 20 MB costs 20 MB of reading however it is cut, where starting over at each piece
//! would cost the square.
//!
//! What a count or length claims is checked against the file's length and [`MAX_HEADER_BYTES`] before it is believed,
//! and nothing is reserved for it even then: vectors grow with the bytes that come.

use super::item::{Input, Item};
use super::partial_value::PartialValue;
use super::{DEFAULT_ALIGNMENT, MAGIC, Metadata, tensor_type};
use crate::error::quoted;
use crate::header::{File, MAX_RANK, MAX_TENSORS};
use crate::{FormatError, Header, TensorInfo};

/// Most bytes that a header may have. The largest vocabularies of 2026 (262 144 tokens, half a million merges) take
/// some 20 MB.
pub const MAX_HEADER_BYTES: u64 = 128 << 20;
/// Most keys that the metadata may have; models have some 30 to 60.
pub const MAX_KEYS: u64 = 1 << 16;
/// How deep arrays may be nested: an array of arrays has depth 2. No known key is deeper than 1.
pub const MAX_NESTING: usize = 8;

/// Pushed bytes are copied into the buffer this many at a time, so that of a large piece with the header's end in it
/// only the header is copied.
const PIECE_BYTES: usize = 64 << 10;
/// Empty name (8), type (4), one byte of value.
const MIN_KEY_BYTES: u64 = 13;
/// Empty name (8), rank (4), one length (8), type (4), offset (8).
const MIN_TENSOR_BYTES: u64 = 32;

/// The reader's state between pushes.
#[derive(Debug)]
pub(crate) struct Parser {
    /// The beginning of an item that is not whole yet.
    buffer: Vec<u8>,
    /// Where `buffer` begins in the file.
    position: u64,
    file: File,
    state: State,
    contents: Contents,
}

/// What the next item is.
#[derive(Debug)]
enum State {
    Magic,
    Version,
    Counts,
    Key,
    ValueType { key: String },
    Value { key: String, value: PartialValue },
    TensorName,
    Tensor { name: String },
    Done,
}

/// What was read.
#[derive(Debug)]
struct Contents {
    keys: u64,
    tensors: u64,
    metadata: Metadata,
    /// Their `start` is the offset until the header's length is known.
    infos: Vec<TensorInfo>,
    alignment: u64,
}

impl Parser {
    pub(crate) fn new(file: File) -> Self {
        let metadata = Metadata::new(&file.name);
        let contents = Contents { keys: 0, tensors: 0, metadata, infos: Vec::new(), alignment: DEFAULT_ALIGNMENT };
        Self { buffer: Vec::new(), position: 0, file, state: State::Magic, contents }
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Reads on. When the header is whole, returns it and how many of `bytes` belong to it.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Option<(Header, usize)>, FormatError> {
        let mut used = 0;
        for piece in bytes.chunks(PIECE_BYTES) {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.extend_from_slice(piece);
            let mut input = Input { file: &self.file, rest: &buffer, position: self.position };
            loop {
                // Put back below: after an error the state is of no more use.
                let state = std::mem::replace(&mut self.state, State::Done);
                let (next, is_read) = self.contents.step(state, &mut input)?;
                self.state = next;
                if !is_read {
                    break;
                }
            }
            let left = input.rest.len();
            self.position = input.position;
            used += piece.len();
            if matches!(self.state, State::Done) {
                // What is left came with this piece: before it the last item was not whole.
                let header = self.contents.build(&self.file, self.position)?;
                return Ok(Some((header, used.saturating_sub(left))));
            }
            buffer.drain(..buffer.len() - left);
            if buffer.is_empty() && buffer.capacity() > 2 * PIECE_BYTES {
                buffer = Vec::new();
            }
            self.buffer = buffer;
        }
        Ok(None)
    }

    /// What is being read, for an error about a file that ends here.
    pub(crate) fn place(&self) -> String {
        match &self.state {
            State::Magic | State::Version | State::Counts => "the first 24 bytes of the header".to_owned(),
            State::Key => self.contents.key_words(),
            State::ValueType { key } | State::Value { key, .. } => format!("the value of key {:?}", quoted(key)),
            State::TensorName => self.contents.tensor_words(),
            State::Tensor { name } => format!("the description of tensor {:?}", quoted(name)),
            State::Done => "the header".to_owned(),
        }
    }
}

impl Contents {
    /// Reads one item, or all of a value that is there. Gives the next state and whether it is a new one: `false` if
    /// the item is not whole yet, or all are read.
    fn step(&mut self, state: State, input: &mut Input<'_>) -> Result<(State, bool), FormatError> {
        let next = match state {
            State::Magic => magic(input)?.ok_or(State::Magic),
            State::Version => version(input)?.ok_or(State::Version),
            State::Counts => self.counts(input)?.ok_or(State::Counts),
            State::Key => {
                let key = input.name(|| format!("the name of {}", self.key_words()))?;
                key.map(|key| State::ValueType { key }).ok_or(State::Key)
            }
            State::ValueType { key } => match input.kind(&key)? {
                Some(kind) => Ok(State::Value { key, value: PartialValue::new(kind) }),
                None => Err(State::ValueType { key }),
            },
            State::Value { key, mut value } => match value.read(input, &key)? {
                Some(value) => {
                    self.metadata.insert(key, value)?;
                    Ok(self.after_entry(input.file)?)
                }
                None => Err(State::Value { key, value }),
            },
            State::TensorName => {
                let name = input.name(|| format!("the name in {}", self.tensor_words()))?;
                name.map(|name| State::Tensor { name }).ok_or(State::TensorName)
            }
            State::Tensor { name } => match tensor(input, &name, self.alignment)? {
                Some(info) => {
                    self.infos.push(info);
                    Ok(self.next_tensor())
                }
                None => Err(State::Tensor { name }),
            },
            State::Done => Err(State::Done),
        };
        Ok(match next {
            Ok(next) => (next, true),
            Err(same) => (same, false),
        })
    }

    fn key_words(&self) -> String {
        format!("metadata key {} of {}", self.metadata.len() + 1, self.keys)
    }

    fn tensor_words(&self) -> String {
        format!("the description of tensor {} of {}", self.infos.len() + 1, self.tensors)
    }

    fn counts(&mut self, input: &mut Input<'_>) -> Item<State> {
        let mut ahead = *input;
        let (Some(tensors), Some(keys)) = (ahead.u64(), ahead.u64()) else { return Ok(None) };
        *input = ahead;
        input.file.check_count(tensors, MAX_TENSORS, "tensors")?;
        input.file.check_count(keys, MAX_KEYS, "metadata keys")?;
        // Both counts are small now.
        input.check_claim(keys * MIN_KEY_BYTES + tensors * MIN_TENSOR_BYTES, 1, || {
            format!("a header with {keys} metadata keys and {tensors} tensors")
        })?;
        (self.keys, self.tensors) = (keys, tensors);
        self.after_entry(input.file).map(Some)
    }

    /// The state between keys, and after the last one.
    fn after_entry(&mut self, file: &File) -> Result<State, FormatError> {
        if (self.metadata.len() as u64) < self.keys {
            return Ok(State::Key);
        }
        self.alignment = self.metadata.alignment(file)?;
        Ok(self.next_tensor())
    }

    fn next_tensor(&self) -> State {
        if (self.infos.len() as u64) < self.tensors { State::TensorName } else { State::Done }
    }

    /// The header, which is `length` bytes long.
    fn build(&mut self, file: &File, length: u64) -> Result<Header, FormatError> {
        // This can't overflow: the header is at most MAX_HEADER_BYTES long and the alignment at most 2^31.
        let data = length.next_multiple_of(self.alignment);
        let mut infos = std::mem::take(&mut self.infos);
        for info in &mut infos {
            let start = info.start.checked_add(data).filter(|start| start.checked_add(info.bytes).is_some());
            info.start = start
                .ok_or_else(|| FormatError::SizeOverflow { file: file.name.clone(), tensor: quoted(&info.name) })?;
        }
        Header::new(file, infos, Some(std::mem::take(&mut self.metadata)))
    }
}

/// Waits for more than the magic, so that what the file is instead can be told.
fn magic(input: &mut Input<'_>) -> Item<State> {
    let Some(start) = input.rest.get(..9) else { return Ok(None) };
    if !start.starts_with(&MAGIC) {
        return Err(input.file.is_not("GGUF", start));
    }
    Ok(input.u32().map(|_| State::Version))
}

fn version(input: &mut Input<'_>) -> Item<State> {
    let file = || input.file.name.clone();
    match input.u32() {
        None => Ok(None),
        Some(2 | 3) => Ok(Some(State::Counts)),
        Some(version) if matches!(version.swap_bytes(), 1..=3) => Err(FormatError::BigEndian { file: file() }),
        Some(version) => Err(FormatError::UnsupportedVersion { file: file(), version }),
    }
}

/// A tensor's description after its name.
fn tensor(input: &mut Input<'_>, name: &str, alignment: u64) -> Item<TensorInfo> {
    let (file, tensor) = (|| input.file.name.clone(), || quoted(name));
    let mut ahead = *input;
    let Some(rank) = ahead.u32() else { return Ok(None) };
    if rank == 0 || rank as usize > MAX_RANK {
        return Err(FormatError::BadRank { file: file(), tensor: tensor(), rank: rank.into() });
    }
    let mut shape = Vec::with_capacity(rank as usize);
    for _ in 0..rank {
        let Some(length) = ahead.u64() else { return Ok(None) };
        shape.push(length);
    }
    shape.reverse();
    let (Some(number), Some(offset)) = (ahead.u32(), ahead.u64()) else { return Ok(None) };
    let dtype = tensor_type::dtype(number).ok_or_else(|| FormatError::UnsupportedDType {
        file: file(),
        tensor: tensor(),
        dtype: tensor_type::unreadable_name(number),
    })?;
    if !offset.is_multiple_of(alignment) {
        return Err(FormatError::Misaligned { file: file(), tensor: tensor(), offset, alignment });
    }
    let info = TensorInfo::new(input.file, name.to_owned(), dtype, shape, offset)?;
    *input = ahead;
    Ok(Some(info))
}
