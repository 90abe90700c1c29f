// What top-k, top-p and min-p leave: the least candidate of a row, by logit and, among equals, by id
//
// Nothing is sorted. `sample_survey` and `sample_sift` leave a list of a few tokens, among which it is found digit by digit of eight
// bits: a histogram of the digit, and the highest value from which on there is enough; ids last, where equals have to be told apart.
// Where the list had no room (flat distributions, large k) the same passes go over the row.
//
// One workgroup per row. Until 2026-11 it did all of this alone, up to 29 passes over the vocabulary with 15 sums each.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/sample.wgsl" %}
{% include "shared/filter.wgsl" %}

@group(0) @binding(2) var<storage, read> logits: array<vec4<f32>>;        // [outputs, STRIDE]
@group(0) @binding(3) var<storage, read> states: array<u32>;              // [outputs, STATE], see `sample_sift`
@group(0) @binding(4) var<storage, read> listed: array<vec2<u32>>;        // [outputs, LISTED]: order of the logit, token
@group(0) @binding(5) var<storage, read_write> least: array<vec2<u32>>;   // [outputs]: order of the logit, last id of equals

const WORKGROUP: u32 = {{ workgroup }}u;
const IDS: u32 = 0xffffffu; // ids are below
var<workgroup> candidates: array<vec2<u32>, LISTED>;
var<workgroup> low: array<atomic<u32>, 256>;
var<workgroup> high: array<atomic<u32>, 256>;
var<workgroup> coarse: array<vec2<u32>, 16>;
var<workgroup> found: vec3<u32>; // order of the logit, id, whether that is all
var<workgroup> wanted: vec2<u32>;

// What a search is about.
struct Search {
    top: f32,
    floor: vec2<u32>,   // what an earlier filter left
    at: vec2<u32>,      // digits that are found
    shift: u32,         // of this digit
    by_id: bool,
    by_rank: bool,
}

fn float_of_order(key: u32) -> f32 { return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u)); }

// The high word of a product.
fn high_word(a: u32, b: u32) -> u32 {
    let lowest = (a & 0xffffu) * (b & 0xffffu);
    let middle = (a >> 16u) * (b & 0xffffu) + (lowest >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
    return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u);
}

// A part of a number: `fraction` below one.
fn share(all: vec2<u32>, fraction: f32) -> vec2<u32> {
    let f = u32(clamp(fraction, 0.0, 0.99999994) * 4294967296.0);
    return plus(vec2<u32>(all.y * f, high_word(all.y, f)), vec2<u32>(high_word(all.x, f), 0u));
}

// A candidate's part of its digit's sum.
fn add(search: Search, key: u32, token: u32) {
    let id = IDS - token;
    if key < search.floor.x || (key == search.floor.x && id < search.floor.y) { return; }
    var digits = key;
    var known = search.at.x;
    if search.by_id {
        if key != search.at.x { return; }
        digits = id << 8u;
        known = search.at.y << 8u;
    }
    // Digits before this one.
    let before = select(0xffffff00u << search.shift, 0u, search.shift == 24u);
    if ((digits ^ known) & before) != 0u { return; }
    var weight = 1u;
    if !search.by_rank { weight = mass(float_of_order(key), search.top); }
    if weight == 0u { return; }
    let digit = (digits >> search.shift) & 255u;
    let old = atomicAdd(&low[digit], weight);
    if old + weight < old { atomicAdd(&high[digit], 1u); }
}

