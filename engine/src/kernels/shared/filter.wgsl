// What top-k, top-p and min-p ask of a row, and the stretches in which candidates are looked for.
const SEGMENT: u32 = 32u; // tokens of a stretch: `SEGMENT` of variant.rs
const SEGMENTS: u32 = (VOCABULARY + SEGMENT - 1u) / SEGMENT;

fn by_rank(record: u32) -> bool { return words[record + 6u] > 0u && words[record + 6u] < VOCABULARY; }
fn by_mass(record: u32) -> bool { return float_of(record, 7u) < 1.0; }

// Whether a row is sampled from less than its vocabulary.
fn filters(record: u32) -> bool {
    let any = by_rank(record) || by_mass(record) || float_of(record, 8u) > 0.0;
    return sampled_at_all(record) && float_of(record, 5u) > 0.0 && any;
}
