//! What the executors share: checking plans, and the state of open sequences.

pub mod plan_check;
pub mod sequences;

pub use sequences::Sequences;
