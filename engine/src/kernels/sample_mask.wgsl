// logits[row, token] = FORBIDDEN where the row's mask does not allow the token
//
// A grammar leaves few tokens or nearly all, so what is allowed is not touched. A quad of tokens has four bits of one word. What is not
// finite stays so: whoever scans the row has to tell. FORBIDDEN is `sampling::FORBIDDEN`.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/sample.wgsl" %}

@group(0) @binding(2) var<storage, read_write> logits: array<vec4<u32>>;    // f32 [outputs, STRIDE]
@group(0) @binding(3) var<storage, read> masks: array<u32>;                 // [masks, WORDS]: token t is bit t % 32 of word t / 32

const WORDS: u32 = (VOCABULARY + 31u) / 32u;
const FORBIDDEN: f32 = -1e30;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let record = record_at(group.y);
    let flags = words[record];
    let quad = invocation.x;
    if !sampled_at_all(record) || (flags & 4u) == 0u || 4u * quad >= VOCABULARY { return; }
    let allowed = masks[(flags >> 3u) * WORDS + quad / 8u] >> (4u * (quad % 8u));
    if (allowed & 15u) == 15u { return; }
    let at = group.y * (STRIDE / 4u) + quad;
    let bits = logits[at];
    let forbidden = (vec4<u32>(allowed) & vec4<u32>(1u, 2u, 4u, 8u)) == vec4<u32>(0u);
    let finite = (bits & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u);
    logits[at] = select(bits, vec4<u32>(bitcast<u32>(FORBIDDEN)), forbidden & finite);
}