// The highest place from which on there is at least what is wanted: `wanted`, or if that is zero, `fraction` of all.
fn place_of(lane: u32, row: u32, asked: Filter, top: f32, floor: vec2<u32>, by_rank: bool, fraction: f32) -> vec2<u32> {
    let count = states[row * STATE];
    let last = states[row * STATE + 2u];
    let first = bitcast<i32>(states[row * STATE + 3u]);
    var at = vec2<u32>(0u, 0u);
    for (var digit = 0u; digit < 7u; digit += 1u) {
        let by_id = digit >= 4u;
        // Ids are moved to the upper 24 bits.
        let shift = select(24u - 8u * digit, 56u - 8u * digit, by_id);
        let search = Search(top, floor, at, shift, by_id, by_rank);
        for (var i = lane; i < 256u; i += WORKGROUP) {
            atomicStore(&low[i], 0u);
            atomicStore(&high[i], 0u);
        }
        workgroupBarrier();
        if count <= LISTED {
            for (var i = lane; i < count; i += WORKGROUP) { add(search, candidates[i].x, candidates[i].y); }
        } else {
            for (var quad = lane; quad < QUADS; quad += WORKGROUP) {
                let four = logits[row * (STRIDE / 4u) + quad] / asked.temperature;
                for (var i = 0u; i < 4u; i += 1u) {
                    let bin = bin_of(four[i], first);
                    if 4u * quad + i >= VOCABULARY || bin > last || (bin < last && !asked.by_rank) { continue; }
                    add(search, order(four[i]), 4u * quad + i);
                }
            }
        }
        workgroupBarrier();
        if lane < 16u {
            var sum = vec2<u32>(0u, 0u);
            for (var i = 16u * lane; i < 16u * lane + 16u; i += 1u) {
                sum = plus(sum, vec2<u32>(atomicLoad(&low[i]), atomicLoad(&high[i])));
            }
            coarse[lane] = sum;
        }
        workgroupBarrier();
        if lane == 0u {
            var rest = wanted;
            if digit == 0u {
                var whole = vec2<u32>(0u, 0u);
                for (var i = 0u; i < 16u; i += 1u) { whole = plus(whole, coarse[i]); }
                if fraction > 0.0 { rest = share(whole, fraction); }
                if less(whole, rest) { rest = whole; }
                if all(rest == vec2<u32>(0u, 0u)) { rest.x = 1u; }
            }
            var sixteen = 15u;
            while sixteen > 0u {
                if !less(coarse[sixteen], rest) { break; }
                rest = minus(rest, coarse[sixteen]);
                sixteen -= 1u;
            }
            var value = 16u * sixteen + 15u;
            var sum = vec2<u32>(atomicLoad(&low[value]), atomicLoad(&high[value]));
            while value > 16u * sixteen {
                if !less(sum, rest) { break; }
                rest = minus(rest, sum);
                value -= 1u;
                sum = vec2<u32>(atomicLoad(&low[value]), atomicLoad(&high[value]));
            }
            var next = at;
            if by_id { next.y |= (value << shift) >> 8u; } else { next.x |= value << shift; }
            // Nothing is left to tell apart if all equals are wanted, which weigh the same. Not so before the whole key is known: of the
            // keys that begin with these digits others may lie below the list.
            var one = vec2<u32>(1u, 0u);
            if digit >= 3u && !by_rank { one.x = mass(float_of_order(next.x), top); }
            let enough = !less(plus(rest, one), plus(sum, vec2<u32>(1u, 0u)));
            found = vec3<u32>(next, select(0u, 1u, enough && digit >= 3u));
            wanted = rest;
        }
        let step_found = workgroupUniformLoad(&found);
        at = step_found.xy;
        if step_found.z == 1u { break; }
    }
    return at;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    let asked = filter_at(record_at(row));
    if !asked.filtered { return; }
    let count = states[row * STATE];
    let top = bitcast<f32>(states[row * STATE + 1u]);
    for (var i = lane; i < min(count, LISTED); i += WORKGROUP) { candidates[i] = listed[row * LISTED + i]; }
    var floor = vec2<u32>(0u, 0u);
    if asked.by_rank {
        if lane == 0u { wanted = vec2<u32>(asked.top_k, 0u); }
        workgroupBarrier();
        floor = place_of(lane, row, asked, top, floor, true, 0.0);
        if asked.top_p < 1.0 {
            if lane == 0u { wanted = vec2<u32>(0u, 0u); }
            workgroupBarrier();
            floor = place_of(lane, row, asked, top, floor, false, asked.top_p);
        }
    } else if asked.top_p < 1.0 {
        if lane == 0u { wanted = vec2<u32>(states[row * STATE + 4u], states[row * STATE + 5u]); }
        workgroupBarrier();
        floor = place_of(lane, row, asked, top, floor, false, 0.0);
    }
    if lane == 0u {
        if asked.min_p > 0.0 {
            let lowest = order(top + log(asked.min_p));
            if lowest > floor.x { floor = vec2<u32>(lowest, 0u); }
        }
        least[row] = floor;
    }
}
