//! Reads a GGUF header that arrives in pieces.
//!
//! A state machine over items: a name, a number, a string of an array, the fixed part of a tensor description. An item
//! is parsed once, when all its bytes are there, and its bytes are then dropped; what is buffered is at most one
//! incomplete item. So a header of 20 MB costs 20 MB of reading however it is cut, where starting over at each piece
//! would cost the square. Nested arrays are a stack in the state and not recursion.
//!
//! What a count or length claims is checked against the file's length and [`MAX_HEADER_BYTES`] before it is believed,
//! and nothing is reserved for it even then: vectors grow with the bytes that come.

use super::value::{Array, Kind, Value};
use super::{DEFAULT_ALIGNMENT, MAGIC, Metadata, tensor_type};
use crate::error::quoted;
use crate::header::{File, MAX_RANK, MAX_TENSORS};
use crate::looks_like::looks_like;
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
const MIN_KEY_BYTES: u128 = 13;
/// Empty name (8), rank (4), one length (8), type (4), offset (8).
const MIN_TENSOR_BYTES: u128 = 32;

/// The reader's state between pushes.
#[derive(Debug)]
pub(crate) struct Parser {
    file: File,
    /// The beginning of an item that is not whole yet.
    buffer: Vec<u8>,
    /// Where `buffer` begins in the file.
    position: u64,
    state: State,
    keys: Count,
    tensors: Count,
    metadata: Metadata,
    infos: Vec<TensorInfo>,
    alignment: u64,
}

/// What the next item is.
#[derive(Debug)]
enum State {
    Magic,
    Version,
    Counts,
    Key,
    ValueType {
        key: String,
    },
    Scalar {
        key: String,
        kind: Kind,
    },
    /// The innermost open array is last; empty before the outermost one's type and count.
    Array {
        key: String,
        open: Vec<OpenArray>,
    },
    TensorName,
    Tensor {
        name: String,
    },
    Done,
}

#[derive(Debug)]
struct OpenArray {
    elements: Array,
    missing: u64,
}

/// How many of something the header has, and how many of them were read.
#[derive(Debug, Default)]
struct Count {
    total: u64,
    read: u64,
}

impl Count {
    fn is_read(&self) -> bool {
        self.read == self.total
    }
}

/// Unread bytes of the buffer and their place in the file.
#[derive(Clone, Copy)]
struct Input<'a> {
    rest: &'a [u8],
    position: u64,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        self.position += length;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

/// An item, or `None` when it is not whole yet; then `input` is as it was.
type Item<T> = Result<Option<T>, FormatError>;

impl Parser {
    pub(crate) fn new(file: File) -> Self {
        Self {
            metadata: Metadata::new(&file.name),
            file,
            buffer: Vec::new(),
            position: 0,
            state: State::Magic,
            keys: Count::default(),
            tensors: Count::default(),
            infos: Vec::new(),
            alignment: DEFAULT_ALIGNMENT,
        }
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
            let mut input = Input { rest: &buffer, position: self.position };
            while self.step(&mut input)? {}
            let left = input.rest.len();
            self.position = input.position;
            used += piece.len();
            if matches!(self.state, State::Done) {
                // What is left came with this piece: before it the last item was not whole.
                return self.build().map(|header| Some((header, used.saturating_sub(left))));
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
            State::Key => self.key_words(),
            State::ValueType { key } | State::Scalar { key, .. } | State::Array { key, .. } => {
                format!("the value of key {:?}", quoted(key))
            }
            State::TensorName => self.tensor_words(),
            State::Tensor { name } => format!("the description of tensor {:?}", quoted(name)),
            State::Done => "the header".to_owned(),
        }
    }

    fn key_words(&self) -> String {
        format!("metadata key {} of {}", self.keys.read + 1, self.keys.total)
    }

    fn tensor_words(&self) -> String {
        format!("the description of tensor {} of {}", self.tensors.read + 1, self.tensors.total)
    }

    /// Reads one item; `false` if it is not whole yet, or if all are read.
    fn step(&mut self, input: &mut Input<'_>) -> Result<bool, FormatError> {
        // Every arm that reads an item sets the next state.
        let state = std::mem::replace(&mut self.state, State::Done);
        let next = match state {
            State::Magic => self.magic(input)?.ok_or(State::Magic),
            State::Version => self.version(input)?.ok_or(State::Version),
            State::Counts => self.counts(input)?.ok_or(State::Counts),
            State::Key => match self.string(input, true, |parser| format!("the name of {}", parser.key_words()))? {
                Some(key) => Ok(State::ValueType { key }),
                None => Err(State::Key),
            },
            State::ValueType { key } => match input.u32() {
                Some(number) => Ok(match self.kind(number, &key)? {
                    Kind::Array => State::Array { key, open: Vec::new() },
                    kind => State::Scalar { key, kind },
                }),
                None => Err(State::ValueType { key }),
            },
            State::Scalar { key, kind } => match self.scalar(input, &key, kind)? {
                Some(value) => Ok(self.entry(key, value)?),
                None => Err(State::Scalar { key, kind }),
            },
            State::Array { key, mut open } => match self.array(input, &key, &mut open)? {
                Some(Some(array)) => Ok(self.entry(key, Value::Array(array))?),
                Some(None) => Ok(State::Array { key, open }),
                None => Err(State::Array { key, open }),
            },
            State::TensorName => {
                match self.string(input, true, |parser| format!("the name in {}", parser.tensor_words()))? {
                    Some(name) => Ok(State::Tensor { name }),
                    None => Err(State::TensorName),
                }
            }
            State::Tensor { name } => {
                let mut ahead = *input;
                match self.tensor(&mut ahead, &name)? {
                    Some(next) => {
                        *input = ahead;
                        Ok(next)
                    }
                    None => Err(State::Tensor { name }),
                }
            }
            State::Done => Err(State::Done),
        };
        let read = next.is_ok();
        self.state = next.unwrap_or_else(|same| same);
        Ok(read)
    }

