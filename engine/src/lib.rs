//! Weights in, logits and tokens out.
//!
//! - [`model`]: model families and sizes, as data
//! - [`weights`]: the canonical layout that every file format lands in
//! - [`graph`]: one forward pass as a list of operations, as data
//! - [`kernels`]: each operation as WGSL and as a CPU twin
//! - [`cpu`] and [`gpu`]: the executors, interpreters of the same program
//! - [`executor`]: what both share: plan checks, open sequences
//! - [`sampling`]: drawing tokens from logits
//! - [`load`]: bytes of model files to an executor
//! - [`bench`](mod@bench): how fast an executor is
//!
//! ```no_run
//! use tilewright_engine::{Device, LoadOptions, Loader, WeightFiles};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut loader = Loader::new(Device::Cpu, WeightFiles::Gguf, LoadOptions::default())?;
//! let file = std::fs::read("model.gguf")?;
//! loader.begin_file("model.gguf", Some(file.len() as u64))?;
//! loader.push(&file)?;
//! loader.end_file()?;
//! let model = loader.finish().await?;
//! println!("{}: {} layers", model.executor.device(), model.config.layers);
//! # Ok(())
//! # }
//! ```

pub mod bench;
pub mod cpu;
pub mod executor;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod load;
pub mod model;
pub mod sampling;
pub mod weights;

pub use gpu::{Gpu, GpuError, GpuOptions};
pub use load::{Device, LoadError, LoadOptions, Loaded, Loader, MemoryUse, StepCost, WeightFiles};
pub use model::{ConfigError, ModelConfig};
