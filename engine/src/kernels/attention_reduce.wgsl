// Joins the partial softmaxes that `attention_split` or `attention_serial` left
//
// out[row, head, :] = sum of sums / sum of weights, both brought to one top.
//
// A team of invocations has four dimensions of a head: each takes every team-th part, four at a time, and then they join what they have. One
// row has few parts, so the time is that of loads which wait for each other.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/heads.wgsl" %}

@group(0) @binding(2) var<storage, read> partials: array<vec4<f32>>;     // [rows, HEADS, splits, HEAD_DIM + 4]
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;    // [rows, Q_STRIDE]

const DIMS: u32 = HEAD_DIM / 4u; // in vec4
const RECORD: u32 = DIMS + 1u;
{%- if team > 1 %}
const ITEMS: u32 = {{ workgroup // team }}u; // per workgroup
var<workgroup> team_sums: array<vec4<f32>, {{ workgroup }}>;  // [TEAM, ITEMS]
var<workgroup> team_stats: array<vec2<f32>, {{ workgroup }}>; // [TEAM, ITEMS]: top, total
{%- endif %}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = id.y;
{%- if team > 1 %}
    // Whoever is past the last head reads of that, as all have to come to the barrier.
    let item = id.x * ITEMS + lane % ITEMS;
    let member = lane / ITEMS;
{%- else %}
    let item = id.x * {{ workgroup }}u + lane;
    let member = 0u;
    if item >= HEADS * DIMS { return; }
{%- endif %}
    let at = (row * HEADS + min(item / DIMS, HEADS - 1u)) * step.splits * RECORD;
    let dim = item % DIMS;
    // Parts past the row's position hold nothing.
    let parts = row_position(row) / step.split_keys + 1u;
    let last = parts - 1u;
    var top = -3.0e38;
    var sum = vec4<f32>();
    var total = 0.0;
    for (var part = member; part < parts; part += {{ 4 * team }}u) {
{%- for u in range(4) %}
        let at{{ u }} = at + min(part + {{ u * team }}u, last) * RECORD;
        let stats{{ u }} = partials[at{{ u }} + DIMS];
        let sum{{ u }} = partials[at{{ u }} + dim];
{%- endfor %}
        let new_top = max(max(max(stats0.x, stats1.x), max(stats2.x, stats3.x)), top);
        let shrink = exp(top - new_top);
        sum *= shrink;
        total *= shrink;
        top = new_top;
{%- for u in range(4) %}
        let weight{{ u }} = select(0.0, exp(stats{{ u }}.x - top), part + {{ u * team }}u <= last);
        total += weight{{ u }} * stats{{ u }}.y;
        sum += weight{{ u }} * sum{{ u }};
{%- endfor %}
    }
{%- if team > 1 %}
    team_sums[lane] = sum;
    team_stats[lane] = vec2<f32>(top, total);
    workgroupBarrier();
    if member > 0u || item >= HEADS * DIMS { return; }
{%- for t in range(1, team) %}
    top = max(top, team_stats[lane + {{ t }}u * ITEMS].x);
{%- endfor %}
    sum = vec4<f32>();
    total = 0.0;
{%- for t in range(team) %}
    let weight{{ t }} = exp(team_stats[lane + {{ t }}u * ITEMS].x - top);
    total += weight{{ t }} * team_stats[lane + {{ t }}u * ITEMS].y;
    sum += weight{{ t }} * team_sums[lane + {{ t }}u * ITEMS];
{%- endfor %}
{%- endif %}
    out[row * (Q_STRIDE / 4u) + item] = sum / total;
}
