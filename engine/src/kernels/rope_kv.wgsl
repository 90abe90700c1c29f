// Rotates queries in place and keys on their way into the cache, and stores values: RoPE (Su et al. 2021) + KV write
//
// The angle of pair i at position p is p * inverse_frequency[i]. Its cosine and sine are computed on the CPU in f64 and come
// with the step: WGSL allows sin and cos errors that would be felt at large positions. A pair is (i, i + half) in
// Hugging Face checkpoints and (2i, 2i + 1) in GGUF files of this family. Dimensions past ROTATED are left as they are.
{% include "shared/step.wgsl" %}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> rotations: array<vec2<f32>>;      // [rows, ROTATED / 2]: cos, sin
@group(0) @binding(3) var<storage, read_write> query: array<f32>;          // [rows, Q_STRIDE]
@group(0) @binding(4) var<storage, read> key: array<f32>;                  // [rows, KV_STRIDE]
@group(0) @binding(5) var<storage, read> value: array<f32>;                // [rows, KV_STRIDE]
@group(0) @binding(6) var<storage, read_write> key_cache: array<f32>;      // [slots, KV_WIDTH]
@group(0) @binding(7) var<storage, read_write> value_cache: array<f32>;    // [slots, KV_WIDTH]

const HEAD_DIM: u32 = {{ head_dim }}u;
const PAIRS: u32 = {{ head_dim // 2 }}u;   // per head, rotated or not
const ROTATED_PAIRS: u32 = {{ rotated // 2 }}u;
const QUERY_PAIRS: u32 = {{ heads * head_dim // 2 }}u;
const KV_WIDTH: u32 = {{ kv_heads * head_dim }}u;
const KV_PAIRS: u32 = KV_WIDTH / 2u;
const Q_STRIDE: u32 = {{ q_stride }}u;
const KV_STRIDE: u32 = {{ kv_stride }}u;

// Offsets of both elements of a pair within its head.
fn members(pair: u32) -> vec2<u32> {
    if pair >= ROTATED_PAIRS { return vec2<u32>(2u * pair, 2u * pair + 1u); }
{%- if interleaved %}
    return vec2<u32>(2u * pair, 2u * pair + 1u);
{%- else %}
    return vec2<u32>(pair, pair + ROTATED_PAIRS);
{%- endif %}
}

fn rotate(row: u32, pair: u32, x: vec2<f32>) -> vec2<f32> {
    if pair >= ROTATED_PAIRS { return x; }
    let r = rotations[row * ROTATED_PAIRS + pair];
    return vec2<f32>(x.x * r.x - x.y * r.y, x.y * r.x + x.x * r.y);
}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    if row >= step.rows || id.x >= QUERY_PAIRS + KV_PAIRS { return; }
    if id.x < QUERY_PAIRS {
        let pair = id.x % PAIRS;
        let at = vec2<u32>(row * Q_STRIDE + id.x / PAIRS * HEAD_DIM) + members(pair);
        let x = rotate(row, pair, vec2<f32>(query[at.x], query[at.y]));
        query[at.x] = x.x;
        query[at.y] = x.y;
    } else {
        let index = id.x - QUERY_PAIRS;
        let pair = index % PAIRS;
        let offsets = vec2<u32>(index / PAIRS * HEAD_DIM) + members(pair);
        let source = vec2<u32>(row * KV_STRIDE) + offsets;
        let to = vec2<u32>(rows[row].slot * KV_WIDTH) + offsets;
        let x = rotate(row, pair, vec2<f32>(key[source.x], key[source.y]));
        key_cache[to.x] = x.x;
        key_cache[to.y] = x.y;
        value_cache[to.x] = value[source.x];
        value_cache[to.y] = value[source.y];
    }
}
