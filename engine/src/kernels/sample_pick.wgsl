// The best of the parts that `sample_scan` left: the token, where the next step's embedding reads it and the CPU later on
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/sample.wgsl" %}

@group(0) @binding(2) var<storage, read> best: array<vec4<u32>>;          // [outputs, CHUNKS]: value, token, whether all are finite
@group(0) @binding(3) var<storage, read_write> sampled: array<u32>;       // two words each: token, and whether its logits were finite

const CHUNKS: u32 = {{ chunks }}u;
var<workgroup> parts: array<vec4<u32>, CHUNKS>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let record = record_at(group.x);
    if !sampled_at_all(record) { return; }
    for (var i = lane; i < CHUNKS; i += {{ workgroup }}u) { parts[i] = best[group.x * CHUNKS + i]; }
    workgroupBarrier();
    if lane > 0u { return; }
    var value = bitcast<f32>(parts[0].x);
    var token = parts[0].y;
    var finite = parts[0].z;
    for (var i = 1u; i < CHUNKS; i += 1u) {
        let other = bitcast<f32>(parts[i].x);
        if other > value || (other == value && parts[i].y < token) {
            value = other;
            token = parts[i].y;
        }
        finite &= parts[i].z;
    }
    // Whatever happened, what the next step looks up is in the vocabulary.
    let at = 2u * place(record);
    sampled[at] = select(0u, token, finite == 1u && token < VOCABULARY);
    sampled[at + 1u] = finite;
}
