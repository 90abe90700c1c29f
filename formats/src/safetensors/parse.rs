//! Reads a safetensors header that arrives in pieces.
//!
//! The length comes first, so the JSON is collected and parsed when it is whole. The buffer grows with the bytes that
//! come, not with the length that is claimed.

use crate::error::quoted;
use crate::header::{File, MAX_RANK, MAX_TENSORS};
use crate::{DType, FormatError, Header, TensorInfo};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Most bytes that the JSON may have; the limit of the format's own implementation.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

const LENGTH_BYTES: usize = 8;

/// The reader's state between pushes.
#[derive(Debug)]
pub(crate) struct Parser {
    file: File,
    /// The file from its beginning on.
    buffer: Vec<u8>,
    /// Length and JSON, once the length is known and believed.
    header_bytes: Option<usize>,
}

impl Parser {
    pub(crate) fn new(file: File) -> Self {
        Self { file, buffer: Vec::new(), header_bytes: None }
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// What is being read, for an error about a file that ends here.
    pub(crate) fn place(&self) -> String {
        match self.header_bytes {
            None => "the length of the header".to_owned(),
            Some(bytes) => format!("the header of {} bytes", bytes - LENGTH_BYTES),
        }
    }

    /// Reads on. When the header is whole, returns it and how many of `bytes` belong to it.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Option<(Header, usize)>, FormatError> {
        let mut used = 0;
        let header_bytes = if let Some(header_bytes) = self.header_bytes {
            header_bytes
        } else {
            // With the first byte of the JSON a file of another kind is found for sure.
            used = self.fill(bytes, LENGTH_BYTES + 1);
            let Some((length, json)) = self.buffer.split_first_chunk() else { return Ok(None) };
            if json.is_empty() {
                return Ok(None);
            }
            let header_bytes = self.check_length(u64::from_le_bytes(*length), json)?;
            *self.header_bytes.insert(header_bytes)
        };
        used += self.fill(bytes.get(used..).unwrap_or_default(), header_bytes);
        match self.buffer.get(LENGTH_BYTES..header_bytes) {
            None => Ok(None),
            Some(json) => self.parse(json, header_bytes as u64).map(|header| Some((header, used))),
        }
    }

    /// Takes bytes until the buffer has `length`; says how many.
    fn fill(&mut self, bytes: &[u8], length: usize) -> usize {
        let missing = length.saturating_sub(self.buffer.len());
        let taken = bytes.get(..missing).unwrap_or(bytes);
        self.buffer.extend_from_slice(taken);
        taken.len()
    }

    fn check_length(&self, length: u64, json: &[u8]) -> Result<usize, FormatError> {
        if json.first() != Some(&b'{') {
            return Err(self.file.is_not("safetensors", &self.buffer));
        }
        let end = LENGTH_BYTES as u128 + u128::from(length);
        let limit = LENGTH_BYTES as u64 + MAX_HEADER_BYTES;
        self.file.check_header_end(end, limit, || format!("a header of {length} bytes"))?;
        Ok(LENGTH_BYTES + length as usize)
    }

    fn parse(&self, json: &[u8], data: u64) -> Result<Header, FormatError> {
        let text = std::str::from_utf8(json)
            .map_err(|_| FormatError::NotUtf8 { file: self.file.name.clone(), what: "the header".to_owned() })?;
        let Entries(entries) = parse_json(&self.file.name, text)?;
        let tensors = entries.into_iter().map(|(name, entry)| self.tensor(name, entry, data));
        Header::new(&self.file, tensors.collect::<Result<_, _>>()?, None)
    }

    fn tensor(&self, name: String, entry: Entry, data: u64) -> Result<TensorInfo, FormatError> {
        let (file, tensor) = (|| self.file.name.clone(), quoted(&name));
        self.file.check_name_len(name.len() as u64, || format!("tensor {tensor:?}"))?;
        let dtype = match entry.dtype.as_str() {
            "F32" => DType::F32,
            "F16" => DType::F16,
            "BF16" => DType::Bf16,
            other => return Err(FormatError::UnsupportedDType { file: file(), tensor, dtype: quoted(other) }),
        };
        if entry.shape.rank as usize > MAX_RANK {
            return Err(FormatError::BadRank { file: file(), tensor, rank: entry.shape.rank });
        }
        let (begin, end) = entry.data_offsets;
        let Some(start) = begin.checked_add(data) else {
            return Err(FormatError::SizeOverflow { file: file(), tensor });
        };
        let info = TensorInfo::new(&self.file, name, dtype, entry.shape.lengths, start)?;
        let found = i128::from(end) - i128::from(begin);
        if found != i128::from(info.bytes) {
            return Err(FormatError::WrongTensorSize { file: file(), tensor, expected: info.bytes, found });
        }
        Ok(info)
    }
}

/// Parses JSON from a stranger; an error's text is cut, as it may quote the file at any length.
pub(super) fn parse_json<'a, T: Deserialize<'a>>(file: &str, json: &'a str) -> Result<T, FormatError> {
    serde_json::from_str(json).map_err(|error| FormatError::Json {
        file: file.to_owned(),
        message: format!("line {}, column {}: {}", error.line(), error.column(), quoted(&error.to_string())),
    })
}

/// The header's tensors, in the order of the JSON and with those that occur twice.
struct Entries(Vec<(String, Entry)>);

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

/// Lengths of dimensions; of a shape with more than [`MAX_RANK`] only how many there are.
struct Shape {
    rank: u64,
    lengths: Vec<u64>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one entry per tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if entries.len() as u64 == MAX_TENSORS {
                        return Err(A::Error::custom(format!("there are more than {MAX_TENSORS} tensors")));
                    }
                    let entry = map
                        .next_value()
                        .map_err(|error| A::Error::custom(format!("tensor {:?}: {error}", quoted(&name))))?;
                    entries.push((name, entry));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lengths;
        impl<'de> Visitor<'de> for Lengths {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of lengths")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut shape = Shape { rank: 0, lengths: Vec::new() };
                while let Some(length) = list.next_element()? {
                    shape.rank += 1;
                    if shape.rank as usize <= MAX_RANK {
                        shape.lengths.push(length);
                    }
                }
                Ok(shape)
            }
        }
        deserializer.deserialize_seq(Lengths)
    }
}
