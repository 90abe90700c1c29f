//! The CPU executor: the step program, carried out by the kernels' twins.
//!
//! It is the reference that the GPU executor is held against, and what runs where there is no GPU. It is written to be
//! read; weights stay packed, and natively products and attention use all cores.

mod executor;
mod weights;

pub use executor::CpuExecutor;
pub use weights::CpuWeights;
