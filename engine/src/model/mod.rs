//! Models as data: sizes, positions, tensor names, and the steps of a layer.
//!
//! - [`config`]: the sizes of one model
//! - [`rope`]: rotary frequencies and their scaling
//! - [`family`]: what models of one architecture share; [`llama`] is one
//! - [`shapes`]: sizes of well-known models, by name
//! - [`gguf`] and [`hugging_face`]: reading a [`ModelConfig`] from a file's own description

pub mod config;
pub mod family;
pub mod gguf;
pub mod hugging_face;
pub mod llama;
pub mod rope;
pub mod shapes;

pub use config::{ConfigError, ModelConfig};
pub use family::{Family, Role, WeightKey};
pub use rope::{Rope, RopeScaling};

/// The families that this build knows.
pub const FAMILIES: &[&Family] = &[&llama::LLAMA];

fn known_architectures(names: impl Fn(&'static Family) -> &'static [&'static str]) -> String {
    FAMILIES.iter().flat_map(|family| names(family)).copied().collect::<Vec<_>>().join(", ")
}
