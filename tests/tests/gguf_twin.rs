//! A checkpoint as safetensors and as GGUF is the same model: the GGUF is made here from the fixture, as llama.cpp's
//! converter would, with rotated pairs side by side and the Llama 3 scaling as per-frequency divisors.

use safetensors::SafeTensors;
use std::fs;
use tilewright_engine::model::{Rope, RopeScaling, hugging_face};
use tilewright_engine::{LoadOptions, Loader, WeightFiles};
use tilewright_formats::DType;
use tilewright_formats::gguf::{self, Metadata, Value};
use tilewright_tests::drive::Driver;
use tilewright_tests::fixture::{self, assert_close};
use tilewright_tests::model::{cpu, lavapipe};

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

fn as_gguf(name: &str) -> Vec<u8> {
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
            tensors.push((gguf_name, DType::Bf16, shape, data));
        } else {
            tensors.push((gguf_name, DType::Bf16, shape, tensor.data().to_vec()));
        }
    }
    if config.rope.scaling != RopeScaling::None {
        let plain = Rope { scaling: RopeScaling::None, ..config.rope.clone() }.frequencies();
        let factors = plain.iter().zip(config.rope.frequencies()).map(|(plain, scaled)| (plain / scaled) as f32);
        let data = factors.flat_map(f32::to_le_bytes).collect();
        tensors.push(("rope_freqs.weight".into(), DType::F32, vec![u64::from(config.rope.dims / 2)], data));
    }
    let tensors: Vec<_> =
        tensors.iter().map(|(name, dtype, shape, data)| gguf::Tensor { name, dtype: *dtype, shape, data }).collect();
    gguf::write(&Metadata::from_entries("twin.gguf", metadata).unwrap(), &tensors).unwrap()
}

#[test]
fn a_checkpoint_as_gguf_gives_the_reference_logits_too() {
    for name in ["llama", "llama3-rope"] {
        let file = as_gguf(name);
        let expected = fixture::expected(name);
        for (device, label) in [(cpu(), "cpu"), (lavapipe(), "lavapipe")] {
            let mut loader = Loader::new(device, WeightFiles::Gguf, LoadOptions::default()).unwrap();
            loader.begin_file("twin.gguf", None).unwrap();
            loader.push(&file).unwrap();
            loader.end_file().unwrap();
            let mut driver = Driver::new(pollster::block_on(loader.finish()).unwrap().executor);
            let logits = driver.logits(&expected.prompt_ids, 64);
            assert_close(&format!("{name} as GGUF on {label}"), &logits, &expected.prompt_logits);
        }
    }
}
