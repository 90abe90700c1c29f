// Joins the partial softmaxes that `attention_split` left: out[row, head, :] = sum of sums / sum of weights, both brought to one top
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/heads.wgsl" %}

@group(0) @binding(2) var<storage, read> partials: array<vec4<f32>>;     // [rows, HEADS, splits, HEAD_DIM + 4]
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;    // [rows, Q_STRIDE]

const DIMS: u32 = HEAD_DIM / 4u; // in vec4
const RECORD: u32 = DIMS + 1u;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    if id.x >= HEADS * DIMS { return; }
    let at = (row * HEADS + id.x / DIMS) * step.splits * RECORD;
    let dim = id.x % DIMS;
    // Parts past the row's position hold nothing.
    let parts = row_position(row) / step.split_keys + 1u;
    let last = parts - 1u;
    var top = -3.0e38;
    var sum = vec4<f32>();
    var total = 0.0;
    for (var part = 0u; part < parts; part += 4u) {
{%- for u in range(4) %}
        let at{{ u }} = at + min(part + {{ u }}u, last) * RECORD;
        let stats{{ u }} = partials[at{{ u }} + DIMS];
        let sum{{ u }} = partials[at{{ u }} + dim];
{%- endfor %}
        let new_top = max(max(max(stats0.x, stats1.x), max(stats2.x, stats3.x)), top);
        let shrink = exp(top - new_top);
        sum *= shrink;
        total *= shrink;
        top = new_top;
{%- for u in range(4) %}
        let weight{{ u }} = select(0.0, exp(stats{{ u }}.x - top), part + {{ u }}u <= last);
        total += weight{{ u }} * stats{{ u }}.y;
        sum += weight{{ u }} * sum{{ u }};
{%- endfor %}
    }
    out[row * (Q_STRIDE / 4u) + id.x] = sum / total;
}
