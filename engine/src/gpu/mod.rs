//! The GPU executor: the step program as dispatches, through `wgpu` (Vulkan, Metal, D3D12 natively, WebGPU in a browser).
//!
//! - [`device`]: finding a GPU, its limits, and learning of its loss
//! - `weights`: the canonical layout in buffers, split where a binding would be too large
//! - `memory`: activations, step data and the KV cache
//! - `ledger`: what was made, and what memory it takes
//! - `pipelines`: kernels compiled once; [`ahead`]: beside whatever the device does
//! - `planted`: faults for tests
//! - `dispatch`: a kernel bound to buffers; `binder`: operations as dispatches; `rung`: by which kernels
//! - `integers`: products of 8-bit integers
//! - `sampler`: drawing tokens; `sampler_memory`: in what
//! - `flight`: steps that were not read back yet, and the sequences they belong to
//! - [`profile`]: where a step's time goes
//! - [`check`]: kernels against their twins, also in browsers
//! - [`trial`]: one operation on made-up operands, to try kernel variants on; `stopwatch`: how long they take
//! - [`tuned_op`]: operations by value, `choices`: which variants were chosen for them
//! - [`tunable`]: an executor whose choices change while it is in use; [`rehearsal`]: steps that serve nobody
//! - `readback`: bringing tokens and logits back
//! - [`executor`](GpuExecutor): a step

pub mod ahead;
mod binder;
pub mod check;
mod choices;
pub mod device;
mod dispatch;
mod executor;
mod flight;
mod integers;
#[cfg(test)]
mod kernel_tests;
mod ledger;
mod memory;
mod pipelines;
mod planted;
pub mod profile;
mod readback;
pub mod rehearsal;
mod rung;
mod sampler;
mod sampler_memory;
mod stopwatch;
pub mod trial;
pub mod tunable;
pub mod tuned_op;
mod weights;

pub use device::{Gpu, GpuError, GpuOptions, KernelLimits};
pub use executor::GpuExecutor;
pub(crate) use memory::{MAX_OUTPUTS, StepMemory};
pub use planted::PlantedFault;
pub use profile::KernelTime;
pub use tunable::TunableExecutor;
pub use weights::GpuWeights;
