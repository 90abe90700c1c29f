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
@group(0) @binding(5) var<storage, read_write> cache: array<{% if kv_half %}u32{% else %}f32{% endif %}>; // [slots, 2, KV_WIDTH]
{% include "shared/cache_write.wgsl" %}

const KV_STRIDE: u32 = {{ kv_stride }}u;
const JOINED_STRIDE: u32 = {{ joined_stride }}u;
{%- set pairs = head_dim // 2 %}
{%- set heads_each = workgroup // pairs if pairs <= workgroup else 1 %}
{%- set turns = (pairs + workgroup - 1) // workgroup %}
const WORKGROUP: u32 = {{ workgroup }}u;

// The member of a pair that a head of queries, keys or values has.
fn pair_of(base: u32, at: vec2<u32>, which: u32) -> vec2<f32> {
{%- if joined_stride > 0 %}
    let from_row = vec2<u32>(base) + at;
    return vec2<f32>(joined[from_row.x], joined[from_row.y]);
{%- else %}
    let from_row = vec2<u32>(base) + at;
    if which == 0u { return vec2<f32>(query[from_row.x], query[from_row.y]); }
    if which == 1u { return vec2<f32>(key[from_row.x], key[from_row.y]); }
    return vec2<f32>(value[from_row.x], value[from_row.y]);
{%- endif %}
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    // A workgroup has whole heads, all of whose pairs are read before any is written: in a cache of halves they change places.
    let head = group.x * {{ heads_each }}u + lane / {{ pairs if pairs <= workgroup else workgroup }}u;
    let row = group.y;
    let mine = lane < {{ heads_each * pairs if pairs <= workgroup else workgroup }}u;
{%- for turn in range(turns) %}
    let pair{{ turn }} = lane % {{ pairs if pairs <= workgroup else workgroup }}u + {{ turn * workgroup }}u;
    var x{{ turn }} = vec2<f32>();
    if mine && head < HEADS && pair{{ turn }} < PAIRS {
        let base = row * {% if joined_stride > 0 %}JOINED_STRIDE{% else %}Q_STRIDE{% endif %} + head * HEAD_DIM;
        x{{ turn }} = rotate(row, pair{{ turn }}, pair_of(base, members(pair{{ turn }}), 0u));
    }
{%- endfor %}
    storageBarrier();
    workgroupBarrier();
{%- for turn in range(turns) %}
    if mine && pair{{ turn }} < PAIRS {
        if head < HEADS {
            let at = vec2<u32>(row * Q_STRIDE + head * HEAD_DIM) + placed(pair{{ turn }});
            query[at.x] = x{{ turn }}.x;
            query[at.y] = x{{ turn }}.y;
        } else if head < HEADS + KV_HEADS {
            let in_slot = (head - HEADS) * HEAD_DIM;
{%- if joined_stride > 0 %}
            let base = row * JOINED_STRIDE + head * HEAD_DIM;
            let value_base = base + KV_WIDTH;
{%- else %}
            let base = row * KV_STRIDE + in_slot;
            let value_base = base;
{%- endif %}
            let side = vec2<u32>(2u * pair{{ turn }}, 2u * pair{{ turn }} + 1u);
            let slot = row_slot(row) * SLOT + in_slot;
            store(slot, placed(pair{{ turn }}), rotate(row, pair{{ turn }}, pair_of(base, members(pair{{ turn }}), 1u)));
            store(slot + KV_WIDTH, side, pair_of(value_base, side, 2u));
        }
    }
{%- endfor %}
}
