//! Activations in tiles: what a product writes.
//!
//! `[tiles][rows][16]`: sixteen outputs of all rows, then the next sixteen. A tile of weights gives such a piece whole, so that
//! outputs can be shared out to threads as disjoint slices, and every vector of sixteen is one cache line.

use super::simd::LANES;
use bytemuck::{Pod, Zeroable};

/// Sixteen activations.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub(crate) struct Vector(pub(crate) [f32; LANES]);

/// Rows in tiles.
#[derive(Clone, Copy)]
pub(crate) struct TileRows<'a> {
    /// `[tiles, rows]`
    pub(crate) vectors: &'a [Vector],
    pub(crate) rows: usize,
}

impl<'a> TileRows<'a> {
    #[inline(always)]
    pub(crate) fn at(&self, row: usize, tile: usize) -> &'a [f32; LANES] {
        &self.vectors[tile * self.rows + row].0
    }

    /// Tiles from `first` on.
    pub(crate) fn skip(self, first: usize) -> Self {
        Self { vectors: &self.vectors[first * self.rows..], ..self }
    }
}

/// How many tiles hold so many columns.
pub(crate) fn tiles(cols: u32) -> usize {
    (cols as usize).div_ceil(LANES)
}
