//! What changes from step to step, flattened for the kernels.

use crate::model::rope::rotations;
use bytemuck::{Pod, Zeroable};
use tilewright_plan::{Chunk, ChunkOutput};

/// The uniform that every kernel reads. Mirrors `kernels/shared/step.wgsl`, which says what each is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct StepHeader {
    pub rows: u32,
    pub table_stride: u32,
    pub output_base: u32,
    pub outputs: u32,
    pub rotations_at: u32,
    pub tables_at: u32,
    pub outputs_at: u32,
    pub tiles_at: u32,
    pub samples_at: u32,
    pub splits: u32,
    pub split_keys: u32,
    pub unused: u32,
}

/// One row. Mirrors `kernels/shared/step.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RowData {
    /// Its token; with [`SAMPLED`] set, where an earlier step's sampler wrote it.
    pub token: u32,
    /// Its position.
    pub position: u32,
    /// The slot that its key and value go to.
    pub slot: u32,
    /// Its row of the block tables.
    pub chunk: u32,
}

/// Marks a token that is the place of a sampled one.
pub const SAMPLED: u32 = 1 << 31;

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

/// How the keys of a row are split for [`attention_split`](crate::kernels::KernelVariant::AttentionSplit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySplit {
    /// Keys of a tile: what a part's size is a multiple of.
    pub tile: u32,
    /// Most parts, over all rows of a step.
    pub most_parts: u32,
    /// Most parts of a row.
    pub most_of_row: u32,
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

    /// Runs of at most `queries` consecutive rows of one chunk: first row and number of rows.
    pub fn tiles(&self, queries: u32) -> Vec<[u32; 2]> {
        let mut tiles: Vec<[u32; 2]> = Vec::new();
        for (index, row) in (0_u32..).zip(&self.rows) {
            match tiles.last_mut() {
                Some([first, count]) if *count < queries && self.rows[*first as usize].chunk == row.chunk => {
                    *count += 1;
                }
                _ => tiles.push([index, 1]),
            }
        }
        tiles
    }

    /// Packs everything into the words that kernels read, behind `room` words; returns the header.
    ///
    /// Parts of the keys are as small as a tile while there are enough of them to go round: more parts keep more of a GPU busy.
    pub fn pack(
        &self,
        tiles: &[[u32; 2]],
        samples: &[u32],
        split: KeySplit,
        room: usize,
        words: &mut Vec<u32>,
    ) -> StepHeader {
        fn push<T: Pod>(words: &mut Vec<u32>, room: usize, data: &[T]) -> u32 {
            let at = (words.len() - room) as u32;
            words.extend_from_slice(bytemuck::cast_slice(data));
            at
        }
        words.clear();
        words.resize(room, 0);
        push(words, room, &self.rows);
        let keys = self.rows.iter().map(|row| row.position + 1).max().unwrap_or(1);
        let parts = (split.most_parts / self.rows.len().max(1) as u32).min(split.most_of_row).max(1);
        let split_keys = keys.div_ceil(parts).next_multiple_of(split.tile);
        let mut header = StepHeader {
            rows: self.rows.len() as u32,
            table_stride: self.table_stride,
            outputs: self.output_rows.len() as u32,
            rotations_at: push(words, room, &self.rotations),
            tables_at: push(words, room, &self.block_tables),
            outputs_at: push(words, room, &self.output_rows),
            tiles_at: push(words, room, tiles),
            splits: keys.div_ceil(split_keys),
            split_keys,
            ..StepHeader::default()
        };
        // Samples name each other by offsets from their beginning.
        header.samples_at = push(words, room, samples);
        header
    }
}
