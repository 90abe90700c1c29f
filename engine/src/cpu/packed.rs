//! Weights as the products read them: tiles of sixteen rows, a lane a row.
//!
//! A *tile* is sixteen rows from one end to the other, its elements in the order in which they are multiplied. Quantized, it is
//! a run of blocks of 32 columns, codes, scales and minima of a block side by side, one stream from memory:
//!
//! | part | bytes | order |
//! | --- | --- | --- |
//! | 4-bit codes | 256 | `[4 pairs][16 rows][4]`: the low nibbles of pair p are columns 8p .. 8p + 4, the high ones the next four |
//! | 8-bit codes | 512 | `[8 fours][16 rows][4]` |
//! | f16 scales | 32 a group | `[groups of the block][16 rows]` |
//! | f16 minima | likewise | likewise, where the format has them |
//!
//! Dense, it is `[cols][16 rows]`. Rows that make the last tile whole are zeros. Rows are packed as the loader brings them, so
//! that there is one copy of a model, of the size of the canonical layout.

use crate::weights::{TensorLayout, WeightFormat, WeightRows};
use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};

/// Rows of a tile.
pub(crate) const TILE: usize = 16;
/// Columns of a block.
pub(crate) const BLOCK: usize = 32;

/// A cache line: what tiles are aligned to.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Line([u8; 64]);

/// A weight matrix in tiles.
pub(crate) struct PackedMatrix {
    layout: TensorLayout,
    lines: Vec<Line>,
    /// Of all scales and minima that were stored.
    finite: bool,
}

/// What a block of a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockParts {
    /// Bytes of codes.
    pub(crate) codes: usize,
    /// Groups: 1 or 2.
    pub(crate) groups: usize,
    /// Bytes of all.
    pub(crate) bytes: usize,
}

impl BlockParts {
    pub(crate) const fn new(bits: u32, group: u32, mins: bool) -> Self {
        let (codes, groups) = (TILE * BLOCK * bits as usize / 8, BLOCK / group as usize);
        Self { codes, groups, bytes: codes + groups * TILE * 2 * (1 + mins as usize) }
    }
}

impl PackedMatrix {
    /// Room for a matrix, zeroed; `None` when there is not that much memory.
    pub(crate) fn try_zeroed(layout: TensorLayout) -> Option<Self> {
        let bytes = tile_bytes(&layout).checked_mul((layout.rows as usize).div_ceil(TILE))?;
        let mut lines = Vec::new();
        lines.try_reserve_exact(bytes.div_ceil(64)).ok()?;
        lines.resize(bytes.div_ceil(64), Line::zeroed());
        Some(Self { layout, lines, finite: true })
    }

    pub(crate) fn layout(&self) -> &TensorLayout {
        &self.layout
    }

    pub(crate) fn tiles(&self) -> usize {
        (self.layout.rows as usize).div_ceil(TILE)
    }

    /// Are all scales and minima numbers?
    pub(crate) fn is_finite(&self) -> bool {
        self.finite
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.lines.len() as u64 * 64
    }

    pub(crate) fn tile(&self, tile: usize) -> &[u8] {
        let bytes = tile_bytes(&self.layout);
        &bytemuck::cast_slice(&self.lines)[tile * bytes..][..bytes]
    }

    /// Stores rows from `first_row` on.
    pub(crate) fn write_rows(&mut self, first_row: u32, rows: &WeightRows) {
        let layout = self.layout;
        let bytes = tile_bytes(&layout);
        let width = layout.packs() as usize * 4;
        self.finite &= rows.scales.iter().chain(&rows.mins).all(|half| half.is_finite());
        for (index, codes) in rows.codes.chunks_exact(width).enumerate() {
            let row = first_row as usize + index;
            let tile = &mut bytemuck::cast_slice_mut(&mut self.lines)[row / TILE * bytes..][..bytes];
            write_row(&layout, tile, row % TILE, codes, rows, index);
        }
    }

