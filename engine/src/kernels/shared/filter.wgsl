// What the three kernels of the filter share: a row's parameters, bins of its logits, and sums of 64 bits.
//
// A bin is an eighth of a logit over temperature. Bins are aligned at multiples of it, not at a row's maximum, so that
// workgroups may count before anybody knows that: histograms are brought together by shifting them. Masses are integers, 2^31 for
// the most likely token, as sums of integers are the same in any order.
const GROUPS: u32 = {{ groups }}u;  // workgroups that share a row
const BINS: u32 = 256u;             // the last one is of everything further below, and is not counted
const LISTED: u32 = 1024u;          // candidates that a row's list has room for
const STATE: u32 = 8u;              // words of a row's state: candidates, maximum, boundary bin, bin of the maximum, mass wanted of it
const QUADS: u32 = (VOCABULARY + 3u) / 4u;

struct Filter {
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    by_rank: bool,
    filtered: bool,
}

fn filter_at(record: u32) -> Filter {
    let temperature = float_of(record, 5u);
    let top_k = words[record + 6u];
    let top_p = float_of(record, 7u);
    let min_p = float_of(record, 8u);
    let by_rank = top_k > 0u && top_k < VOCABULARY;
    let filtered = sampled_at_all(record) && temperature > 0.0 && (by_rank || top_p < 1.0 || min_p > 0.0);
    return Filter(temperature, top_k, top_p, min_p, by_rank, filtered);
}

// Which eighth a number lies in.
fn eighth(y: f32) -> i32 { return i32(floor(clamp(y * 8.0, -1e9, 1e9))); }
// Its bin where `first` is the eighth of the maximum.
fn bin_of(y: f32, first: i32) -> u32 { return u32(clamp(first - eighth(y), 0, i32(BINS) - 1)); }

// A token's part of the mass.
fn mass(y: f32, top: f32) -> u32 { return u32(clamp(exp(y - top), 0.0, 1.0) * 2147483648.0 + 0.5); }

// Numbers of 64 bits, low word first.
fn plus(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}
fn minus(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}
fn less(a: vec2<u32>, b: vec2<u32>) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }
