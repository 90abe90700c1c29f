//! The kernels: one WGSL file and one CPU twin per operation.
//!
//! A twin has the file name, the arguments in binding order and the arithmetic of its kernel. The twins are the reference
//! that every kernel variant is tested against, and together they are the CPU executor. Which kernels there are:
//!
//! | operation | kernels | twin |
//! | --- | --- | --- |
//! | gather embeddings | `embed.wgsl` | [`embed`] |
//! | RMS normalization | `rms_norm.wgsl` | [`rms_norm`] |
//! | matrix product | `matvec.wgsl` (few rows), `matmul.wgsl` (many), both also in f16; `matvec_serial.wgsl` (on a processor) | [`matmul`] |
//! | the same in 8-bit integers | `quantize.wgsl`, `matvec_packed.wgsl` (few rows), `matmul_packed.wgsl` (many), `subgroup_matmul_packed.wgsl` (many, by matrix units) | [`quantize`], [`matmul`] |
//! | rotary embedding and KV write | `rope_kv.wgsl` | [`rope_kv`] |
//! | paged attention | `attention.wgsl` (any heads), `attention_tile.wgsl` (many rows), `attention_split.wgsl` and `attention_reduce.wgsl` (few), `attention_serial.wgsl` (on a processor) | [`attention`] |
//! | gated activation | `silu_mul.wgsl` | [`silu_mul`] |
//! | pick rows for the head | `gather_rows.wgsl` | [`gather_rows`] |
//! | draw tokens | `sample_adjust.wgsl`, `sample_mask.wgsl`, `sample_survey.wgsl` and `sample_sift.wgsl` before `sample_filter.wgsl`, `sample_scan.wgsl`, `sample_pick.wgsl` | [`sample`] |
//!
//! [`variant`] says how a kernel may be built, [`source`] builds its WGSL. [`serial`] has what is for processors that stand in for a GPU.

pub mod attention;
mod defaults;
pub mod embed;
pub mod gather_rows;
pub mod matmul;
mod matrix_unit;
pub mod quantize;
pub mod rms_norm;
pub mod rope_kv;
pub mod sample;
pub mod serial;
pub mod silu_mul;
pub mod source;
pub mod variant;

pub use matrix_unit::MatrixUnit;
pub use variant::KernelVariant;
