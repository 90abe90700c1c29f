//! What a fresh machine lacks.

pub(crate) mod wasm_toolchain;
