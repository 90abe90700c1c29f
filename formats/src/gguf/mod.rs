//! GGUF, the file format of llama.cpp: metadata, tensor descriptions, then tensor data at aligned offsets.
//!
//! Versions 2 and 3, little endian; they differ in nothing that a reader of little-endian files sees. Layout:
//!
//! ```text
//! "GGUF"  version u32  tensor count u64  key count u64
//! keys:    name string  type u32  value
//! tensors: name string  rank u32  ne u64 x rank (innermost first)  type u32  offset u64
//! padding to general.alignment (32 if absent), then the data that the offsets count from
//! ```
//!
//! A string is a length u64 and UTF-8 bytes; an array is an element type u32, a count u64 and the elements.
//!
//! - [`value`]: what a key can hold
//! - [`metadata`]: the keys in their order, with typed getters
//! - `tensor_type`: ggml's numbers for element types
//! - `parse`: the reader's state machine
//! - `partial_value`: values that are not whole yet
//! - `item`: names, numbers, strings
//! - [`write()`]: bytes from metadata and tensors

mod item;
pub mod metadata;
mod parse;
mod partial_value;
mod tensor_type;
pub mod value;
mod write;

pub use metadata::Metadata;
pub(crate) use parse::Parser;
pub use parse::{MAX_HEADER_BYTES, MAX_KEYS, MAX_NESTING};
pub use value::{Array, Value};
pub use write::{Tensor, write};

/// The first bytes of every GGUF.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// Where tensor data begins and each tensor begins is a multiple of this many bytes, unless `general.alignment` says
/// otherwise.
pub const DEFAULT_ALIGNMENT: u64 = 32;
