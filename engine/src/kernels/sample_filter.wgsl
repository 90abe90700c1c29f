// What top-k, top-p and min-p leave: the least candidate of a row, by logit and, among equals, by id
//
// Nothing is sorted. The least candidate is found digit by digit, as a number of 32 bits whose order is that of the logits: a pass
// over the candidates adds up how much lies at or above each of 15 places, a count for top-k, probabilities for top-p, and the
// highest place with enough gives four bits. Where equals have to be told apart, six more passes find the id in the same way.
//
// A pass over a vocabulary of 150 000 would cost more than the model. But the largest logits of the row's stretches (`sample_survey`) are
// logits themselves: where those at or above a place are enough, all are. So a first search among them, of their first
// 16 bits, says how low candidates can lie. Stretches that reach as high are read once more, and what they hold is a list, mostly
// a little longer than what is left in the end. Only where the list would not fit, with logits that hardly differ, is the whole row
// searched. One workgroup per row; rows without these parameters are passed over.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/sample.wgsl" %}
{% include "shared/filter.wgsl" %}

@group(0) @binding(2) var<storage, read> logits: array<f32>;                    // [outputs, STRIDE]
@group(0) @binding(3) var<storage, read> segments: array<vec2<f32>>;            // [outputs, SEGMENTS], see `sample_survey`
@group(0) @binding(4) var<storage, read_write> listed: array<vec2<u32>>;        // [outputs, CAPACITY]
@group(0) @binding(5) var<storage, read_write> least: array<vec2<u32>>;         // [outputs]: order of the logit, last id of equals

const WORKGROUP: u32 = {{ workgroup }}u;
const CAPACITY: u32 = {{ capacity }}u;
const IDS: u32 = 0xffffffu; // ids are below
// Where a search looks.
const IN_SEGMENTS: u32 = 0u;
const IN_LIST: u32 = 1u;
const IN_ROW: u32 = 2u;
var<workgroup> sums: array<f32, {{ workgroup * 15 }}>; // [15, WORKGROUP]
var<workgroup> counts: array<u32, WORKGROUP>;
var<workgroup> found: vec2<u32>;
var<workgroup> enough: u32;

// What is searched, and how it weighs.
struct Search {
    place: u32,        // where
    row: u32,
    count: u32,        // how many there are
    temperature: f32,
    top: f32,          // the largest logit / temperature
    ranks: bool,       // all weigh the same
    floor: vec2<u32>,  // what an earlier filter took away is below
}

// The float of an order.
fn value(key: u32) -> f32 { return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u)); }

// Order, and the id from the other end, so that of equals the lower id is above.
fn candidate(search: Search, index: u32) -> vec2<u32> {
    switch search.place {
        case IN_SEGMENTS: { return vec2<u32>(order(segments[search.row * SEGMENTS + index].x), IDS - index); }
        case IN_LIST: { return listed[search.row * CAPACITY + index]; }
        default: { return vec2<u32>(order(logits[search.row * STRIDE + index] / search.temperature), IDS - index); }
    }
}

// The sum of what the invocations have.
fn total(lane: u32, own: f32) -> f32 {
    sums[lane] = own;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half { sums[lane] += sums[lane + half]; }
        workgroupBarrier();
    }
    return workgroupUniformLoad(&sums[0]);
}

