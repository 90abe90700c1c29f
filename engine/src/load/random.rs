//! A shape's weights, made up on the spot: 4-bit codes with a scale per 32 elements, as `Q4_0` files land.
//!
//! They go to the device a slab at a time, as a file's do, so that memory holds a slab and not a model. Scales fall with the
//! square root of a row's length: activations then stay near one through any number of layers, and logits are finite.
//!
//! One slab is drawn; the others are that slab with four random words laid over it by exclusive or, so that all are as random
//! and no two alike. Drawing each by itself is ten rounds of Philox for 16 bytes: in a browser most of the time that
//! eight billion weights took.

use super::store::{Device, Store};
use super::{LoadError, LoadOptions, Loaded};
use crate::model::family::{Dim, Presence, TensorRule};
use crate::model::shapes::Shape;
use crate::model::{ModelConfig, Role, WeightKey};
use crate::sampling::random::philox;
use crate::weights::{Quantization, TensorLayout, WeightFormat, WeightRows};
use half::f16;

/// Bytes of codes that are made at a time.
const SLAB_BYTES: u64 = 1 << 20;
/// The device is waited for after about as many bytes.
const FLUSH_BYTES: u64 = 64 << 20;

/// How a shape's matrices are stored.
const FORMAT: WeightFormat = WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: false });

/// Makes an executor of a shape. `progress` is told the bytes of matrices made so far, and of all.
///
/// # Errors
/// When the device has no room for it.
pub async fn load_shape(
    device: Device,
    shape: &Shape,
    options: &LoadOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Loaded, LoadError> {
    let config = shape.config();
    let all_bytes = shape_bytes(shape);
    let slab = Slab::draw();
    let mut store = Store::new(device);
    let (mut made, mut unflushed) = (0, 0);
    for rule in tensors(shape, &config) {
        for layer in 0..if rule.per_layer() { config.layers } else { 1 } {
            let key = WeightKey { role: rule.role, layer: rule.per_layer().then_some(layer) };
            let size = |dim: &Dim| dim.size(&config);
            match rule.shape {
                [rows, cols] => {
                    let layout = TensorLayout { rows: size(rows), cols: size(cols), format: FORMAT };
                    store.allocate(key, &key.to_string(), layout)?;
                    let per_slab = (SLAB_BYTES / layout.code_bytes_per_row()).max(1) as u32;
                    for first in (0..layout.rows).step_by(per_slab as usize) {
                        let count = per_slab.min(layout.rows - first);
                        store.write_rows(key, first, &slab.rows(&layout, count, key, first));
                        let bytes = TensorLayout { rows: count, ..layout }.bytes();
                        (made, unflushed) = (made + bytes, unflushed + bytes);
                        if unflushed >= FLUSH_BYTES {
                            store.flush().await?;
                            unflushed = 0;
                            progress(made, all_bytes);
                        }
                    }
                }
                dims => {
                    let count = dims.first().map_or(0, size) as usize;
                    let is_norm = rule.presence == Presence::Required;
                    store.write_vector(key, vec![if is_norm { 1.0 } else { 0.01 }; count]);
                }
            }
        }
    }
    let ready = store.executor(&config, options).await?;
    Ok(Loaded {
        config,
        executor: ready.executor,
        tunable: ready.tunable,
        gguf: None,
        memory: ready.memory,
        cost: ready.cost,
    })
}

/// Bytes of a shape's matrices in the canonical layout.
pub fn shape_bytes(shape: &Shape) -> u64 {
    let config = shape.config();
    let bytes = |rule: &TensorRule| match rule.shape {
        [rows, cols] => {
            let layout = TensorLayout { rows: rows.size(&config), cols: cols.size(&config), format: FORMAT };
            layout.bytes() * u64::from(if rule.per_layer() { config.layers } else { 1 })
        }
        _ => 0,
    };
    tensors(shape, &config).map(bytes).sum()
}

/// The tensors that a model of this shape has.
fn tensors<'a>(shape: &'a Shape, config: &'a ModelConfig) -> impl Iterator<Item = &'static TensorRule> + 'a {
    config.family.tensors.iter().filter(|rule| match rule.presence {
        Presence::Required => true,
        Presence::UnlessTied => !config.tied_head,
        Presence::Optional => shape.biases && matches!(rule.role, Role::QueryBias | Role::KeyBias | Role::ValueBias),
    })
}

/// Random codes that all others are made from.
struct Slab(Vec<u32>);

impl Slab {
    fn draw() -> Self {
        Self((0..SLAB_BYTES as u32 / 16).flat_map(|index| philox([index, 0, 0, 0], [0, 0])).collect())
    }

    /// `count` rows from `first` on.
    fn rows(&self, layout: &TensorLayout, count: u32, key: WeightKey, first: u32) -> WeightRows {
        let mut rows = WeightRows::zeroed(layout, count);
        let over = philox([first, 1, 0, 0], [key.role as u32, key.layer.map_or(0, |layer| layer + 1)]);
        for codes in rows.codes.chunks_mut(self.0.len()) {
            for (codes, drawn) in codes.chunks_exact_mut(4).zip(self.0.chunks_exact(4)) {
                for ((code, drawn), over) in codes.iter_mut().zip(drawn).zip(over) {
                    *code = drawn ^ over;
                }
            }
        }
        // Codes are spread evenly over -8 ..= 7, with a variance of 21.
        rows.scales.fill(f16::from_f32(1.0 / (21.0 * layout.cols as f32).sqrt()));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_rows_have_a_mean_square_of_one_over_their_length() {
        let layout = TensorLayout { rows: 64, cols: 512, format: FORMAT };
        let rows = Slab::draw().rows(&layout, 64, WeightKey { role: Role::Gate, layer: Some(3) }, 0);
        let mut out = vec![0.0; 512];
        let mut sum = 0.0;
        for row in 0..64 {
            rows.dequantize(&layout, row, &mut out);
            sum += out.iter().map(|x| x * x).sum::<f32>();
        }
        assert!((sum / 64.0 - 1.0).abs() < 0.05, "{sum}");
    }

    #[test]
    fn no_two_slabs_are_alike() {
        let layout = TensorLayout { rows: 64, cols: 512, format: FORMAT };
        let (slab, key) = (Slab::draw(), |layer| WeightKey { role: Role::Gate, layer: Some(layer) });
        let codes = |layer, first| slab.rows(&layout, 64, key(layer), first).codes;
        assert_eq!(codes(3, 0), codes(3, 0));
        assert_ne!(codes(3, 0), codes(4, 0));
        assert_ne!(codes(3, 0), codes(3, 64));
    }

    #[test]
    fn a_shape_takes_the_bytes_of_its_published_parameters() {
        // Weights in all but the norms, at 4.5 bits each.
        let parameters = |name: &str| shape_bytes(&Shape::named(name).unwrap()) as f64 * 8.0 / 4.5;
        assert!((parameters("smollm2-135m") / 134.5e6 - 1.0).abs() < 0.01);
        assert!((parameters("qwen2-0.5b") / 494.0e6 - 1.0).abs() < 0.01);
        assert!((parameters("llama-3.1-8b") / 8.03e9 - 1.0).abs() < 0.01);
    }
}
