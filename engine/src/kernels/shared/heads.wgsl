// Sizes of heads and of the KV cache, and the rotary embedding (Su et al. 2021).
//
// The angle of pair i at position p is p * inverse_frequency[i]. Its cosine and sine are computed on the CPU in f64 and come
// with the step: WGSL allows sin and cos errors that would be felt at large positions. A pair is (i, i + half) in
// Hugging Face checkpoints and (2i, 2i + 1) in GGUF files of this family. Dimensions past ROTATED are left as they are.
const HEADS: u32 = {{ heads }}u;
const KV_HEADS: u32 = {{ kv_heads }}u;
const HEAD_DIM: u32 = {{ head_dim }}u;
const PAIRS: u32 = {{ head_dim // 2 }}u; // per head, rotated or not
const ROTATED_PAIRS: u32 = {{ rotated // 2 }}u;
const KV_WIDTH: u32 = {{ kv_heads * head_dim }}u;
const SLOT: u32 = 2u * KV_WIDTH; // a slot of the cache holds a key and then a value
const Q_STRIDE: u32 = {{ q_stride }}u;
const BLOCK_SLOTS: u32 = {{ block_size }}u;

// Offsets of both elements of a pair within its head.
fn members(pair: u32) -> vec2<u32> {
    if pair >= ROTATED_PAIRS { return vec2<u32>(2u * pair, 2u * pair + 1u); }
{%- if interleaved %}
    return vec2<u32>(2u * pair, 2u * pair + 1u);
{%- else %}
    return vec2<u32>(pair, pair + ROTATED_PAIRS);
{%- endif %}
}

// Offsets of a pair's elements in queries and in the cache; values' pairs are (2i, 2i + 1) as they are.
fn placed(pair: u32) -> vec2<u32> {
{%- if kv_half %}
    return vec2<u32>(2u * pair, 2u * pair + 1u);
{%- else %}
    return members(pair);
{%- endif %}
}

fn rotate(row: u32, pair: u32, x: vec2<f32>) -> vec2<f32> {
    if pair >= ROTATED_PAIRS { return x; }
    let at = step.rotations_at + 2u * (row * ROTATED_PAIRS + pair);
    let r = vec2<f32>(bitcast<f32>(words[at]), bitcast<f32>(words[at + 1u]));
    return vec2<f32>(x.x * r.x - x.y * r.y, x.y * r.x + x.x * r.y);
}

// The slot of a position of a chunk.
fn position_slot(chunk: u32, position: u32) -> u32 {
    return table_block(chunk, position / BLOCK_SLOTS) * BLOCK_SLOTS + position % BLOCK_SLOTS;
}
