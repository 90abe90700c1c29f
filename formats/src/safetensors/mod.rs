//! safetensors, the file format of Hugging Face: a JSON header, then tensor data.
//!
//! ```text
//! header length u64  header JSON, padded with spaces  data that the offsets count from
//! {"__metadata__": {..}, "name": {"dtype": "BF16", "shape": [384, 64], "data_offsets": [0, 49152]}, ..}
//! ```
//!
//! The JSON is parsed by `serde_json`, once, when all of it is there. The crate `safetensors` has a reader too, and the
//! tests use its writer; its reader wants the whole file in memory (`read_metadata` refuses a header without the data
//! behind it), its header types hold sizes in `usize`, which in wasm can't describe a shard beyond 4 GiB, and of two
//! tensors with one name it silently keeps the last.
//!
//! - `parse`: the reader
//! - [`index`]: which shard has which tensor

pub mod index;
mod parse;

pub use index::Index;
pub use parse::MAX_HEADER_BYTES;
pub(crate) use parse::Parser;
