//! The reference executor: the step program, carried out by the kernels' twins.
//!
//! It is what the other executors are held against. It is written to be read; weights stay packed, and natively products and
//! attention use all cores.

mod executor;
mod weights;

pub use executor::CpuReference;
pub use weights::ReferenceWeights;
