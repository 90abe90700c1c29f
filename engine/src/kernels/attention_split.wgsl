// The attention of few rows, by parts of the keys: decoding        (flash-decoding, Dao et al. 2023)
//
// One row has too few heads to fill a GPU, so its keys are split into step.splits parts; a workgroup takes one part for GROUP
// query heads of one KV head and leaves a partial softmax behind, which `attention_reduce` joins. Keys come in tiles of TILE:
// THREADS / TILE invocations share a key and score it for all GROUP heads, so each key is loaded once; then an invocation
// takes four dimensions of one head (the heads' loads of a value meet in the cache). Per part and head: HEAD_DIM sums of
// weight * value, then the largest score and the sum of weights.
//
// A part is bound by waiting: for the slots, then the keys, then the values. So values are asked for together with the keys wherever an
// invocation has registers for them (64 words), before their weights are known: on an H100 SmolLM2-135M decodes 1.05 times as fast.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/heads.wgsl" %}
{% include "shared/cache.wgsl" %}
{%- set dims = head_dim // 4 %}
{%- set unroll = 8 if tile % 8 == 0 else 1 %}
{%- set team = workgroup // tile %}
{%- set items = (group * dims + workgroup - 1) // workgroup %}
{%- set ahead = items * tile * (1 if kv_half else 2) <= 32 %}

@group(0) @binding(2) var<storage, read> query: array<vec4<f32>>;               // [rows, Q_STRIDE]
@group(0) @binding(3) var<storage, read> cache: array<Cached>;               // [slots, 2, KV_WIDTH]
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;      // [rows, HEADS, splits, HEAD_DIM + 4]

const WORKGROUP: u32 = {{ workgroup }}u;
const TILE: u32 = {{ tile }}u;
const TEAM: u32 = {{ team }}u;     // invocations that share a key
const GROUP: u32 = {{ group }}u;   // query heads
const GROUPS: u32 = {{ heads // kv_heads // group }}u; // per KV head
const DIMS: u32 = {{ dims }}u;     // in vec4
const RECORD: u32 = DIMS + 1u;     // in vec4
var<workgroup> queries: array<vec4<f32>, {{ group * dims }}>;          // [GROUP, DIMS]
var<workgroup> parts: array<f32, {{ group * workgroup }}>;             // [GROUP, TEAM, TILE]
var<workgroup> weights: array<f32, {{ group * tile }}>;                // [GROUP, TILE]
var<workgroup> slots: array<u32, TILE>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = id.y;
    let first_head = id.x * GROUP;
    let kv_at = id.x / GROUPS * DIMS;
    let chunk = row_chunk(row);
    let begin = id.z * step.split_keys;
    let end = min(begin + step.split_keys, row_position(row) + 1u);
    for (var i = lane; i < GROUP * DIMS; i += WORKGROUP) {
        queries[i] = query[row * (Q_STRIDE / 4u) + first_head * DIMS + i] * {{ scale }};
    }
    let key = lane % TILE;
    let member = lane / TILE;
{%- for i in range(items) %}
    var sum{{ i }} = vec4<f32>();
    var top{{ i }} = -3.0e38;
    var total{{ i }} = 0.0;
{%- endfor %}
    for (var first = begin; first < end; first += TILE) {
        let count = min(TILE, end - first);
        if lane < TILE {
            slots[lane] = position_slot(chunk, first + min(lane, count - 1u)) * (SLOT / 4u) + kv_at;
        }
        workgroupBarrier();
        let key_at = slots[key];
{%- for g in range(group) %}
        var score{{ g }} = 0.0;
{%- endfor %}
{%- if dims % team == 0 %}
        // All loads before the first use: their latencies overlap.
{%- for d in range(dims // team) %}
        let k{{ d }} = four(cache[key_at + member + {{ d * team }}u]);
{%- endfor %}
{%- endif %}
{%- if ahead %}
{%- for i in range(items) %}
        let value_at{{ i }} = KV_WIDTH / 4u + (lane + {{ i * workgroup }}u) % DIMS;
{%- for u in range(tile) %}
        let cached{{ i }}_{{ u }} = cache[slots[{{ u }}u] + value_at{{ i }}];
{%- endfor %}
{%- endfor %}
{%- endif %}
{%- if dims % team == 0 %}
{%- for d in range(dims // team) %}
{%- for g in range(group) %}
        score{{ g }} += dot(k{{ d }}, queries[{{ g * dims + d * team }}u + member]);
{%- endfor %}
{%- endfor %}
{%- else %}
        for (var d = member; d < DIMS; d += TEAM) {
            let k = four(cache[key_at + d]);
{%- for g in range(group) %}
            score{{ g }} += dot(k, queries[{{ g * dims }}u + d]);
{%- endfor %}
        }
{%- endif %}
{%- for g in range(group) %}
        parts[{{ g * workgroup }}u + lane] = score{{ g }};
{%- endfor %}
        workgroupBarrier();
        for (var i = lane; i < GROUP * TILE; i += WORKGROUP) {
            let at = i / TILE * WORKGROUP + i % TILE;
            var score = parts[at];
{%- for t in range(1, team) %}
            score += parts[at + {{ t * tile }}u];
{%- endfor %}
            weights[i] = select(-3.0e38, score, i % TILE < count);
        }
        workgroupBarrier();
{%- for i in range(items) %}
        if lane + {{ i * workgroup }}u < GROUP * DIMS {
            let at = (lane + {{ i * workgroup }}u) / DIMS * TILE;
            var new_top = top{{ i }};
            for (var k = 0u; k < TILE; k += 1u) { new_top = max(new_top, weights[at + k]); }
            let shrink = exp(top{{ i }} - new_top);
            top{{ i }} = new_top;
            var sum = sum{{ i }} * shrink;
            var total = total{{ i }} * shrink;
            // Keys past the count have no weight, and the slot of the last.
{%- if ahead %}
{%- for u in range(tile) %}
            let weight{{ u }} = exp(weights[at + {{ u }}u] - new_top);
            total += weight{{ u }};
            sum += weight{{ u }} * four(cached{{ i }}_{{ u }});
{%- endfor %}
{%- else %}
            let value_at = KV_WIDTH / 4u + (lane + {{ i * workgroup }}u) % DIMS;
            for (var k = 0u; k < count; k += {{ unroll }}u) {
{%- for u in range(unroll) %}
                let v{{ u }} = four(cache[slots[k + {{ u }}u] + value_at]);
{%- endfor %}
{%- for u in range(unroll) %}
                let weight{{ u }} = exp(weights[at + k + {{ u }}u] - new_top);
                total += weight{{ u }};
                sum += weight{{ u }} * v{{ u }};
{%- endfor %}
            }
{%- endif %}
            sum{{ i }} = sum;
            total{{ i }} = total;
        }
{%- endfor %}
        workgroupBarrier();
    }
{%- for i in range(items) %}
    if lane + {{ i * workgroup }}u < GROUP * DIMS {
        let head = first_head + (lane + {{ i * workgroup }}u) / DIMS;
        let dim = (lane + {{ i * workgroup }}u) % DIMS;
        let at = ((row * HEADS + head) * step.splits + id.z) * RECORD;
        partials[at + dim] = sum{{ i }};
        if dim == 0u { partials[at + DIMS] = vec4<f32>(top{{ i }}, total{{ i }}, 0.0, 0.0); }
    }
{%- endfor %}
}