    /// Waits for more than the magic, so that what the file is instead can be told.
    fn magic(&self, input: &mut Input<'_>) -> Item<State> {
        let Some(start) = input.rest.get(..9) else { return Ok(None) };
        if !start.starts_with(&MAGIC) {
            let found = looks_like(start).map_or_else(
                || "nothing known; check that it is the right file, or fetch it again".to_owned(),
                str::to_owned,
            );
            return Err(FormatError::NotThisFormat { file: self.file.name.clone(), format: "GGUF", found });
        }
        Ok(input.u32().map(|_| State::Version))
    }

    fn version(&self, input: &mut Input<'_>) -> Item<State> {
        let file = || self.file.name.clone();
        match input.u32() {
            None => Ok(None),
            Some(2 | 3) => Ok(Some(State::Counts)),
            Some(version) if matches!(version.swap_bytes(), 1..=3) => Err(FormatError::BigEndian { file: file() }),
            Some(version) => Err(FormatError::UnsupportedVersion { file: file(), version }),
        }
    }

    fn counts(&mut self, input: &mut Input<'_>) -> Item<State> {
        let mut ahead = *input;
        let (Some(tensors), Some(keys)) = (ahead.u64(), ahead.u64()) else { return Ok(None) };
        *input = ahead;
        self.file.check_count(tensors, MAX_TENSORS, "tensors")?;
        self.file.check_count(keys, MAX_KEYS, "metadata keys")?;
        let least = u128::from(keys) * MIN_KEY_BYTES + u128::from(tensors) * MIN_TENSOR_BYTES;
        self.file.check_header_end(u128::from(input.position) + least, MAX_HEADER_BYTES, || {
            format!("a header with {keys} metadata keys and {tensors} tensors")
        })?;
        self.keys.total = keys;
        self.tensors.total = tensors;
        Ok(Some(self.after_entry()?))
    }

    /// The state between entries.
    fn after_entry(&mut self) -> Result<State, FormatError> {
        if !self.keys.is_read() {
            return Ok(State::Key);
        }
        if let Some(found) = self.metadata.get("general.alignment") {
            let alignment = found.as_u64().filter(|value| value.is_power_of_two() && *value <= 1 << 31);
            self.alignment = alignment.ok_or_else(|| FormatError::BadAlignment {
                file: self.file.name.clone(),
                found: found.as_i64().map_or_else(|| found.type_name(), |value| value.to_string()),
            })?;
        }
        Ok(if self.tensors.is_read() { State::Done } else { State::TensorName })
    }

    fn entry(&mut self, key: String, value: Value) -> Result<State, FormatError> {
        self.metadata.insert(key, value)?;
        self.keys.read += 1;
        self.after_entry()
    }

    /// Refuses `count` things of at least `each` bytes that neither file nor limit can hold.
    fn check_claim(
        &self,
        input: &Input<'_>,
        count: u64,
        each: u64,
        what: impl FnOnce() -> String,
    ) -> Result<(), FormatError> {
        let end = u128::from(input.position) + u128::from(count) * u128::from(each);
        self.file.check_header_end(end, MAX_HEADER_BYTES, what)
    }

