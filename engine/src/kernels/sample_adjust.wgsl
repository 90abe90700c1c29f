// logits[row, token] += bias, then penalties for tokens that the row's sequence has seen
//
// The CPU knows all tokens of a sequence but those of steps in flight. It lists what it knows, by token in rising order; the others
// are read where the sampler wrote them: they count for the entry of the same token, or are entries of their own.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/sample.wgsl" %}

@group(0) @binding(2) var<storage, read_write> logits: array<f32>;    // [outputs, STRIDE]
@group(0) @binding(3) var<storage, read> entries: array<u32>;         // three words each: token, bias, occurrences (top bit: seen)
@group(0) @binding(4) var<storage, read> sampled: array<u32>;         // two words each: token, and whether its logits were finite

fn adjust(output: u32, record: u32, token: u32, bias: f32, seen: bool, count: u32) {
    let at = output * STRIDE + token;
    var x = logits[at] + bias;
    if seen && penalized(record) {
        let repetition = float_of(record, 9u);
        if x > 0.0 { x = x / repetition; } else { x = x * repetition; }
        x -= f32(count) * float_of(record, 10u);
        if count > 0u { x -= float_of(record, 11u); }
    }
    logits[at] = x;
}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let record = record_at(group.x);
    if !sampled_at_all(record) { return; }
    let begin = words[record + 12u];
    let count = words[record + 13u];
    let pending_at = step.samples_at + words[record + 14u];
    let pending = words[record + 15u];
    for (var i = lane; i < count; i += {{ workgroup }}u) {
        let at = 3u * (begin + i);
        let token = entries[at];
        var occurrences = entries[at + 2u] & 0x7fffffffu;
        var seen = entries[at + 2u] >= 0x80000000u;
        for (var p = 0u; p < pending; p += 1u) {
            if sampled[2u * words[pending_at + p]] == token {
                seen = true;
                occurrences += 1u;
            }
        }
        adjust(group.x, record, token, bitcast<f32>(entries[at + 1u]), seen, occurrences);
    }
    if lane < pending {
        let token = sampled[2u * words[pending_at + lane]];
        var occurrences = 0u;
        var first = true;
        for (var p = 0u; p < pending; p += 1u) {
            if sampled[2u * words[pending_at + p]] == token {
                occurrences += 1u;
                if p < lane { first = false; }
            }
        }
        // The first entry that is not below the token.
        var low = 0u;
        var high = count;
        while low < high {
            let middle = (low + high) / 2u;
            if entries[3u * (begin + middle)] < token { low = middle + 1u; } else { high = middle; }
        }
        var listed = false;
        if low < count { listed = entries[3u * (begin + low)] == token; }
        if first && !listed { adjust(group.x, record, token, 0.0, true, occurrences); }
    }
}
