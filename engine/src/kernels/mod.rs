//! The kernels: one WGSL file and one CPU twin per operation.
//!
//! A twin has the file name, the arguments in binding order and the arithmetic of its kernel. The twins are the reference
//! that every kernel variant is tested against, and together they are the CPU executor. Which kernels there are:
//!
//! | operation | kernels | twin |
//! | --- | --- | --- |
//! | gather embeddings | `embed.wgsl` | [`embed`] |
//! | RMS normalization | `rms_norm.wgsl` | [`rms_norm`] |
//! | matrix product | `matvec.wgsl` (few rows), `matmul.wgsl` (many) | [`matmul`] |
//! | rotary embedding and KV write | `rope_kv.wgsl` | [`rope_kv`] |
//! | paged attention | `attention.wgsl` | [`attention`] |
//! | gated activation | `silu_mul.wgsl` | [`silu_mul`] |
//! | pick rows for the head | `gather_rows.wgsl` | [`gather_rows`] |
//!
//! [`variant`] says how a kernel may be built, [`source`] builds its WGSL.

pub mod attention;
pub mod embed;
pub mod gather_rows;
pub mod matmul;
pub mod rms_norm;
pub mod rope_kv;
pub mod silu_mul;
pub mod source;
pub mod variant;

pub use variant::KernelVariant;
