// Rotates queries, and keys on their way into the cache, and stores values: RoPE + KV write
//
// Queries are rotated in place. Where one product made queries, keys and values, they come side by side in one row.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/heads.wgsl" %}

@group(0) @binding(2) var<storage, read_write> query: array<f32>;          // [rows, Q_STRIDE]
{%- if joined_stride > 0 %}
@group(0) @binding(3) var<storage, read> joined: array<f32>;               // [rows, JOINED_STRIDE]
{%- else %}
@group(0) @binding(3) var<storage, read> key: array<f32>;                  // [rows, KV_STRIDE]
@group(0) @binding(4) var<storage, read> value: array<f32>;                // [rows, KV_STRIDE]
{%- endif %}
@group(0) @binding(5) var<storage, read_write> cache: array<f32>;          // [slots, 2, KV_WIDTH]

const QUERY_PAIRS: u32 = HEADS * PAIRS;
const KV_PAIRS: u32 = KV_HEADS * PAIRS;
const KV_STRIDE: u32 = {{ kv_stride }}u;
const JOINED_STRIDE: u32 = {{ joined_stride }}u;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    if row >= step.rows || id.x >= QUERY_PAIRS + KV_PAIRS { return; }
    if id.x < QUERY_PAIRS {
        let pair = id.x % PAIRS;
        let offsets = vec2<u32>(id.x / PAIRS * HEAD_DIM) + members(pair);
        let at = vec2<u32>(row * Q_STRIDE) + offsets;
{%- if joined_stride > 0 %}
        let source = vec2<u32>(row * JOINED_STRIDE) + offsets;
        let x = rotate(row, pair, vec2<f32>(joined[source.x], joined[source.y]));
{%- else %}
        let x = rotate(row, pair, vec2<f32>(query[at.x], query[at.y]));
{%- endif %}
        query[at.x] = x.x;
        query[at.y] = x.y;
    } else {
        let index = id.x - QUERY_PAIRS;
        let pair = index % PAIRS;
        let offsets = vec2<u32>(index / PAIRS * HEAD_DIM) + members(pair);
        let to = vec2<u32>(row_slot(row) * SLOT) + offsets;
{%- if joined_stride > 0 %}
        let key_at = vec2<u32>(row * JOINED_STRIDE + HEADS * HEAD_DIM) + offsets;
        let key = vec2<f32>(joined[key_at.x], joined[key_at.y]);
        let value = vec2<f32>(joined[key_at.x + KV_WIDTH], joined[key_at.y + KV_WIDTH]);
{%- else %}
        let source = vec2<u32>(row * KV_STRIDE) + offsets;
        let key = vec2<f32>(key[source.x], key[source.y]);
        let value = vec2<f32>(value[source.x], value[source.y]);
{%- endif %}
        let x = rotate(row, pair, key);
        cache[to.x] = x.x;
        cache[to.y] = x.y;
        cache[to.x + KV_WIDTH] = value.x;
        cache[to.y + KV_WIDTH] = value.y;
    }
}