    /// Writes the elements of `row` to `out` f32 `[cols]`, by the arithmetic of [`WeightRows::dequantize`].
    pub(crate) fn dequantize(&self, row: u32, out: &mut [f32]) {
        let (tile, lane) = (self.tile(row as usize / TILE), row as usize % TILE);
        let half = |at: usize| u16::from_le_bytes([tile[at], tile[at + 1]]);
        match self.layout.format {
            WeightFormat::F32 => {
                for (x, bytes) in out.iter_mut().zip(tile[lane * 4..].chunks(TILE * 4)) {
                    *x = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                }
            }
            WeightFormat::F16 => {
                let elements = out.iter_mut().enumerate();
                elements.for_each(|(col, x)| *x = f16::from_bits(half((col * TILE + lane) * 2)).to_f32());
            }
            WeightFormat::Bf16 => {
                let elements = out.iter_mut().enumerate();
                elements.for_each(|(col, x)| *x = bf16::from_bits(half((col * TILE + lane) * 2)).to_f32());
            }
            WeightFormat::Quantized(q) => {
                let parts = BlockParts::new(q.bits, q.group, q.mins);
                for (col, x) in out.iter_mut().enumerate() {
                    let (block, within) = (col / BLOCK * parts.bytes, col % BLOCK);
                    let scales = block + parts.codes + within / q.group as usize * TILE * 2 + lane * 2;
                    let scale = f16::from_bits(half(scales)).to_f32();
                    let code = if q.bits == 4 {
                        let byte = tile[block + within / 8 * 64 + lane * 4 + within % 4];
                        f32::from(if within % 8 < 4 { byte & 15 } else { byte >> 4 })
                    } else {
                        f32::from(tile[block + within / 4 * 64 + lane * 4 + within % 4] as i8)
                    };
                    let offset = match (q.mins, q.bits) {
                        (true, _) => f16::from_bits(half(scales + parts.groups * TILE * 2)).to_f32(),
                        (false, 4) => -8.0 * scale,
                        (false, _) => 0.0,
                    };
                    *x = code * scale + offset;
                }
            }
        }
    }
}

fn tile_bytes(layout: &TensorLayout) -> usize {
    let cols = layout.cols as usize;
    match layout.format {
        WeightFormat::F32 => cols * TILE * 4,
        WeightFormat::F16 | WeightFormat::Bf16 => cols * TILE * 2,
        WeightFormat::Quantized(q) => cols.div_ceil(BLOCK) * BlockParts::new(q.bits, q.group, q.mins).bytes,
    }
}

