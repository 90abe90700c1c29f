//! The CPU executors: the step program carried out on main memory.
//!
//! [`CpuExecutor`] is the fast one, of the same source for every instruction set:
//!
//! - `simd`: sixteen lanes, by what the processor has
//! - `packed`, `weights`: weights as the products read them
//! - `tiles`, `input`, `panels`: activations as products write and read them
//! - `product`, `vector_math`: matrix products and what follows them
//! - `kv_cache`, `attention`: keys and values in blocks, and attention over them
//! - `stages`, `executor`: the program's operations, joined, and a step
//! - `threads`, `room`: who computes, and with what room
//! - `self_check`: whether vectors compute what they should
//!
//! [`CpuReference`](reference::CpuReference) carries out the same program with the kernels' twins, to be read and to be compared with.

#![allow(clippy::inline_always, reason = "an intrinsic is one instruction only within the function compiled for it")]

mod attention;
mod executor;
mod input;
mod kv_cache;
mod packed;
mod panels;
mod product;
pub mod reference;
mod room;
mod self_check;
mod simd;
mod stages;
#[cfg(test)]
mod tests;
mod threads;
mod tiles;
mod vector_math;
mod weights;

pub use executor::CpuExecutor;
pub use self_check::vectors_are_right;
pub use weights::CpuWeights;
