//! The step program: one forward pass as a list of operations, as plain data.
//!
//! A [`Program`] is made once per model from its family's description. It names weights and activations, not buffers, and is
//! carried out by two interpreters that differ in nothing else: the CPU executor calls the kernels' twins, the GPU executor
//! dispatches the kernels. What changes from step to step is in [`StepData`].

pub mod op;
pub mod program;
pub mod step;

pub use op::{Activation, Fusion, Op, RowSet};
pub use program::Program;
pub use step::{KeySplit, RowData, SAMPLED, StepData, StepHeader};
