//! The Llama family: pre-norm layers, grouped-query attention with rotary positions, gated feed-forward (Touvron et al. 2023,
//! Grattafiori et al. 2024).

use super::family::{Dim, Family, LayerStep, Presence, Role, TensorRule};
use Dim::{FeedForward, Hidden, KvWidth, QueryWidth, RotatedPairs, Vocabulary};
use Presence::{Optional, Required, UnlessTied};

/// Llama 1 to 3, `SmolLM` 1 and 2, and others of their shape.
pub static LLAMA: Family = Family {
    name: "llama",
    gguf: &["llama"],
    hugging_face: &["LlamaForCausalLM"],
    gguf_interleaved_rope: true,
    tensors: TENSORS,
    ignored: &["rotary_emb.inv_freq", "attn_rot_embd"],
    layer: &[
        LayerStep::Norm(Role::AttentionNorm),
        LayerStep::Attention,
        LayerStep::AttentionOutput,
        LayerStep::Norm(Role::FeedForwardNorm),
        LayerStep::GatedFeedForward,
    ],
};

#[rustfmt::skip]
const TENSORS: &[TensorRule] = &[
    rule(Role::Embedding, "token_embd.weight", "model.embed_tokens.weight", &[Vocabulary, Hidden], Required),
    rule(Role::FinalNorm, "output_norm.weight", "model.norm.weight", &[Hidden], Required),
    rule(Role::Head, "output.weight", "lm_head.weight", &[Vocabulary, Hidden], UnlessTied),
    rule(Role::RopeFactors, "rope_freqs.weight", "", &[RotatedPairs], Optional),
    rule(Role::AttentionNorm, "blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight", &[Hidden], Required),
    rule(Role::Query, "blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight", &[QueryWidth, Hidden], Required),
    rule(Role::QueryBias, "blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias", &[QueryWidth], Optional),
    rule(Role::Key, "blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight", &[KvWidth, Hidden], Required),
    rule(Role::KeyBias, "blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias", &[KvWidth], Optional),
    rule(Role::Value, "blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight", &[KvWidth, Hidden], Required),
    rule(Role::ValueBias, "blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias", &[KvWidth], Optional),
    rule(Role::AttentionOutput, "blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight", &[Hidden, QueryWidth], Required),
    rule(Role::AttentionOutputBias, "blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias", &[Hidden], Optional),
    rule(Role::FeedForwardNorm, "blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight", &[Hidden], Required),
    rule(Role::Gate, "blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight", &[FeedForward, Hidden], Required),
    rule(Role::GateBias, "blk.{}.ffn_gate.bias", "model.layers.{}.mlp.gate_proj.bias", &[FeedForward], Optional),
    rule(Role::Up, "blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight", &[FeedForward, Hidden], Required),
    rule(Role::UpBias, "blk.{}.ffn_up.bias", "model.layers.{}.mlp.up_proj.bias", &[FeedForward], Optional),
    rule(Role::Down, "blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight", &[Hidden, FeedForward], Required),
    rule(Role::DownBias, "blk.{}.ffn_down.bias", "model.layers.{}.mlp.down_proj.bias", &[Hidden], Optional),
];

const fn rule(
    role: Role,
    gguf: &'static str,
    hugging_face: &'static str,
    shape: &'static [Dim],
    presence: Presence,
) -> TensorRule {
    TensorRule { role, gguf, hugging_face, shape, presence }
}