// How much lies at or above 15 places; `by_id`: of those equal to the order of `at`, by falling id.
fn add_up(lane: u32, search: Search, at: vec2<u32>, shift: u32, by_id: bool) {
{%- for j in range(15) %}
    var sum{{ j }} = 0.0;
{%- endfor %}
    for (var index = lane; index < search.count; index += WORKGROUP) {
        let here = candidate(search, index);
        if here.x < search.floor.x || (here.x == search.floor.x && here.y < search.floor.y) { continue; }
        let weight = select(exp(value(here.x) - search.top), 1.0, search.ranks);
{%- for j in range(15) %}
        {
            let place{{ j }} = {{ j + 1 }}u << shift;
            let above = select(here.x >= at.x + place{{ j }}, here.x > at.x || (here.x == at.x && here.y >= at.y + place{{ j }}), by_id);
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

// The highest place from which on there is at least `wanted`, by so many digits; 0: there is less in all.
fn find(lane: u32, search: Search, wanted: f32, digits: u32) -> vec2<u32> {
    var at = vec2<u32>(0u, 0u);
    for (var digit = 0u; digit < digits; digit += 1u) {
        let by_id = digit >= 8u;
        let shift = select(28u - 4u * digit, 52u - 4u * digit, by_id);
        add_up(lane, search, at, shift, by_id);
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
            enough = select(0u, 1u, search.ranks && place > 0u && sums[(max(place, 1u) - 1u) * WORKGROUP] == wanted);
        }
        at = workgroupUniformLoad(&found);
        if workgroupUniformLoad(&enough) == 1u { break; }
    }
    return at;
}

// Lists what lies at or above an order, always in the same order; returns how much that is, and lists nothing beyond CAPACITY.
fn list(lane: u32, row: u32, temperature: f32, bound: u32) -> u32 {
    var own = 0u;
    for (var round = 0u; round < 2u; round += 1u) {
        var at = row * CAPACITY;
        if round == 1u { at += counts[lane] - own; }
        for (var segment = lane; segment < SEGMENTS; segment += WORKGROUP) {
            if order(segments[row * SEGMENTS + segment].x) < bound { continue; }
            for (var id = segment * SEGMENT; id < min((segment + 1u) * SEGMENT, VOCABULARY); id += 1u) {
                let key = order(logits[row * STRIDE + id] / temperature);
                if key >= bound {
                    if round == 0u {
                        own += 1u;
                    } else {
                        listed[at] = vec2<u32>(key, IDS - id);
                        at += 1u;
                    }
                }
            }
        }
        if round == 0u {
            // Each begins behind those before it.
            counts[lane] = own;
            workgroupBarrier();
            for (var span = 1u; span < WORKGROUP; span *= 2u) {
                var before = 0u;
                if lane >= span { before = counts[lane - span]; }
                workgroupBarrier();
                counts[lane] += before;
                workgroupBarrier();
            }
            if workgroupUniformLoad(&counts[WORKGROUP - 1u]) > CAPACITY { break; }
        }
    }
    storageBarrier();
    return workgroupUniformLoad(&counts[WORKGROUP - 1u]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    let record = record_at(row);
    if !filters(record) { return; }
    let temperature = float_of(record, 5u);
    var best = -3.4e38;
    for (var i = lane; i < SEGMENTS; i += WORKGROUP) { best = max(best, segments[row * SEGMENTS + i].x); }
    sums[lane] = best;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half { sums[lane] = max(sums[lane], sums[lane + half]); }
        workgroupBarrier();
    }
    let top = workgroupUniformLoad(&sums[0]);
    var floor = vec2<u32>(0u, 0u);
    let ranks = by_rank(record);
    if ranks || by_mass(record) {
        let rank = f32(words[record + 6u]);
        // However little is wanted, the best is left.
        let share = max(float_of(record, 7u), 1e-20);
        var mass = 0.0;
        for (var i = lane; i < SEGMENTS; i += WORKGROUP) {
            let segment = segments[row * SEGMENTS + i];
            mass += segment.y * exp(segment.x - top);
        }
        let all = total(lane, mass);
        var search = Search(IN_SEGMENTS, row, SEGMENTS, temperature, top, ranks, floor);
        var bound = 0u;
        if VOCABULARY > CAPACITY {
            bound = find(lane, search, select(share * all, rank, ranks), 4u).x;
            if !ranks {
                // Tokens less likely than (1 - p) / n can't be among those of top-p, as all of them together weigh less than 1 - p.
                bound = max(bound, order(top + log((1.0 - share) / f32(VOCABULARY) * all) - 0.001));
            }
        }
        search.count = list(lane, row, temperature, bound);
        search.place = IN_LIST;
        if search.count > CAPACITY {
            search.count = VOCABULARY;
            search.place = IN_ROW;
            bound = 0u;
        }
        if ranks { floor = find(lane, search, rank, 14u); }
        if by_mass(record) {
            search.floor = floor;
            search.ranks = false;
            var left = all;
            if ranks {
                // The whole of what is left: all places are below every order.
                add_up(lane, search, vec2<u32>(0u, 0u), 0u, false);
                left = workgroupUniformLoad(&sums[0]);
            }
            floor = find(lane, search, share * left, 14u);
        }
        // Sums in another order may differ by what a sum lacks; below the bound there is nothing all the same.
        floor.x = max(floor.x, bound);
    }
    if lane == 0u {
        let min_p = float_of(record, 8u);
        if min_p > 0.0 {
            let lowest = order(top + log(min_p));
            if lowest > floor.x { floor = vec2<u32>(lowest, 0u); }
        }
        least[row] = floor;
    }
}
