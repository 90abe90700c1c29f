// First of the filter: the maximum of each part of a row, and how much of the part lies in each bin below it
//
// GROUPS workgroups share a row. A part is counted against its own maximum, as the row's is not known before all are done: tokens
// where top-k asks, probabilities where top-p alone does.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/sample.wgsl" %}
{% include "shared/filter.wgsl" %}

@group(0) @binding(2) var<storage, read> logits: array<vec4<f32>>;          // [outputs, STRIDE]
@group(0) @binding(3) var<storage, read_write> surveys: array<f32>;         // [outputs, GROUPS, BINS]: the maximum takes the last bin's place
@group(0) @binding(4) var<storage, read_write> states: array<u32>;          // [outputs, STATE]

const WORKGROUP: u32 = {{ workgroup }}u;
var<workgroup> tops: array<f32, WORKGROUP>;
var<workgroup> low: array<atomic<u32>, BINS>;
var<workgroup> high: array<atomic<u32>, BINS>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let asked = filter_at(record_at(group.y));
    if !asked.filtered { return; }
    let base = group.y * (STRIDE / 4u);
    var best = vec4<f32>(-3.4e38);
    for (var quad = group.x * WORKGROUP + lane; quad < QUADS; quad += GROUPS * WORKGROUP) {
        let y = logits[base + quad] / asked.temperature;
        let known = vec4<u32>(4u * quad) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(VOCABULARY);
        best = select(best, max(best, y), known);
    }
    tops[lane] = max(max(best.x, best.y), max(best.z, best.w));
    for (var bin = lane; bin < BINS; bin += WORKGROUP) {
        atomicStore(&low[bin], 0u);
        atomicStore(&high[bin], 0u);
    }
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half { tops[lane] = max(tops[lane], tops[lane + half]); }
        workgroupBarrier();
    }
    let top = tops[0];
    let first = eighth(top);
    if asked.by_rank || asked.top_p < 1.0 {
        for (var quad = group.x * WORKGROUP + lane; quad < QUADS; quad += GROUPS * WORKGROUP) {
            let four = logits[base + quad] / asked.temperature;
            for (var i = 0u; i < 4u; i += 1u) {
                let bin = bin_of(four[i], first);
                if 4u * quad + i >= VOCABULARY || bin == BINS - 1u { continue; }
                var weight = 1u;
                if !asked.by_rank { weight = mass(four[i], top); }
                if weight == 0u { continue; }
                let before = atomicAdd(&low[bin], weight);
                if before + weight < before { atomicAdd(&high[bin], 1u); }
            }
        }
    }
    workgroupBarrier();
    let unit = select(1.0 / 2147483648.0, 1.0, asked.by_rank);
    let to = (group.y * GROUPS + group.x) * BINS;
    for (var bin = lane; bin < BINS; bin += WORKGROUP) {
        let weight = (f32(atomicLoad(&high[bin])) * 4294967296.0 + f32(atomicLoad(&low[bin]))) * unit;
        surveys[to + bin] = select(weight, top, bin == BINS - 1u);
    }
    if group.x == 0u && lane == 0u { states[group.y * STATE] = 0u; }
}