/// Row `lane` of a tile, from row `index` of `rows`, whose codes are `codes`.
fn write_row(layout: &TensorLayout, tile: &mut [u8], lane: usize, codes: &[u32], rows: &WeightRows, index: usize) {
    let q = match layout.format {
        WeightFormat::F32 => {
            for (to, code) in tile.chunks_exact_mut(TILE * 4).zip(codes) {
                to[lane * 4..][..4].copy_from_slice(&code.to_le_bytes());
            }
            return;
        }
        WeightFormat::F16 | WeightFormat::Bf16 => {
            for (to, code) in tile.chunks_mut(TILE * 4).zip(codes) {
                to[lane * 2..][..2].copy_from_slice(&(*code as u16).to_le_bytes());
                // The last column of an odd number has no other beside it.
                if let Some(to) = to.get_mut(TILE * 2 + lane * 2..TILE * 2 + lane * 2 + 2) {
                    to.copy_from_slice(&((code >> 16) as u16).to_le_bytes());
                }
            }
            return;
        }
        WeightFormat::Quantized(q) => q,
    };
    let parts = BlockParts::new(q.bits, q.group, q.mins);
    let stride = layout.scale_stride() as usize;
    for (block, to) in tile.chunks_exact_mut(parts.bytes).enumerate() {
        let (to_codes, to_scales) = to.split_at_mut(parts.codes);
        if q.bits == 4 {
            // A word of the canonical layout is eight columns, the first in its lowest bits: a pair.
            for (pair, word) in codes[block * 4..][..4].iter().enumerate() {
                let nibble = |i: u32| (word >> (4 * i) & 15) as u8;
                for i in 0..4 {
                    to_codes[pair * 64 + lane * 4 + i as usize] = nibble(i) | nibble(i + 4) << 4;
                }
            }
        } else {
            for (four, word) in codes[block * 8..][..8].iter().enumerate() {
                to_codes[four * 64 + lane * 4..][..4].copy_from_slice(&word.to_le_bytes());
            }
        }
        for group in 0..parts.groups {
            let from = index * stride + block * parts.groups + group;
            let at = (group * TILE + lane) * 2;
            to_scales[at..][..2].copy_from_slice(&rows.scales[from].to_le_bytes());
            if q.mins {
                to_scales[at + parts.groups * TILE * 2..][..2].copy_from_slice(&rows.mins[from].to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sampling::random::philox;
    use crate::weights::Quantization;

    /// Every format.
    pub(crate) fn formats() -> Vec<WeightFormat> {
        let quantized = |bits, group, mins| WeightFormat::Quantized(Quantization { bits, group, mins });
        vec![
            WeightFormat::F32,
            WeightFormat::F16,
            WeightFormat::Bf16,
            quantized(4, 32, false),
            quantized(4, 32, true),
            quantized(8, 32, false),
            quantized(8, 32, true),
            quantized(8, 16, false),
            quantized(8, 16, true),
        ]
    }

    /// Rows of any format, the same for the same seed: codes of all values, elements about one.
    pub(crate) fn random_rows(layout: &TensorLayout, seed: u32) -> WeightRows {
        let mut rows = WeightRows::zeroed(layout, layout.rows);
        let mut counter = 0;
        let mut word = || {
            counter += 1;
            philox([counter, 0, 0, 0], [seed, 1])[0]
        };
        let unit = |word: u32| (word >> 8) as f32 / (1 << 23) as f32 - 1.0;
        let cols = layout.cols as usize;
        for row in rows.codes.chunks_exact_mut(layout.packs() as usize * 4) {
            for (index, code) in row.iter_mut().enumerate() {
                let mut pair = |to_bits: &dyn Fn(f32) -> u16| {
                    let (low, high) = (to_bits(unit(word())), to_bits(unit(word())));
                    let bits = [index * 2 < cols, index * 2 + 1 < cols];
                    (u32::from(low) * u32::from(bits[0])) | ((u32::from(high) * u32::from(bits[1])) << 16)
                };
                *code = match layout.format {
                    WeightFormat::F32 if index < cols => unit(word()).to_bits(),
                    WeightFormat::F32 => 0,
                    WeightFormat::F16 => pair(&|x| f16::from_f32(x).to_bits()),
                    WeightFormat::Bf16 => pair(&|x| bf16::from_f32(x).to_bits()),
                    WeightFormat::Quantized(_) => word(),
                };
            }
        }
        let size = layout.format.quantization().map_or(1.0, |q| if q.bits == 4 { 8.0 } else { 128.0 });
        rows.scales.iter_mut().for_each(|scale| *scale = f16::from_f32((1.5 + unit(word())) / size));
        rows.mins.iter_mut().for_each(|min| *min = f16::from_f32(unit(word())));
        rows
    }

    #[test]
    fn a_packed_row_has_the_elements_of_the_canonical_row_in_every_format() {
        for format in formats() {
            let cols = if format.quantization().is_some() { 96 } else { 37 };
            let layout = TensorLayout { rows: 19, cols, format };
            let rows = random_rows(&layout, 7);
            let mut packed = PackedMatrix::try_zeroed(layout).unwrap();
            packed.write_rows(0, &rows);
            let (mut expected, mut actual) = (vec![0.0; cols as usize], vec![0.0; cols as usize]);
            for row in 0..layout.rows {
                rows.dequantize(&layout, row, &mut expected);
                packed.dequantize(row, &mut actual);
                assert_eq!(actual, expected, "row {row} of {format:?}");
            }
            assert!(packed.bytes() <= layout.bytes() * 32 / 19 + 64, "{format:?}: no more than two tiles of rows");
        }
    }

    #[test]
    fn a_matrix_knows_of_scales_and_minima_that_are_not_numbers() {
        let format = WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: true });
        let layout = TensorLayout { rows: 3, cols: 64, format };
        for broken in [f16::INFINITY, f16::NEG_INFINITY, f16::NAN] {
            let rows = random_rows(&layout, 1);
            let mut packed = PackedMatrix::try_zeroed(layout).unwrap();
            packed.write_rows(0, &rows);
            assert!(packed.is_finite());
            let (mut scale, mut min) = (rows.clone(), rows.clone());
            scale.scales[5] = broken;
            min.mins[0] = broken;
            for broken in [scale, min] {
                let mut packed = PackedMatrix::try_zeroed(layout).unwrap();
                packed.write_rows(0, &broken);
                packed.write_rows(0, &rows);
                assert!(!packed.is_finite(), "once broken it counts as broken");
            }
        }
    }
}
