//! Keys and values of one layer, in the order in which attention reads them.
//!
//! A block has sixteen slots, a vector's lanes. Keys lie `[kv head][block][element][slot]`: the scores of sixteen keys are one
//! sum over elements, no sum across lanes. Values lie `[kv head][block][slot][element]`: sixteen elements are summed over
//! slots. Elements of a value are filled up to whole vectors. f32: halves would need a conversion for every load, which in
//! WebAssembly is eight instructions where a multiplication is one.

use super::simd::LANES;
use super::threads::Threads;
use super::tiles::TileRows;
use crate::graph::RowData;
use crate::model::ModelConfig;

/// Slots of a block.
pub(crate) const SLOTS: usize = LANES;

/// Keys and values of one layer.
pub(crate) struct KvCache {
    keys: Vec<f32>,
    values: Vec<f32>,
    blocks: usize,
    head_dim: usize,
}

impl KvCache {
    /// Of so many blocks; `None` when there is not that much memory.
    pub(crate) fn new(config: &ModelConfig, blocks: u32) -> Option<Self> {
        // Asked for first, as `vec!` would end the process; and then by `vec!`, whose zeros take no memory until they are written.
        fn zeroed(count: usize) -> Option<Vec<f32>> {
            Vec::<f32>::new().try_reserve_exact(count).ok()?;
            Some(vec![0.0; count])
        }
        let (blocks, head_dim) = (blocks as usize, config.head_dim as usize);
        let all = blocks * SLOTS * config.kv_heads as usize;
        let values = zeroed(all * head_dim.next_multiple_of(LANES))?;
        Some(Self { keys: zeroed(all * head_dim)?, values, blocks, head_dim })
    }

    pub(crate) fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Elements of a value, filled up.
    pub(crate) fn value_width(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    /// `[head_dim][slots]`
    #[inline(always)]
    pub(crate) fn key_block(&self, kv_head: usize, block: usize) -> &[f32] {
        let size = self.head_dim * SLOTS;
        &self.keys[(kv_head * self.blocks + block) * size..][..size]
    }

    /// `[slots][value_width]`
    #[inline(always)]
    pub(crate) fn value_block(&self, kv_head: usize, block: usize) -> &[f32] {
        let size = self.value_width() * SLOTS;
        &self.values[(kv_head * self.blocks + block) * size..][..size]
    }

    /// Writes rows: keys rotated. `rotations` is `[rows, rotated / 2]`.
    pub(crate) fn write(
        &mut self,
        config: &ModelConfig,
        threads: &Threads,
        rows: &[RowData],
        rotations: &[[f32; 2]],
        (keys, values): (TileRows<'_>, TileRows<'_>),
    ) {
        let head_dim = self.head_dim;
        let (key_size, value_width) = (head_dim * SLOTS, self.value_width());
        let pairs = config.rope.dims as usize / 2;
        // A few rows aren't worth sharing out.
        let heads = if rows.len() < 16 { config.kv_heads as usize } else { 1 };
        let per_head = self.blocks * key_size;
        threads.units_mut(&mut self.keys, per_head * heads, &|piece, out| {
            let mut key = vec![0.0; head_dim];
            for (head, out) in out.chunks_exact_mut(per_head).enumerate() {
                for (index, row) in rows.iter().enumerate() {
                    columns(keys, index, (piece * heads + head) * head_dim, &mut key);
                    rotate(&mut key, &rotations[index * pairs..][..pairs], config.rope.interleaved);
                    let (block, slot) = (row.slot as usize / SLOTS, row.slot as usize % SLOTS);
                    for (out, x) in out[block * key_size..][..key_size].chunks_exact_mut(SLOTS).zip(&key) {
                        out[slot] = *x;
                    }
                }
            }
        });
        let per_head = self.blocks * SLOTS * value_width;
        threads.units_mut(&mut self.values, per_head * heads, &|piece, out| {
            for (head, out) in out.chunks_exact_mut(per_head).enumerate() {
                for (index, row) in rows.iter().enumerate() {
                    let out = &mut out[row.slot as usize * value_width..][..head_dim];
                    columns(values, index, (piece * heads + head) * head_dim, out);
                }
            }
        });
    }
}

/// Columns from `first` on of a row in tiles.
#[inline(always)]
pub(crate) fn columns(tiles: TileRows<'_>, row: usize, first: usize, out: &mut [f32]) {
    if first.is_multiple_of(LANES) {
        for (tile, out) in out.chunks_mut(LANES).enumerate() {
            out.copy_from_slice(&tiles.at(row, first / LANES + tile)[..out.len()]);
        }
    } else {
        for (col, out) in (first..).zip(out) {
            *out = tiles.at(row, col / LANES)[col % LANES];
        }
    }
}

/// Rotates a head by the arithmetic of the twin.
#[inline(always)]
pub(crate) fn rotate(head: &mut [f32], rotations: &[[f32; 2]], interleaved: bool) {
    if interleaved {
        for (pair, [cos, sin]) in head.as_chunks_mut::<2>().0.iter_mut().zip(rotations) {
            *pair = [pair[0] * cos - pair[1] * sin, pair[1] * cos + pair[0] * sin];
        }
    } else {
        let (first, second) = head.split_at_mut(rotations.len());
        for ((a, b), [cos, sin]) in first.iter_mut().zip(second).zip(rotations) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}
