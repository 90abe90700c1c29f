//! A model's sizes from a GGUF file's metadata.

use super::family::Naming;
use super::{ConfigError, FAMILIES, ModelConfig, Role, Rope, RopeScaling, known_architectures};
use tilewright_formats::TensorInfo;
use tilewright_formats::gguf::Metadata;

/// Reads the sizes. The list of tensors says how large the vocabulary is and whether the head is tied.
pub fn config(metadata: &Metadata, tensors: &[TensorInfo]) -> Result<ModelConfig, ConfigError> {
    let name = metadata.string("general.architecture")?;
    let family = FAMILIES.iter().find(|family| family.gguf.contains(&name)).ok_or_else(|| {
        ConfigError::UnknownArchitecture { name: name.to_owned(), known: known_architectures(|family| family.gguf) }
    })?;
    let key = |suffix: &str| format!("{name}.{suffix}");
    let size = |suffix: &str| -> Result<u32, ConfigError> { Ok(clamp(metadata.u64(&key(suffix))?)) };
    let optional =
        |suffix: &str| -> Result<Option<u32>, ConfigError> { Ok(metadata.optional_u64(&key(suffix))?.map(clamp)) };

    let tensor = |role| {
        tensors.iter().find(|tensor| family.rule(Naming::Gguf, &tensor.name).is_some_and(|(rule, _)| rule.role == role))
    };
    // A file without an embedding is refused for that by the loader, whatever size is assumed here.
    let vocabulary = tensor(Role::Embedding).and_then(|table| table.shape.first()).map_or(1, |&rows| clamp(rows));
    let hidden = size("embedding_length")?;
    let heads = size("attention.head_count")?;
    let head_dim = match optional("attention.key_length")? {
        Some(length) => length,
        None => hidden.checked_div(heads).unwrap_or(0),
    };
    if optional("attention.value_length")?.is_some_and(|length| length != head_dim) {
        return Err(ConfigError::Unsupported { feature: "value heads of another size than key heads".into() });
    }
    if optional("expert_count")?.is_some_and(|count| count > 0) {
        return Err(ConfigError::Unsupported { feature: "a mixture of experts".into() });
    }
    if optional("attention.sliding_window")?.is_some_and(|window| window > 0) {
        return Err(ConfigError::Unsupported { feature: "sliding-window attention".into() });
    }
    let scaling = match metadata.optional_string(&key("rope.scaling.type"))? {
        None | Some("none") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear { factor: metadata.f64(&key("rope.scaling.factor"))? },
        Some(other) => return Err(ConfigError::Unsupported { feature: format!("RoPE scaling \"{other}\"") }),
    };
    ModelConfig {
        family,
        vocabulary,
        context: size("context_length")?,
        layers: size("block_count")?,
        hidden,
        feed_forward: size("feed_forward_length")?,
        heads,
        kv_heads: optional("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        norm_eps: metadata.f64(&key("attention.layer_norm_rms_epsilon"))? as f32,
        rope: Rope {
            theta: metadata.optional_f64(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            dims: optional("rope.dimension_count")?.unwrap_or(head_dim),
            interleaved: family.gguf_interleaved_rope,
            scaling,
        },
        tied_head: tensor(Role::Head).is_none(),
    }
    .checked()
}

/// Sizes past u32 are refused by `checked` like any other that is too large.
fn clamp(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
