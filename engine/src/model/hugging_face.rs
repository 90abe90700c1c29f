//! A model's sizes from a Hugging Face config.json.
//!
//! Two forms are in use: the older keeps `rope_theta` and `rope_scaling` beside the sizes, that of transformers 5 gathers them in
//! `rope_parameters`. Both are read.

use super::{ConfigError, FAMILIES, ModelConfig, Rope, RopeScaling, known_architectures};
use serde::Deserialize;

/// Read first: another architecture's config may lack what ours has to have, and its name says more than a missing key.
#[derive(Deserialize)]
struct Architecture {
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    model_type: String,
}

#[derive(Deserialize)]
struct Config {
    vocab_size: u32,
    hidden_size: u32,
    intermediate_size: u32,
    num_hidden_layers: u32,
    num_attention_heads: u32,
    num_key_value_heads: Option<u32>,
    head_dim: Option<u32>,
    max_position_embeddings: u32,
    rms_norm_eps: f32,
    #[serde(default = "silu")]
    hidden_act: String,
    #[serde(default)]
    tie_word_embeddings: bool,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeParameters>,
    rope_parameters: Option<RopeParameters>,
    partial_rotary_factor: Option<f64>,
    #[serde(rename = "quantization_config")]
    quantization: Option<serde_json::Value>,
}

fn silu() -> String {
    "silu".into()
}

#[derive(Deserialize)]
struct RopeParameters {
    rope_type: Option<String>,
    /// What `rope_type` was called before; some configs carry both.
    #[serde(rename = "type")]
    older_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// Reads the sizes from the text of config.json.
pub fn config(json: &str) -> Result<ModelConfig, ConfigError> {
    let architecture: Architecture = serde_json::from_str(json)?;
    let name = architecture.architectures.into_iter().next().unwrap_or(architecture.model_type);
    let family = FAMILIES.iter().find(|family| family.hugging_face.contains(&name.as_str())).ok_or_else(|| {
        ConfigError::UnknownArchitecture { name, known: known_architectures(|family| family.hugging_face) }
    })?;

    let config: Config = serde_json::from_str(json)?;
    if config.quantization.is_some() {
        return Err(ConfigError::Unsupported { feature: "a checkpoint quantized by another tool".into() });
    }
    if config.hidden_act != "silu" && config.hidden_act != "swish" {
        return Err(ConfigError::Unsupported { feature: format!("the activation \"{}\"", config.hidden_act) });
    }
    let head_dim =
        config.head_dim.unwrap_or_else(|| config.hidden_size.checked_div(config.num_attention_heads).unwrap_or(0));
    let rope = config.rope_parameters.as_ref().or(config.rope_scaling.as_ref());
    let theta = rope.and_then(|rope| rope.rope_theta).or(config.rope_theta).unwrap_or(10_000.0);
    let rotated = f64::from(head_dim) * config.partial_rotary_factor.unwrap_or(1.0);
    ModelConfig {
        family,
        vocabulary: config.vocab_size,
        context: config.max_position_embeddings,
        layers: config.num_hidden_layers,
        hidden: config.hidden_size,
        feed_forward: config.intermediate_size,
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads.unwrap_or(config.num_attention_heads),
        head_dim,
        norm_eps: config.rms_norm_eps,
        rope: Rope { theta, dims: rotated as u32, interleaved: false, scaling: scaling(rope)? },
        tied_head: config.tie_word_embeddings,
    }
    .checked()
}

fn scaling(rope: Option<&RopeParameters>) -> Result<RopeScaling, ConfigError> {
    let Some(rope) = rope else { return Ok(RopeScaling::None) };
    let need = |value: Option<f64>, key: &str| {
        value
            .filter(|value| value.is_finite() && *value > 0.0)
            .ok_or_else(|| ConfigError::Inconsistent(format!("its RoPE scaling needs a positive number \"{key}\"")))
    };
    Ok(match rope.rope_type.as_ref().or(rope.older_type.as_ref()).map(String::as_str) {
        None | Some("default") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear { factor: need(rope.factor, "factor")? },
        Some("llama3") => RopeScaling::Llama3 {
            factor: need(rope.factor, "factor")?,
            low_freq_factor: need(rope.low_freq_factor, "low_freq_factor")?,
            high_freq_factor: need(rope.high_freq_factor, "high_freq_factor")?,
            original_context: need(rope.original_max_position_embeddings, "original_max_position_embeddings")?,
        },
        Some(other) => return Err(ConfigError::Unsupported { feature: format!("RoPE scaling \"{other}\"") }),
    })
}
