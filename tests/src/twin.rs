//! A checkpoint of `tests/fixtures` as GGUF, made on the spot: as llama.cpp's converter would make it, with rotated pairs side by side
//! and the Llama 3 scaling as per-frequency divisors, its matrices as they are or in blocks of 8 or 4 bits.

use crate::fixture;
use half::f16;
use safetensors::SafeTensors;
use std::fs;
use tilewright_engine::model::{Rope, RopeScaling, hugging_face};
use tilewright_formats::DType;
use tilewright_formats::gguf::{self, Metadata, Value};

/// Row `2i + j` of a head is row `i + j * half` of the checkpoint's.
fn interleave(bytes: &[u8], head_dim: usize, row_bytes: usize) -> Vec<u8> {
    let half = head_dim / 2;
    let head = |head: &[u8]| -> Vec<u8> {
        (0..head_dim).flat_map(|row| head[(row / 2 + row % 2 * half) * row_bytes..][..row_bytes].to_vec()).collect()
    };
    bytes.chunks_exact(head_dim * row_bytes).flat_map(head).collect()
}

fn to_f32(bf16: &[u8]) -> Vec<u8> {
    bf16.chunks_exact(2).flat_map(|b| [0, 0, b[0], b[1]]).collect()
}

/// The file of a checkpoint whose matrices are stored as `dtype`: `Bf16`, `Q8_0` or `Q4_0`. `change` may do to a tensor's bytes what
/// it likes.
pub fn as_gguf(name: &str, dtype: DType, change: impl Fn(&str, &mut [u8])) -> Vec<u8> {
    let folder = fixture::folder(name);
    let config = hugging_face::config(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let checkpoint = fs::read(folder.join("model.safetensors")).unwrap();
    let checkpoint = SafeTensors::deserialize(&checkpoint).unwrap();
    let metadata: Vec<(&str, Value)> = vec![
        ("general.architecture", "llama".into()),
        ("llama.block_count", config.layers.into()),
        ("llama.context_length", config.context.into()),
        ("llama.embedding_length", config.hidden.into()),
        ("llama.feed_forward_length", config.feed_forward.into()),
        ("llama.attention.head_count", config.heads.into()),
        ("llama.attention.head_count_kv", config.kv_heads.into()),
        ("llama.attention.layer_norm_rms_epsilon", config.norm_eps.into()),
        ("llama.rope.freq_base", (config.rope.theta as f32).into()),
    ];
    let names = [
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("model.norm.weight", "output_norm.weight"),
        ("lm_head.weight", "output.weight"),
        ("input_layernorm", "attn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("model.layers.", "blk."),
    ];
    let mut tensors: Vec<(String, DType, Vec<u64>, Vec<u8>)> = Vec::new();
    for (name, tensor) in checkpoint.tensors() {
        let gguf_name = names.iter().fold(name.clone(), |name, (from, to)| name.replace(from, to));
        let shape: Vec<u64> = tensor.shape().iter().map(|&size| size as u64).collect();
        if shape.len() == 1 {
            tensors.push((gguf_name, DType::F32, shape, to_f32(tensor.data())));
        } else if name.contains("q_proj") || name.contains("k_proj") {
            let data = interleave(tensor.data(), config.head_dim as usize, shape[1] as usize * 2);
            tensors.push((gguf_name, dtype, shape, encode(dtype, &data)));
        } else {
            tensors.push((gguf_name, dtype, shape, encode(dtype, tensor.data())));
        }
    }
    if config.rope.scaling != RopeScaling::None {
        let plain = Rope { scaling: RopeScaling::None, ..config.rope.clone() }.frequencies();
        let factors = plain.iter().zip(config.rope.frequencies()).map(|(plain, scaled)| (plain / scaled) as f32);
        let data = factors.flat_map(f32::to_le_bytes).collect();
        tensors.push(("rope_freqs.weight".into(), DType::F32, vec![u64::from(config.rope.dims / 2)], data));
    }
    for (name, _, _, data) in &mut tensors {
        change(name, data);
    }
    let tensors: Vec<_> =
        tensors.iter().map(|(name, dtype, shape, data)| gguf::Tensor { name, dtype: *dtype, shape, data }).collect();
    gguf::write(&Metadata::from_entries("twin.gguf", metadata).unwrap(), &tensors).unwrap()
}

/// Rounds to the nearest code: what a block holds is as good as any other weights.
fn encode(dtype: DType, bf16: &[u8]) -> Vec<u8> {
    let floats: Vec<f32> = to_f32(bf16).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let block = |block: &[f32]| -> Vec<u8> {
        let largest = block.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = f16::from_f32(largest / if dtype == DType::Q8_0 { 127.0 } else { 7.0 });
        let code = |x: f32| if largest > 0.0 { (x / scale.to_f32()).round() as i8 } else { 0 };
        let mut bytes = scale.to_le_bytes().to_vec();
        if dtype == DType::Q8_0 {
            bytes.extend(block.iter().map(|&x| code(x) as u8));
        } else {
            let nibble = |x: f32| (code(x) + 8).clamp(0, 15) as u8;
            bytes.extend((0..16).map(|i| nibble(block[i]) | nibble(block[i + 16]) << 4));
        }
        bytes
    };
    match dtype {
        DType::Bf16 => bf16.to_vec(),
        DType::Q8_0 | DType::Q4_0 => floats.chunks_exact(32).flat_map(block).collect(),
        other => panic!("nothing here writes {}", other.name()),
    }
}
