//! Streaming readers of GGUF and safetensors files, without I/O.
//!
//! A model file is larger than a wasm heap, so no reader here ever holds one. Whoever has the bytes (a file, a `fetch`
//! body, a test) pushes them in cuts of any size into a [`FileStream`]; it keeps the header, tells it to a
//! [`TensorSink`] once it is whole, and passes every later byte on as a slice of what was pushed, with the tensor that
//! it belongs to. Nothing waits, blocks or reads ahead, so the same code runs in a `SharedWorker` and in a terminal.
//!
//! Files come from strangers. Every count, length and offset is checked against what the file can hold before anything
//! is reserved for it, and whatever is wrong is a [`FormatError`] that names the file and the tensor or key.
//!
//! - [`stream`]: the push parser and its sink
//! - [`header`]: tensors and where they lie, and the rules that hold for every file
//! - [`dtype`]: element types and their blocks
//! - [`gguf`]: metadata, the reader's state machine, a writer
//! - [`safetensors`]: the JSON header, the index of a sharded model
//! - [`error`]: what can be wrong
//!
//! ```
//! use tilewright_formats::{DType, FileStream, FormatError, Header, TensorSink, gguf};
//!
//! struct Sizes(Vec<u64>);
//! impl TensorSink for Sizes {
//!     type Error = FormatError;
//!     fn header(&mut self, header: &Header) -> Result<(), FormatError> {
//!         self.0 = vec![0; header.tensors.len()];
//!         Ok(())
//!     }
//!     fn data(&mut self, tensor: usize, _offset: u64, bytes: &[u8]) -> Result<(), FormatError> {
//!         self.0[tensor] += bytes.len() as u64;
//!         Ok(())
//!     }
//! }
//!
//! let metadata = gguf::Metadata::from_entries("tiny.gguf", [("general.architecture", "llama".into())])?;
//! let weight = gguf::Tensor { name: "output.weight", dtype: DType::Q8_0, shape: &[2, 32], data: &[7; 68] };
//! let file = gguf::write(&metadata, &[weight])?;
//!
//! let mut stream = FileStream::gguf("tiny.gguf", Some(file.len() as u64));
//! let mut sizes = Sizes(Vec::new());
//! for piece in file.chunks(10) {
//!     stream.push(piece, &mut sizes)?;
//! }
//! let header = stream.finish()?;
//! assert_eq!(header.tensors[0].shape, [2, 32]);
//! assert_eq!(sizes.0, [68]);
//! # Ok::<(), FormatError>(())
//! ```

#![forbid(unsafe_code)]

pub mod dtype;
pub mod error;
pub mod gguf;
pub mod header;
mod looks_like;
pub mod safetensors;
pub mod stream;

pub use dtype::DType;
pub use error::FormatError;
pub use header::{Header, TensorInfo};
pub use stream::{FileStream, TensorSink};
