// The attention of a row on devices that are a processor in disguise: an invocation takes one part of the keys, one key at a time
//
// It leaves what `attention_split` leaves, for `attention_reduce` to join, and splits keys likewise, into a few parts for each
// row. Why so: what `matvec_serial.wgsl` says of such devices. Invocations have parts of their own, so a load that gathers an element
// for each lane gathers no key's twice, and what it brings meets GROUP queries. Queries and sums stay with the invocation, where
// constant indices find them without a gather. There is no workgroup memory, and no barrier. On SwiftShader (two cores, Zen 4) one row
// of 9 heads of 64 over 110 keys of 3 KV heads takes 0.20 ms, by `attention_split` 0.81.
//
// The softmax is brought to a new top whenever a key has one (Milakov & Gimelshein 2018).
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/heads.wgsl" %}
{% include "shared/cache.wgsl" %}
{%- set dims = head_dim // 4 %}

@group(0) @binding(2) var<storage, read> query: array<vec4<f32>>;               // [rows, Q_STRIDE]
@group(0) @binding(3) var<storage, read> cache: array<Cached>;                  // [slots, 2, KV_WIDTH]
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;      // [rows, HEADS, splits, HEAD_DIM + 4]

const LANES: u32 = {{ lanes }}u;
const GROUP: u32 = {{ group }}u;   // query heads
const GROUPS: u32 = {{ heads // kv_heads // group }}u; // per KV head
const DIMS: u32 = {{ dims }}u;     // in vec4
const RECORD: u32 = DIMS + 1u;     // in vec4

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = id.y;
    let part = id.z * LANES + lane;
    if part >= step.splits { return; }
    let first_head = id.x * GROUP;
    let kv_at = id.x / GROUPS * DIMS;
    let chunk = row_chunk(row);
    let begin = part * step.split_keys;
    let end = min(begin + step.split_keys, row_position(row) + 1u);
    var queries: array<vec4<f32>, GROUP * DIMS>;
    for (var i = 0u; i < GROUP * DIMS; i += 1u) {
        queries[i] = query[row * (Q_STRIDE / 4u) + first_head * DIMS + i] * {{ scale }};
    }
    var sums: array<vec4<f32>, GROUP * DIMS>;
{%- for g in range(group) %}
    var top{{ g }} = -3.0e38;
    var total{{ g }} = 0.0;
{%- endfor %}
    for (var position = begin; position < end; position += 1u) {
        let at = position_slot(chunk, position) * (SLOT / 4u) + kv_at;
{%- for g in range(group) %}
        var score{{ g }} = vec4<f32>();
{%- endfor %}
{%- for d in range(dims) %}
        {
            let k = four(cache[at + {{ d }}u]);
{%- for g in range(group) %}
            score{{ g }} += k * queries[{{ g * dims + d }}u];
{%- endfor %}
        }
{%- endfor %}
{%- for g in range(group) %}
        let sum{{ g }} = (score{{ g }}.x + score{{ g }}.y) + (score{{ g }}.z + score{{ g }}.w);
        let new_top{{ g }} = max(top{{ g }}, sum{{ g }});
        let shrink{{ g }} = exp(top{{ g }} - new_top{{ g }});
        let weight{{ g }} = exp(sum{{ g }} - new_top{{ g }});
        top{{ g }} = new_top{{ g }};
        total{{ g }} = total{{ g }} * shrink{{ g }} + weight{{ g }};
{%- endfor %}
{%- for d in range(dims) %}
        {
            let v = four(cache[at + KV_WIDTH / 4u + {{ d }}u]);
{%- for g in range(group) %}
            sums[{{ g * dims + d }}u] = sums[{{ g * dims + d }}u] * shrink{{ g }} + weight{{ g }} * v;
{%- endfor %}
        }
{%- endfor %}
    }
{%- for g in range(group) %}
    {
        let at = ((row * HEADS + first_head + {{ g }}u) * step.splits + part) * RECORD;
        for (var dim = 0u; dim < DIMS; dim += 1u) { partials[at + dim] = sums[{{ g * dims }}u + dim]; }
        partials[at + DIMS] = vec4<f32>(top{{ g }}, total{{ g }}, 0.0, 0.0);
    }
{%- endfor %}
}
