//! A shape's weights, made up on the spot: 4-bit codes with a scale per 32 elements, as `Q4_0` files land.
//!
//! They go to the device a slab at a time, as a file's do, so that memory holds a slab and not a model. Scales fall with the
//! square root of a row's length: activations then stay near one through any number of layers, and logits are finite.

use super::store::{Device, Store};
use super::{LoadError, LoadOptions, Loaded};
use crate::model::family::{Dim, Presence, TensorRule};
use crate::model::shapes::Shape;
use crate::model::{Role, WeightKey};
use crate::sampling::random::philox;
use crate::weights::{Quantization, TensorLayout, WeightFormat, WeightRows};
use half::f16;

/// Bytes of codes that are made at a time.
const SLAB_BYTES: u64 = 1 << 20;
/// The device is waited for after about as many bytes.
const FLUSH_BYTES: u64 = 64 << 20;

/// Makes an executor of a shape.
///
/// # Errors
/// When the device has no room for it.
pub async fn load_shape(device: Device, shape: &Shape, options: &LoadOptions) -> Result<Loaded, LoadError> {
    let config = shape.config();
    let mut store = Store::new(device);
    let mut unflushed = 0;
    let wanted = |rule: &&TensorRule| match rule.presence {
        Presence::Required => true,
        Presence::UnlessTied => !config.tied_head,
        Presence::Optional => shape.biases && matches!(rule.role, Role::QueryBias | Role::KeyBias | Role::ValueBias),
    };
    for rule in config.family.tensors.iter().filter(wanted) {
        for layer in 0..if rule.per_layer() { config.layers } else { 1 } {
            let key = WeightKey { role: rule.role, layer: rule.per_layer().then_some(layer) };
            let size = |dim: &Dim| dim.size(&config);
            match rule.shape {
                [rows, cols] => {
                    let quantization = Quantization { bits: 4, group: 32, mins: false };
                    let format = WeightFormat::Quantized(quantization);
                    let layout = TensorLayout { rows: size(rows), cols: size(cols), format };
                    store.allocate(key, &key.to_string(), layout)?;
                    let per_slab = (SLAB_BYTES / layout.code_bytes_per_row()).max(1) as u32;
                    for first in (0..layout.rows).step_by(per_slab as usize) {
                        let count = per_slab.min(layout.rows - first);
                        store.write_rows(key, first, &random_rows(&layout, count, key, first));
                        unflushed += u64::from(count) * layout.code_bytes_per_row();
                        if unflushed >= FLUSH_BYTES {
                            store.flush().await?;
                            unflushed = 0;
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
    Ok(Loaded { config, executor: ready.executor, gguf: None, memory: ready.memory, cost: ready.cost })
}

/// `count` rows from `first` on.
fn random_rows(layout: &TensorLayout, count: u32, key: WeightKey, first: u32) -> WeightRows {
    let mut rows = WeightRows::zeroed(layout, count);
    let seed = [key.role as u32, key.layer.map_or(0, |layer| layer + 1)];
    for (index, codes) in rows.codes.chunks_exact_mut(4).enumerate() {
        codes.copy_from_slice(&philox([index as u32, first, 0, 0], seed));
    }
    // Codes are spread evenly over -8 ..= 7, with a variance of 21.
    let scale = f16::from_f32(1.0 / (21.0 * layout.cols as f32).sqrt());
    rows.scales.fill(scale);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_rows_have_a_mean_square_of_one_over_their_length() {
        let format = WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: false });
        let layout = TensorLayout { rows: 64, cols: 512, format };
        let rows = random_rows(&layout, 64, WeightKey { role: Role::Gate, layer: Some(3) }, 0);
        let mut out = vec![0.0; 512];
        let mut sum = 0.0;
        for row in 0..64 {
            rows.dequantize(&layout, row, &mut out);
            sum += out.iter().map(|x| x * x).sum::<f32>();
        }
        assert!((sum / 64.0 - 1.0).abs() < 0.05, "{sum}");
    }
}
