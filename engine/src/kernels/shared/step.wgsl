// What varies from step to step: a small uniform, and words that it points into. Written once per step.
// Mirrors `graph::step::StepHeader` and `graph::words`.
struct Step {
    rows: u32,         // rows of this step
    table_stride: u32, // blocks per row of the block tables
    output_base: u32,  // first of the output rows that this pass of the head computes
    outputs: u32,      // how many of them
    // Where each kind of data begins, in words. Rows, four words each (token, position, slot, chunk), begin at 0.
    rotations_at: u32, // cos and sin, [rows, rotated / 2]
    tables_at: u32,    // block tables, [chunks, table_stride]
    outputs_at: u32,   // the rows whose logits are asked for
    tiles_at: u32,     // first row and number of rows of each attention tile
    samples_at: u32,   // how each output row is sampled, 16 words each
    splits: u32,       // parts that the keys of a row are split into
    split_keys: u32,   // keys of such a part
    unused: u32,
}
