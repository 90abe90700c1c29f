// The best token of each part of a row of logits: the largest logit, or the largest logit / temperature + noise
//
// The noise of a token is a function of (seed, position, token) (Gumbel-max over Philox4x32-10, `sampling::random`), so parts can be
// scanned in any order. CHUNKS workgroups share a row, in quads of tokens: one call of the generator serves four.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/sample.wgsl" %}

@group(0) @binding(2) var<storage, read> logits: array<vec4<u32>>;        // f32 [outputs, STRIDE]
@group(0) @binding(3) var<storage, read> least: array<vec2<u32>>;         // [outputs], see `sample_filter`
@group(0) @binding(4) var<storage, read_write> best: array<vec4<u32>>;    // [outputs, CHUNKS]: value, token, whether all are finite

const WORKGROUP: u32 = {{ workgroup }}u;
const CHUNKS: u32 = {{ chunks }}u;
const QUADS: u32 = (VOCABULARY + 3u) / 4u;
var<workgroup> values: array<f32, WORKGROUP>;
var<workgroup> tokens: array<u32, WORKGROUP>;
var<workgroup> finite: array<u32, WORKGROUP>;

// The high word of a product.
fn high(a: u32, b: u32) -> u32 {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
    return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u);
}

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round += 1u) {
        let a = vec2<u32>(c.x * 0xd2511f53u, high(c.x, 0xd2511f53u));
        let b = vec2<u32>(c.z * 0xcd9e8d57u, high(c.z, 0xcd9e8d57u));
        c = vec4<u32>(b.y ^ c.y ^ k.x, b.x, a.y ^ c.w ^ k.y, a.x);
        k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

// Whether the second is better: larger, or equal and lower.
fn better(value: f32, token: u32, other: f32, other_token: u32) -> bool {
    return other > value || (other == value && other_token < token);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let record = record_at(group.y);
    if !sampled_at_all(record) { return; }
    let temperature = float_of(record, 5u);
    let top_k = words[record + 6u];
    let filtered = (top_k > 0u && top_k < VOCABULARY) || float_of(record, 7u) < 1.0 || float_of(record, 8u) > 0.0;
    var floor = vec2<u32>(0u, 0u);
    if filtered && temperature > 0.0 { floor = least[group.y]; }
    let seed = vec2<u32>(words[record + 3u], words[record + 4u]);
    let position = words[record + 2u];
    var value = -3.4e38;
    var token = 0xffffffffu;
    var all_finite = 1u;
    for (var quad = group.x * WORKGROUP + lane; quad < QUADS; quad += CHUNKS * WORKGROUP) {
        let bits = logits[group.y * (STRIDE / 4u) + quad];
        let x = bitcast<vec4<f32>>(bits);
        var keep = vec4<bool>(true, true, true, true);
        var y = x;
        if temperature > 0.0 {
            y = x / temperature;
            for (var i = 0u; i < 4u; i += 1u) {
                let key = order(y[i]);
                keep[i] = key > floor.x || (key == floor.x && 0xffffffu - (4u * quad + i) >= floor.y);
            }
            if any(keep) {
                let random = philox(vec4<u32>(position, quad, 0u, 0u), seed);
                let u = (vec4<f32>(random >> vec4<u32>(9u)) + vec4<f32>(0.5)) / 8388608.0;
                y += -log(-log(u));
            }
        }
        for (var i = 0u; i < 4u; i += 1u) {
            let id = 4u * quad + i;
            if id < VOCABULARY {
                if (bits[i] & 0x7f800000u) == 0x7f800000u { all_finite = 0u; }
                if keep[i] && better(value, token, y[i], id) {
                    value = y[i];
                    token = id;
                }
            }
        }
    }
    values[lane] = value;
    tokens[lane] = token;
    finite[lane] = all_finite;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half {
            if better(values[lane], tokens[lane], values[lane + half], tokens[lane + half]) {
                values[lane] = values[lane + half];
                tokens[lane] = tokens[lane + half];
            }
            finite[lane] &= finite[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u { best[group.y * CHUNKS + group.x] = vec4<u32>(bitcast<u32>(values[0]), tokens[0], finite[0], 0u); }
}
