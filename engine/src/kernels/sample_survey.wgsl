// Where candidates can be: of each stretch of a row the largest logit / temperature, and the sum of its probabilities against that
//
// `sample_filter` learns from it how low it has to look and in which stretches, and reads no others. An invocation per stretch. Rows
// without top-k, top-p and min-p are passed over.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/sample.wgsl" %}
{% include "shared/filter.wgsl" %}

@group(0) @binding(2) var<storage, read> logits: array<vec4<f32>>;             // [outputs, STRIDE]
@group(0) @binding(3) var<storage, read_write> segments: array<vec2<f32>>;     // [outputs, SEGMENTS]: largest, sum of exp

const WORKGROUP: u32 = {{ workgroup }}u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let record = record_at(group.y);
    let segment = group.x * WORKGROUP + lane;
    if !filters(record) || segment >= SEGMENTS { return; }
    let temperature = float_of(record, 5u);
    let end = min((segment + 1u) * SEGMENT, VOCABULARY);
    let base = group.y * (STRIDE / 4u);
    var top = -3.4e38;
    for (var id = segment * SEGMENT; id < end; id += 4u) {
        let y = logits[base + id / 4u] / temperature;
        for (var i = 0u; i < min(4u, end - id); i += 1u) { top = max(top, y[i]); }
    }
    var sum = 0.0;
    for (var id = segment * SEGMENT; id < end; id += 4u) {
        let y = logits[base + id / 4u] / temperature;
        for (var i = 0u; i < min(4u, end - id); i += 1u) { sum += exp(y[i] - top); }
    }
    segments[group.y * SEGMENTS + segment] = vec2<f32>(top, sum);
}