    fn string(&self, input: &mut Input<'_>, is_name: bool, what: impl Fn(&Self) -> String) -> Item<String> {
        let mut ahead = *input;
        let Some(length) = ahead.u64() else { return Ok(None) };
        if is_name {
            self.file.check_name_len(length, || what(self))?;
        }
        self.check_claim(&ahead, length, 1, || format!("{} with {length} bytes", what(self)))?;
        let Some(bytes) = ahead.take(length) else { return Ok(None) };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| FormatError::NotUtf8 { file: self.file.name.clone(), what: what(self) })?;
        *input = ahead;
        Ok(Some(text.to_owned()))
    }

    fn kind(&self, number: u32, key: &str) -> Result<Kind, FormatError> {
        Kind::from_number(number).ok_or_else(|| FormatError::UnknownValueType {
            file: self.file.name.clone(),
            key: quoted(key),
            value_type: number,
        })
    }

    fn scalar(&self, input: &mut Input<'_>, key: &str, kind: Kind) -> Item<Value> {
        if kind == Kind::String {
            let text = self.string(input, false, |_| format!("the value of key {:?}", quoted(key)))?;
            return Ok(text.map(Value::String));
        }
        let Some(bytes) = input.take(kind.min_bytes()) else { return Ok(None) };
        let mut one = Array::empty(kind);
        self.extend(&mut one, bytes, key)?;
        Ok(one.into_first())
    }

    /// Reads a part of an array. `Some(Some(array))` when the outermost one is whole.
    fn array(&self, input: &mut Input<'_>, key: &str, open: &mut Vec<OpenArray>) -> Item<Option<Array>> {
        let Some(array) =
            open.last_mut().filter(|array| !matches!(array.elements, Array::Array(_)) || array.missing == 0)
        else {
            // The outermost array, or an element of an array of arrays, begins.
            return self.open_array(input, key, open).map(|opened| opened.map(|()| None));
        };
        if array.missing == 0 {
            let mut whole = open.pop().map_or(Array::U8(Vec::new()), |array| array.elements);
            whole.shrink_to_fit();
            return Ok(Some(match open.last_mut() {
                Some(OpenArray { elements: Array::Array(siblings), .. }) => {
                    siblings.push(whole);
                    None
                }
                _ => Some(whole),
            }));
        }
        if let Array::String(texts) = &mut array.elements {
            let words = |_: &Self| format!("string {} of key {:?}", texts.len(), quoted(key));
            let Some(text) = self.string(input, false, words)? else { return Ok(None) };
            texts.push(text);
            array.missing -= 1;
            return Ok(Some(None));
        }
        let each = array.elements.kind().min_bytes();
        let count = array.missing.min(input.rest.len() as u64 / each);
        let Some(bytes) = input.take(count * each).filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
        self.extend(&mut array.elements, bytes, key)?;
        array.missing -= count;
        Ok(Some(None))
    }

    fn open_array(&self, input: &mut Input<'_>, key: &str, open: &mut Vec<OpenArray>) -> Item<()> {
        let mut ahead = *input;
        let (Some(number), Some(count)) = (ahead.u32(), ahead.u64()) else { return Ok(None) };
        let kind = self.kind(number, key)?;
        if open.len() == MAX_NESTING {
            let (file, key) = (self.file.name.clone(), quoted(key));
            return Err(FormatError::NestedTooDeep { file, key, limit: MAX_NESTING });
        }
        self.check_claim(&ahead, count, kind.min_bytes(), || {
            format!("an array of {count} {} elements of key {:?}", kind.name(), quoted(key))
        })?;
        *input = ahead;
        if let Some(outer) = open.last_mut() {
            outer.missing -= 1;
        }
        open.push(OpenArray { elements: Array::empty(kind), missing: count });
        Ok(Some(()))
    }

    fn extend(&self, array: &mut Array, bytes: &[u8], key: &str) -> Result<(), FormatError> {
        array.extend_from_le_bytes(bytes).map_err(|byte| FormatError::BadBool {
            file: self.file.name.clone(),
            key: quoted(key),
            byte,
        })
    }

    fn tensor(&mut self, input: &mut Input<'_>, name: &str) -> Item<State> {
        let Some(rank) = input.u32() else { return Ok(None) };
        let (file, tensor) = (|| self.file.name.clone(), || quoted(name));
        if rank == 0 || rank as usize > MAX_RANK {
            return Err(FormatError::BadRank { file: file(), tensor: tensor(), rank: rank.into() });
        }
        let mut shape = Vec::with_capacity(rank as usize);
        for _ in 0..rank {
            let Some(length) = input.u64() else { return Ok(None) };
            shape.push(length);
        }
        shape.reverse();
        let (Some(number), Some(offset)) = (input.u32(), input.u64()) else { return Ok(None) };
        let dtype = tensor_type::dtype(number).ok_or_else(|| FormatError::UnsupportedDType {
            file: file(),
            tensor: tensor(),
            dtype: tensor_type::unreadable_name(number),
        })?;
        if !offset.is_multiple_of(self.alignment) {
            let alignment = self.alignment;
            return Err(FormatError::Misaligned { file: file(), tensor: tensor(), offset, alignment });
        }
        // Its start is its offset until the header's length is known.
        self.infos.push(TensorInfo::new(&self.file, name.to_owned(), dtype, shape, offset)?);
        self.tensors.read += 1;
        Ok(Some(if self.tensors.is_read() { State::Done } else { State::TensorName }))
    }

    fn build(&mut self) -> Result<Header, FormatError> {
        // Neither can overflow: the header is at most MAX_HEADER_BYTES long and the alignment at most 2^31.
        let data = self.position.next_multiple_of(self.alignment);
        let mut infos = std::mem::take(&mut self.infos);
        for info in &mut infos {
            let start = info.start.checked_add(data).filter(|start| start.checked_add(info.bytes).is_some());
            info.start = start.ok_or_else(|| FormatError::SizeOverflow {
                file: self.file.name.clone(),
                tensor: quoted(&info.name),
            })?;
        }
        Header::new(&self.file, infos, Some(std::mem::take(&mut self.metadata)))
    }
}
