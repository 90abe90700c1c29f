// out[row, head, :] = softmax(query . keys * scale) . values over positions 0 ..= position of the row, through its block table
//
// The form for any head size: one workgroup per row and query head. Keys come in tiles of WORKGROUP: each invocation scores
// one key, the tile's maximum and sum update a running softmax (Milakov & Gimelshein 2018), then each invocation adds up its
// dimensions of the values. Query head h reads KV head h / (heads / kv_heads): grouped-query attention.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/heads.wgsl" %}
{% include "shared/cache.wgsl" %}

@group(0) @binding(2) var<storage, read> query: array<f32>;               // [rows, Q_STRIDE]
@group(0) @binding(3) var<storage, read> cache: array<Cached>;             // [slots, 2, KV_WIDTH]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;           // [rows, Q_STRIDE]

const WORKGROUP: u32 = {{ workgroup }}u;
const DIMS: u32 = {{ (head_dim + workgroup - 1) // workgroup }}u; // of the output, per invocation
var<workgroup> head_query: array<f32, HEAD_DIM>;
var<workgroup> scores: array<f32, WORKGROUP>;
var<workgroup> reduction: array<f32, WORKGROUP>;
var<workgroup> slots: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    let row = group.y;
    let kv_at = head / (HEADS / KV_HEADS) * HEAD_DIM;
    let chunk = row_chunk(row);
    let keys = row_position(row) + 1u;
    let query_at = row * Q_STRIDE + head * HEAD_DIM;
    for (var i = lane; i < HEAD_DIM; i += WORKGROUP) { head_query[i] = query[query_at + i] * {{ scale }}; }
    var top = -3.0e38;
    var total = 0.0;
    var sums: array<f32, DIMS>;
    for (var d = 0u; d < DIMS; d += 1u) { sums[d] = 0.0; }

    for (var tile = 0u; tile < keys; tile += WORKGROUP) {
        workgroupBarrier();
        let position = tile + lane;
        var score = -3.0e38;
        if position < keys {
            let key_at = position_slot(chunk, position) * SLOT + kv_at;
            slots[lane] = key_at + KV_WIDTH;
            score = 0.0;
            for (var i = 0u; i < HEAD_DIM; i += 4u) {
                let q = vec4<f32>(head_query[i], head_query[i + 1u], head_query[i + 2u], head_query[i + 3u]);
                score += dot(q, four(cache[(key_at + i) / 4u]));
            }
        }
        reduction[lane] = score;
        workgroupBarrier();
        for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
            if lane < half { reduction[lane] = max(reduction[lane], reduction[lane + half]); }
            workgroupBarrier();
        }
        let new_top = max(top, reduction[0]);
        workgroupBarrier();
        let weight = select(0.0, exp(score - new_top), position < keys);
        scores[lane] = weight;
        reduction[lane] = weight;
        workgroupBarrier();
        for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
            if lane < half { reduction[lane] += reduction[lane + half]; }
            workgroupBarrier();
        }
        let shrink = exp(top - new_top);
        total = total * shrink + reduction[0];
        top = new_top;
        let in_tile = min(WORKGROUP, keys - tile);
        for (var d = 0u; d < DIMS; d += 1u) {
            let dim = d * WORKGROUP + lane;
            if dim < HEAD_DIM {
                var sum = sums[d] * shrink;
                for (var i = 0u; i < in_tile; i += 1u) { sum += scores[i] * four(cache[(slots[i] + dim) / 4u])[dim % 4u]; }
                sums[d] = sum;
            }
        }
    }
    for (var d = 0u; d < DIMS; d += 1u) {
        let dim = d * WORKGROUP + lane;
        if dim < HEAD_DIM { out[query_at + dim] = sums[d] / total; }
    }
}
