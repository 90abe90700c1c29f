//! Tests of the readers from the outside: what they say of valid, cut, hostile and random files.
//!
//! - [`recorder`]: a sink that keeps what it gets and checks the order
//! - [`valid_files`]: strategies that make valid files, with what they say
//! - [`cuts`]: any cut of a valid file reads the same
//! - [`gguf_hostile`], [`safetensors_hostile`]: one test per way to lie
//! - [`fuzz`]: random and mutated files, a minute each
//! - [`memory`]: what a reader allocates, counted
//! - [`real_files`]: a real model, and the parity tests' fixture

mod cuts;
mod fuzz;
mod gguf_hostile;
mod memory;
mod real_files;
mod recorder;
mod safetensors_hostile;
mod valid_files;
