//! Bytes of model files to an executor.
//!
//! - [`Loader`]: files in, one after the other, as they come
//! - `placement`: a file's tensors matched with what the family needs
//! - `store`: where rows go, main memory or a GPU
//! - `random`: a shape's weights, made up
//! - [`capacity`]: how many tokens there is room for

pub mod capacity;
mod error;
mod loader;
mod placement;
mod random;
mod store;

pub use capacity::{LoadOptions, MemoryUse, StepCost};
pub use error::LoadError;
pub use loader::{Loaded, Loader, WeightFiles};
pub use random::{load_shape, shape_bytes};
pub use store::Device;
