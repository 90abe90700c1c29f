//! Sizes of well-known models, by name: what a benchmark needs when there is no file.
//!
//! The sizes are those of each model's published config.json. The weights of a shape are made up
//! ([`load_shape`](crate::load::load_shape)); how fast a step is does not depend on what the weights say.

use super::llama::LLAMA;
use super::{ModelConfig, Rope, RopeScaling};

/// A model without weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// What it is called on a command line.
    pub name: &'static str,
    layers: u32,
    hidden: u32,
    feed_forward: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    vocabulary: u32,
    context: u32,
    theta: f64,
    tied_head: bool,
    /// Whether queries, keys and values have biases.
    pub biases: bool,
}

/// Every shape.
#[rustfmt::skip]
pub const SHAPES: [Shape; 6] = [
    Shape::new("smollm2-135m", [30, 576, 1536, 9, 3, 64, 49_152, 8192], 100_000.0, true, false),
    Shape::new("qwen2-0.5b", [24, 896, 4864, 14, 2, 64, 151_936, 32_768], 1_000_000.0, true, true),
    Shape::new("qwen2-1.5b", [28, 1536, 8960, 12, 2, 128, 151_936, 32_768], 1_000_000.0, true, true),
    Shape::new("llama-3.2-1b", [16, 2048, 8192, 32, 8, 64, 128_256, 131_072], 500_000.0, true, false),
    Shape::new("llama-3.2-3b", [28, 3072, 8192, 24, 8, 128, 128_256, 131_072], 500_000.0, true, false),
    Shape::new("llama-3.1-8b", [32, 4096, 14_336, 32, 8, 128, 128_256, 131_072], 500_000.0, false, false),
];

impl Shape {
    /// A shape: layers, hidden size, feed-forward size, query heads, key and value heads, head size, vocabulary and context.
    pub const fn new(name: &'static str, sizes: [u32; 8], theta: f64, tied_head: bool, biases: bool) -> Self {
        let [layers, hidden, feed_forward, heads, kv_heads, head_dim, vocabulary, context] = sizes;
        Self {
            name,
            layers,
            hidden,
            feed_forward,
            heads,
            kv_heads,
            head_dim,
            vocabulary,
            context,
            theta,
            tied_head,
            biases,
        }
    }

    /// The shape of a name.
    pub fn named(name: &str) -> Option<Self> {
        SHAPES.into_iter().find(|shape| shape.name == name)
    }

    /// Its sizes.
    pub fn config(&self) -> ModelConfig {
        ModelConfig {
            family: &LLAMA,
            vocabulary: self.vocabulary,
            context: self.context,
            layers: self.layers,
            hidden: self.hidden,
            feed_forward: self.feed_forward,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            norm_eps: 1e-5,
            rope: Rope { theta: self.theta, dims: self.head_dim, interleaved: false, scaling: RopeScaling::None },
            tied_head: self.tied_head,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_one_that_a_model_could_have() {
        for shape in SHAPES {
            assert_eq!(Shape::named(shape.name), Some(shape));
            shape.config().checked().unwrap();
        }
        assert_eq!(Shape::named("gpt-5"), None);
    }
}
