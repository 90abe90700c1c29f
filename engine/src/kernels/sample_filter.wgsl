// What top-k, top-p and min-p leave: the least candidate of a row, by logit and, among equals, by id
//
// Nothing is sorted. The least candidate is found digit by digit, as a number of 32 bits whose order is that of the logits: a pass
// over the row adds up how much lies at or above each of 15 places, a count for top-k, probabilities for top-p, and the
// highest place with enough gives four bits. Where equals have to be told apart, six more passes find the id in the same way. One
// workgroup per row. Rows without these parameters are passed over.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/sample.wgsl" %}

@group(0) @binding(2) var<storage, read> logits: array<f32>;              // [outputs, STRIDE]
@group(0) @binding(3) var<storage, read_write> least: array<vec2<u32>>;   // [outputs]: order of the logit, last id of equals

const WORKGROUP: u32 = {{ workgroup }}u;
const IDS: u32 = 0xffffffu; // ids are below
var<workgroup> sums: array<f32, {{ workgroup * 15 }}>; // [15, WORKGROUP]
var<workgroup> shared_top: array<f32, WORKGROUP>;
var<workgroup> found: vec2<u32>;
var<workgroup> enough: u32;

// How much of the row lies at or above 15 places; `by_id`: of those equal to the logit of `at`, by falling id.
fn add_up(lane: u32, base: u32, temperature: f32, top: f32, floor: vec2<u32>, at: vec2<u32>, shift: u32, by_id: bool, count: bool) {
{%- for j in range(15) %}
    var sum{{ j }} = 0.0;
{%- endfor %}
    for (var token = lane; token < VOCABULARY; token += WORKGROUP) {
        let y = logits[base + token] / temperature;
        let key = order(y);
        let id_key = IDS - token;
        // What an earlier filter took away.
        if key < floor.x || (key == floor.x && id_key < floor.y) { continue; }
        let weight = select(exp(y - top), 1.0, count);
{%- for j in range(15) %}
        {
            let place{{ j }} = {{ j + 1 }}u << shift;
            let above = select(key >= at.x + place{{ j }}, key > at.x || (key == at.x && id_key >= at.y + place{{ j }}), by_id);
            sum{{ j }} += select(0.0, weight, above);
        }
{%- endfor %}
    }
{%- for j in range(15) %}
    sums[{{ j }}u * WORKGROUP + lane] = sum{{ j }};
{%- endfor %}
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        for (var i = lane; i < 15u * half; i += WORKGROUP) {
            let to = i / half * WORKGROUP + i % half;
            sums[to] += sums[to + half];
        }
        workgroupBarrier();
    }
}

// The highest place from which on there is at least `target`, below nothing that `floor` says.
fn search(lane: u32, base: u32, temperature: f32, top: f32, floor: vec2<u32>, wanted: f32, count: bool) -> vec2<u32> {
    var at = vec2<u32>(0u, 0u);
    for (var digit = 0u; digit < 14u; digit += 1u) {
        let by_id = digit >= 8u;
        let shift = select(28u - 4u * digit, 52u - 4u * digit, by_id);
        add_up(lane, base, temperature, top, floor, at, shift, by_id, count);
        if lane == 0u {
            var place = 0u;
            while place < 15u {
                if sums[place * WORKGROUP] < wanted { break; }
                place += 1u;
            }
            var next = at;
            if by_id { next.y += place << shift; } else { next.x += place << shift; }
            found = next;
            // A count that is met exactly leaves nothing to tell apart.
            enough = select(0u, 1u, count && place > 0u && sums[(max(place, 1u) - 1u) * WORKGROUP] == wanted);
        }
        at = workgroupUniformLoad(&found);
        if workgroupUniformLoad(&enough) == 1u { break; }
    }
    return at;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let record = record_at(group.x);
    let temperature = float_of(record, 5u);
    let top_k = words[record + 6u];
    let top_p = float_of(record, 7u);
    let min_p = float_of(record, 8u);
    let by_rank = top_k > 0u && top_k < VOCABULARY;
    let filtered = by_rank || top_p < 1.0 || min_p > 0.0;
    if !sampled_at_all(record) || temperature <= 0.0 || !filtered { return; }
    let base = group.x * STRIDE;
    var best = -3.4e38;
    for (var token = lane; token < VOCABULARY; token += WORKGROUP) { best = max(best, logits[base + token] / temperature); }
    shared_top[lane] = best;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half { shared_top[lane] = max(shared_top[lane], shared_top[lane + half]); }
        workgroupBarrier();
    }
    let top = shared_top[0];
    var floor = vec2<u32>(0u, 0u);
    if by_rank { floor = search(lane, base, temperature, top, floor, f32(top_k), true); }
    if top_p < 1.0 {
        // The whole of what is left: all places are below every key.
        add_up(lane, base, temperature, top, floor, vec2<u32>(0u, 0u), 0u, false, false);
        let all = sums[0];
        workgroupBarrier();
        floor = search(lane, base, temperature, top, floor, top_p * all, false);
    }
    if lane == 0u {
        if min_p > 0.0 {
            let lowest = order(top + log(min_p));
            if lowest > floor.x { floor = vec2<u32>(lowest, 0u); }
        }
        least[group.x] = floor;
    }
}
