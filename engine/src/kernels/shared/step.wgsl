// What varies from step to step; written once per step. Mirrors `graph::step::StepHeader`.
struct Step {
    rows: u32,         // rows of this step
    table_stride: u32, // blocks per row of the block tables
    output_base: u32,  // first of the output rows that this pass of the head computes
    outputs: u32,      // how many of them
}

// One row of a step. Mirrors `graph::step::RowData`.
struct Row {
    token: u32,
    position: u32,
    slot: u32,  // where its key and value go
    chunk: u32, // row of the block tables
}
