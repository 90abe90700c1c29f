// The step's words, by name.
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> words: array<u32>;

// Of a row: its token, or with the top bit set the place of a sampled one; its position; the slot that its key and value go to; its
// row of the block tables.
fn row_token(row: u32) -> u32 { return words[4u * row]; }
fn row_position(row: u32) -> u32 { return words[4u * row + 1u]; }
fn row_slot(row: u32) -> u32 { return words[4u * row + 2u]; }
fn row_chunk(row: u32) -> u32 { return words[4u * row + 3u]; }

// The block that holds the keys of a table's positions from index * block size on.
fn table_block(chunk: u32, index: u32) -> u32 {
    return words[step.tables_at + chunk * step.table_stride + index];
}

// The row of an output of this segment.
fn output_row(output: u32) -> u32 {
    return words[step.outputs_at + step.output_base + output];
}
