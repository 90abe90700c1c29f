// Second of the filter: the bin in which the least candidate lies, and a list of the tokens that it may be
//
// Every workgroup brings all parts' histograms together, which is quicker than a dispatch for it, and finds the same bin. Then each
// lists its own part of the row: by rank all tokens down to that bin, as their whole mass is asked for when top-p follows; else
// those in the bin. A list that has no room for all is not used: then `sample_filter` reads the row.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/sample.wgsl" %}
{% include "shared/filter.wgsl" %}

@group(0) @binding(2) var<storage, read> logits: array<vec4<f32>>;              // [outputs, STRIDE]
@group(0) @binding(3) var<storage, read> surveys: array<f32>;                   // [outputs, GROUPS, BINS], see `sample_survey`
@group(0) @binding(4) var<storage, read_write> states: array<atomic<u32>>;      // [outputs, STATE]
@group(0) @binding(5) var<storage, read_write> listed: array<vec2<u32>>;        // [outputs, LISTED]: order of the logit, token

const WORKGROUP: u32 = {{ workgroup }}u;
var<workgroup> sums: array<f32, BINS>;
var<workgroup> coarse: array<f32, 16>;
var<workgroup> own: array<vec2<u32>, LISTED>;
var<workgroup> owned: atomic<u32>;
var<workgroup> boundary: u32;
var<workgroup> begin: u32;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let asked = filter_at(record_at(group.y));
    if !asked.filtered { return; }
    let survey = group.y * GROUPS * BINS;
    var top = -3.4e38;
    for (var part = 0u; part < GROUPS; part += 1u) { top = max(top, surveys[survey + part * BINS + BINS - 1u]); }
    let first = eighth(top);
    for (var bin = lane; bin < BINS; bin += WORKGROUP) {
        var sum = 0.0;
        for (var part = 0u; part < GROUPS; part += 1u) {
            let part_top = surveys[survey + part * BINS + BINS - 1u];
            let shift = bin_of(part_top, first);
            if shift <= bin && bin < BINS - 1u {
                sum += surveys[survey + part * BINS + bin - shift] * select(exp(part_top - top), 1.0, asked.by_rank);
            }
        }
        sums[bin] = sum;
    }
    if lane == 0u { atomicStore(&owned, 0u); }
    workgroupBarrier();
    if lane < 16u {
        var sum = 0.0;
        for (var i = 0u; i < 16u; i += 1u) { sum += sums[16u * lane + i]; }
        coarse[lane] = sum;
    }
    workgroupBarrier();
    if lane == 0u {
        var wanted = f32(asked.top_k);
        if !asked.by_rank {
            var whole = 0.0;
            for (var i = 0u; i < 16u; i += 1u) { whole += coarse[i]; }
            wanted = asked.top_p * whole;
        }
        var above = 0.0;
        var sixteen = 0u;
        while sixteen < 15u {
            if above + coarse[sixteen] >= wanted { break; }
            above += coarse[sixteen];
            sixteen += 1u;
        }
        var bin = 16u * sixteen;
        while bin < BINS - 1u {
            if above + sums[bin] >= wanted { break; }
            above += sums[bin];
            bin += 1u;
        }
        boundary = bin;
        if group.x == 0u {
            // Of the mass, what is wanted from this bin, in the unit of `mass`.
            let rest = max(wanted - above, 0.0) / 2.0;
            let at = group.y * STATE;
            atomicStore(&states[at + 1u], bitcast<u32>(top));
            atomicStore(&states[at + 2u], bin);
            atomicStore(&states[at + 3u], bitcast<u32>(first));
            atomicStore(&states[at + 4u], u32(fract(rest) * 4294967296.0));
            atomicStore(&states[at + 5u], u32(rest));
        }
    }
    let last = workgroupUniformLoad(&boundary);
    if !asked.by_rank && asked.top_p >= 1.0 { return; }
    let base = group.y * (STRIDE / 4u);
    for (var quad = group.x * WORKGROUP + lane; quad < QUADS; quad += GROUPS * WORKGROUP) {
        let four = logits[base + quad] / asked.temperature;
        for (var i = 0u; i < 4u; i += 1u) {
            let bin = bin_of(four[i], first);
            if 4u * quad + i >= VOCABULARY || bin > last || (bin < last && !asked.by_rank) { continue; }
            let at = atomicAdd(&owned, 1u);
            if at < LISTED { own[at] = vec2<u32>(order(four[i]), 4u * quad + i); }
        }
    }
    workgroupBarrier();
    let count = atomicLoad(&owned);
    if lane == 0u { begin = atomicAdd(&states[group.y * STATE], count); }
    let place = workgroupUniformLoad(&begin);
    for (var i = lane; i < min(count, LISTED); i += WORKGROUP) {
        if place + i < LISTED { listed[group.y * LISTED + place + i] = own[i]; }
    }
}
