//! Weights in the canonical layout, whatever the file they came from.
//!
//! - [`layout`]: the layout, and how many bytes a tensor takes
//! - [`convert`]: rows of a file's format to rows of the layout
//! - [`row`]: back to f32, a row at a time: what the CPU twins compute with

pub mod convert;
pub mod layout;
pub mod row;

pub use layout::{Quantization, TensorLayout, WeightFormat};
pub use row::WeightRows;
