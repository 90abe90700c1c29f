// The attention of many rows, by tiles of queries: prefill        (FlashAttention, Dao et al. 2022)
//
// A workgroup takes up to QUERIES consecutive rows of one chunk, for one head. Keys come in tiles of TILE, up to the last
// row's position: an invocation scores one key for several queries, then adds up four dimensions of the values for several
// queries, with a running softmax for each. A key or value that is loaded serves all the tile's queries.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/heads.wgsl" %}
{% include "shared/cache.wgsl" %}
{%- set dims = head_dim // 4 %}
{%- set unroll = 8 if tile % 8 == 0 else 1 %}
{%- set unroll_dims = 8 if dims % 8 == 0 else 1 %}
{%- set score_queries = queries * tile // workgroup %}
{%- set value_queries = queries * dims // workgroup %}

@group(0) @binding(2) var<storage, read> query: array<vec4<f32>>;         // [rows, Q_STRIDE]
@group(0) @binding(3) var<storage, read> cache: array<Cached>;         // [slots, 2, KV_WIDTH]
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;     // [rows, Q_STRIDE]

const WORKGROUP: u32 = {{ workgroup }}u;
const QUERIES: u32 = {{ queries }}u;
const TILE: u32 = {{ tile }}u;
const DIMS: u32 = {{ dims }}u; // in vec4
var<workgroup> tile_queries: array<vec4<f32>, {{ queries * dims }}>;  // [QUERIES, DIMS]
var<workgroup> weights: array<f32, {{ queries * tile }}>;             // [QUERIES, TILE]
var<workgroup> slots: array<u32, TILE>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = id.x;
    let first_row = words[step.tiles_at + 2u * id.y];
    let rows = words[step.tiles_at + 2u * id.y + 1u];
    let chunk = row_chunk(first_row);
    let position = row_position(first_row);
    let keys = position + rows;
    let kv_at = head / (HEADS / KV_HEADS) * DIMS;
    for (var i = lane; i < QUERIES * DIMS; i += WORKGROUP) {
        let row = first_row + min(i / DIMS, rows - 1u);
        tile_queries[i] = query[row * (Q_STRIDE / 4u) + head * DIMS + i % DIMS] * {{ scale }};
    }
    let key = lane % TILE;
    let score_query = lane / TILE * {{ score_queries }}u;
    let dim = lane % DIMS;
    let value_query = lane / DIMS * {{ value_queries }}u;
{%- for q in range(value_queries) %}
    var sum{{ q }} = vec4<f32>();
    var top{{ q }} = -3.0e38;
    var total{{ q }} = 0.0;
{%- endfor %}
    for (var first = 0u; first < keys; first += TILE) {
        let count = min(TILE, keys - first);
        if lane < TILE {
            slots[lane] = position_slot(chunk, first + min(lane, count - 1u)) * (SLOT / 4u) + kv_at;
        }
        workgroupBarrier();
        let key_at = slots[key];
{%- for q in range(score_queries) %}
        var score{{ q }} = 0.0;
{%- endfor %}
        for (var d = 0u; d < DIMS; d += {{ unroll_dims }}u) {
{%- for u in range(unroll_dims) %}
            let k{{ u }} = four(cache[key_at + d + {{ u }}u]);
{%- endfor %}
{%- for u in range(unroll_dims) %}
{%- for q in range(score_queries) %}
            score{{ q }} += dot(k{{ u }}, tile_queries[(score_query + {{ q }}u) * DIMS + d + {{ u }}u]);
{%- endfor %}
{%- endfor %}
        }
{%- for q in range(score_queries) %}
        // A query sees keys up to its own position.
        weights[(score_query + {{ q }}u) * TILE + key] =
            select(-3.0e38, score{{ q }}, first + key <= position + score_query + {{ q }}u && key < count);
{%- endfor %}
        workgroupBarrier();
{%- for q in range(value_queries) %}
        let at{{ q }} = (value_query + {{ q }}u) * TILE;
        var new_top{{ q }} = top{{ q }};
        for (var k = 0u; k < TILE; k += 1u) { new_top{{ q }} = max(new_top{{ q }}, weights[at{{ q }} + k]); }
        let shrink{{ q }} = exp(top{{ q }} - new_top{{ q }});
        top{{ q }} = new_top{{ q }};
        sum{{ q }} *= shrink{{ q }};
        total{{ q }} *= shrink{{ q }};
{%- endfor %}
        // Keys past the count have no weight, and the slot of the last.
        for (var k = 0u; k < count; k += {{ unroll }}u) {
{%- for u in range(unroll) %}
            let v{{ u }} = four(cache[slots[k + {{ u }}u] + KV_WIDTH / 4u + dim]);
{%- endfor %}
{%- for u in range(unroll) %}
{%- for q in range(value_queries) %}
            let weight{{ q }}_{{ u }} = exp(weights[at{{ q }} + k + {{ u }}u] - new_top{{ q }});
            total{{ q }} += weight{{ q }}_{{ u }};
            sum{{ q }} += weight{{ q }}_{{ u }} * v{{ u }};
{%- endfor %}
{%- endfor %}
        }
        workgroupBarrier();
    }
{%- for q in range(value_queries) %}
    if value_query + {{ q }}u < rows {
        out[(first_row + value_query + {{ q }}u) * (Q_STRIDE / 4u) + head * DIMS + dim] = sum{{ q }} / total{{ q }};
    }
{%- endfor %}
}
