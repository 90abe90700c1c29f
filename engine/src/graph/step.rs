//! What changes from step to step, flattened for the kernels.

use crate::model::rope::rotations;
use bytemuck::{Pod, Zeroable};
use tilewright_plan::{Chunk, ChunkOutput};

/// The uniform that every kernel reads. Mirrors `kernels/shared/step.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct StepHeader {
    /// Rows of the step.
    pub rows: u32,
    /// Blocks per row of the block tables.
    pub table_stride: u32,
    /// First of the output rows that this pass of the head computes.
    pub output_base: u32,
    /// How many of them.
    pub outputs: u32,
}

/// One row. Mirrors `kernels/shared/step.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RowData {
    /// Its token.
    pub token: u32,
    /// Its position.
    pub position: u32,
    /// The slot that its key and value go to.
    pub slot: u32,
    /// Its row of the block tables.
    pub chunk: u32,
}

/// A step, flattened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepData {
    /// `[rows]`
    pub rows: Vec<RowData>,
    /// `[chunks, table_stride]`
    pub block_tables: Vec<u32>,
    /// Blocks per row of `block_tables`.
    pub table_stride: u32,
    /// cos and sin, `[rows, rotated / 2]`
    pub rotations: Vec<[f32; 2]>,
    /// The rows whose logits are asked for, in the plan's order.
    pub output_rows: Vec<u32>,
}

impl StepData {
    /// Flattens checked chunks. `tokens` has one id per row, `frequencies` is [`Rope::frequencies`](crate::model::Rope::frequencies).
    pub fn new(chunks: &[Chunk], tokens: &[u32], block_size: u32, frequencies: &[f64]) -> Self {
        let needed = |chunk: &Chunk| (chunk.start as usize + chunk.tokens.len()).div_ceil(block_size as usize);
        let stride = chunks.iter().map(needed).max().unwrap_or(0);
        let mut step = Self { table_stride: stride as u32, ..Self::default() };
        for (index, chunk) in chunks.iter().enumerate() {
            let blocks = chunk.block_table.iter().map(|block| block.0);
            step.block_tables.extend(blocks.chain(std::iter::repeat(0)).take(stride));
            for i in 0..chunk.tokens.len() as u32 {
                let position = chunk.start + i;
                let row = step.rows.len() as u32;
                let block = chunk.block_table[(position / block_size) as usize].0;
                step.rows.push(RowData {
                    token: tokens[row as usize],
                    position,
                    slot: block * block_size + position % block_size,
                    chunk: index as u32,
                });
                step.rotations.extend(rotations(frequencies, position));
                let last = i + 1 == chunk.tokens.len() as u32;
                if match chunk.output {
                    ChunkOutput::None => false,
                    ChunkOutput::Sample | ChunkOutput::LastLogits => last,
                    ChunkOutput::AllLogits => true,
                } {
                    step.output_rows.push(row);
                }
            }
        }
        step
    }
}
