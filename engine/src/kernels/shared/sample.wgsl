// How an output row is sampled: its record among the step's words. Mirrors `kernels::sample`.
const VOCABULARY: u32 = {{ vocabulary }}u;
const STRIDE: u32 = {{ stride }}u; // of a row of logits

// Where the record of an output of this segment begins.
fn record_at(output: u32) -> u32 { return step.samples_at + 16u * (step.output_base + output); }
fn sampled_at_all(record: u32) -> bool { return (words[record] & 1u) != 0u; }
fn penalized(record: u32) -> bool { return (words[record] & 2u) != 0u; }
fn place(record: u32) -> u32 { return words[record + 1u]; }
fn float_of(record: u32, index: u32) -> f32 { return bitcast<f32>(words[record + index]); }

// A float's bits in an order of u32 that is the order of floats.
fn order(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    return select(~bits, bits | 0x80000000u, bits < 0x80000000u);
}
