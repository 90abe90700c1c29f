// Rotates queries in place and keys on their way into the cache, and stores values: RoPE + KV write
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/heads.wgsl" %}

@group(0) @binding(2) var<storage, read_write> query: array<f32>;          // [rows, Q_STRIDE]
@group(0) @binding(3) var<storage, read> key: array<f32>;                  // [rows, KV_STRIDE]
@group(0) @binding(4) var<storage, read> value: array<f32>;                // [rows, KV_STRIDE]
@group(0) @binding(5) var<storage, read_write> cache: array<f32>;          // [slots, 2, KV_WIDTH]

const QUERY_PAIRS: u32 = HEADS * PAIRS;
const KV_PAIRS: u32 = KV_HEADS * PAIRS;
const KV_STRIDE: u32 = {{ kv_stride }}u;

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
        let to = vec2<u32>(row_slot(row) * SLOT) + offsets;
        let x = rotate(row, pair, vec2<f32>(key[source.x], key[source.y]));
        cache[to.x] = x.x;
        cache[to.y] = x.y;
        cache[to.x + KV_WIDTH] = value[source.x];
        cache[to.y + KV_WIDTH] = value[source.y];
    }
}
