//! Rows of a file's format to rows of the canonical layout.
//!
//! The block formats are those of ggml (`ggml-common.h`, `ggml-quants.c`); each function's comment gives its block. Codes
//! are kept as they are, only reordered; scales that a format stores as a product are multiplied out and rounded to f16.

use super::{TensorLayout, WeightRows};
use half::f16;
use tilewright_formats::DType;

/// Bytes that one row takes in a file. `None` when the row is not a whole number of blocks.
pub fn file_bytes_per_row(dtype: DType, cols: u32) -> Option<u64> {
    let block = dtype.block_len();
    u64::from(cols).is_multiple_of(block).then(|| u64::from(cols) / block * dtype.block_bytes())
}

/// Converts whole rows. `bytes` is a multiple of [`file_bytes_per_row`], and `layout.format` is [`WeightFormat::of`](super::WeightFormat::of) `dtype`.
pub fn convert_rows(dtype: DType, layout: &TensorLayout, bytes: &[u8]) -> WeightRows {
    let row_bytes = file_bytes_per_row(dtype, layout.cols).expect("the loader checks the shape") as usize;
    let rows = bytes.len() / row_bytes;
    let mut out = WeightRows::zeroed(layout, rows as u32);
    let code_words = layout.packs() as usize * 4;
    let stride = layout.scale_stride() as usize;
    for (row, bytes) in bytes.chunks_exact(row_bytes).enumerate() {
        let mut target = RowTarget {
            codes: &mut out.codes[row * code_words..][..code_words],
            scales: &mut out.scales[row * stride..][..stride],
            mins: if layout.mins() { &mut out.mins[row * stride..][..stride] } else { &mut [] },
        };
        let blocks = bytes.chunks_exact(dtype.block_bytes() as usize).enumerate();
        match dtype {
            DType::F32 => bytes.chunks_exact(4).zip(target.codes).for_each(|(bytes, code)| *code = word(bytes)),
            DType::F16 | DType::Bf16 => bytes.chunks(4).zip(target.codes).for_each(|(bytes, code)| *code = word(bytes)),
            DType::Q4_0 => blocks.for_each(|(i, block)| q4_0(block, i, &mut target)),
            DType::Q4_1 => blocks.for_each(|(i, block)| q4_1(block, i, &mut target)),
            DType::Q5_0 => blocks.for_each(|(i, block)| q5_0(block, i, &mut target)),
            DType::Q5_1 => blocks.for_each(|(i, block)| q5_1(block, i, &mut target)),
            DType::Q8_0 => blocks.for_each(|(i, block)| q8_0(block, i, &mut target)),
            DType::Q4K => blocks.for_each(|(i, block)| q4_k(block, i, &mut target)),
            DType::Q5K => blocks.for_each(|(i, block)| q5_k(block, i, &mut target)),
            DType::Q6K => blocks.for_each(|(i, block)| q6_k(block, i, &mut target)),
        }
    }
    out
}

/// One row of the canonical layout.
struct RowTarget<'a> {
    codes: &'a mut [u32],
    scales: &'a mut [f16],
    mins: &'a mut [f16],
}

impl RowTarget<'_> {
    /// 32 codes of 4 bits, as group `group`.
    fn nibbles(&mut self, group: usize, code: impl Fn(usize) -> u8) {
        for (word, out) in self.codes[group * 4..][..4].iter_mut().enumerate() {
            *out = (0..8).fold(0, |bits, i| bits | u32::from(code(word * 8 + i)) << (4 * i));
        }
    }

    /// `count` codes of 8 bits from element `first`.
    fn bytes(&mut self, first: usize, count: usize, code: impl Fn(usize) -> i8) {
        for (word, out) in self.codes[first / 4..][..count / 4].iter_mut().enumerate() {
            *out = u32::from_le_bytes(std::array::from_fn(|i| code(word * 4 + i) as u8));
        }
    }
}

/// Up to four bytes, little endian.
fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

fn half_at(block: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([block[at], block[at + 1]])
}

/// Code `i` of 32 whose low nibbles come first: 16 bytes, byte `j` holds elements `j` and `j + 16`.
fn split_nibble(bytes: &[u8], i: usize) -> u8 {
    if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 }
}

/// `{ f16 d; u8 qs[16] }`, x = d * (q - 8)
fn q4_0(block: &[u8], group: usize, row: &mut RowTarget<'_>) {
    row.scales[group] = half_at(block, 0);
    row.nibbles(group, |i| split_nibble(&block[2..], i));
}

/// `{ f16 d; f16 m; u8 qs[16] }`, x = d * q + m
fn q4_1(block: &[u8], group: usize, row: &mut RowTarget<'_>) {
    row.scales[group] = half_at(block, 0);
    row.mins[group] = half_at(block, 2);
    row.nibbles(group, |i| split_nibble(&block[4..], i));
}

/// Bit `i` of `high`, as bit 4 of a code.
fn fifth_bit(high: u32, i: usize) -> u8 {
    ((high >> i & 1) << 4) as u8
}

/// `{ f16 d; u32 qh; u8 qs[16] }`, x = d * (q - 16), bit 4 of code `i` is bit `i` of `qh`
fn q5_0(block: &[u8], group: usize, row: &mut RowTarget<'_>) {
    row.scales[group] = half_at(block, 0);
    let high = word(&block[2..6]);
    row.bytes(group * 32, 32, |i| (split_nibble(&block[6..], i) | fifth_bit(high, i)) as i8 - 16);
}

/// `{ f16 d; f16 m; u32 qh; u8 qs[16] }`, x = d * q + m
fn q5_1(block: &[u8], group: usize, row: &mut RowTarget<'_>) {
    row.scales[group] = half_at(block, 0);
    row.mins[group] = half_at(block, 2);
    let high = word(&block[4..8]);
    row.bytes(group * 32, 32, |i| (split_nibble(&block[8..], i) | fifth_bit(high, i)) as i8);
}

/// `{ f16 d; i8 qs[32] }`, x = d * q
fn q8_0(block: &[u8], group: usize, row: &mut RowTarget<'_>) {
    row.scales[group] = half_at(block, 0);
    row.bytes(group * 32, 32, |i| block[2 + i] as i8);
}

/// Scale and minimum `i` of 8, 6 bits each, of the 12 bytes that `Q4_K` and `Q5_K` pack them into.
fn k_scale_min(packed: &[u8], i: usize) -> (u8, u8) {
    if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4)
    }
}

/// Writes scale and minimum of the eight groups of a `Q4_K` or `Q5_K` super-block: x = d * scale * q - dmin * min
fn k_groups(block: &[u8], index: usize, row: &mut RowTarget<'_>) {
    let (d, dmin) = (half_at(block, 0).to_f32(), half_at(block, 2).to_f32());
    for i in 0..8 {
        let (scale, min) = k_scale_min(&block[4..16], i);
        row.scales[index * 8 + i] = f16::from_f32(d * f32::from(scale));
        row.mins[index * 8 + i] = f16::from_f32(-dmin * f32::from(min));
    }
}

/// Nibble of element `i` of 256: 32 bytes hold elements `64j .. 64j + 32` in their low and the next 32 in their high nibbles.
fn k_nibble(bytes: &[u8], i: usize) -> u8 {
    let byte = bytes[i / 64 * 32 + i % 32];
    if i % 64 < 32 { byte & 15 } else { byte >> 4 }
}

/// `{ f16 d; f16 dmin; u8 scales[12]; u8 qs[128] }`
fn q4_k(block: &[u8], index: usize, row: &mut RowTarget<'_>) {
    k_groups(block, index, row);
    for group in 0..8 {
        row.nibbles(index * 8 + group, |i| k_nibble(&block[16..], group * 32 + i));
    }
}

/// `{ f16 d; f16 dmin; u8 scales[12]; u8 qh[32]; u8 qs[128] }`, bit 4 of element `i` is bit `i / 32` of `qh[i % 32]`
fn q5_k(block: &[u8], index: usize, row: &mut RowTarget<'_>) {
    k_groups(block, index, row);
    let high = &block[16..48];
    row.bytes(index * 256, 256, |i| (k_nibble(&block[48..], i) | ((high[i % 32] >> (i / 32) & 1) << 4)) as i8);
}

/// `{ u8 ql[128]; u8 qh[64]; i8 scales[16]; f16 d }`, x = d * scale * (q - 32), groups of 16
fn q6_k(block: &[u8], index: usize, row: &mut RowTarget<'_>) {
    let (low, high) = (&block[..128], &block[128..192]);
    let d = half_at(block, 208).to_f32();
    for (i, &scale) in block[192..208].iter().enumerate() {
        row.scales[index * 16 + i] = f16::from_f32(d * f32::from(scale as i8));
    }
    // Each half of 128 elements: 64 bytes of low nibbles, 32 of high bit pairs; element 32j + l of a half takes low byte
    // 32 (j % 2) + l, its nibble j / 2, and bit pair j of high byte l.
    row.bytes(index * 256, 256, |i| {
        let (half, j, l) = (i / 128, i % 128 / 32, i % 32);
        let nibble = low[half * 64 + j % 2 * 32 + l] >> (j / 2 * 4) & 15;
        let pair = high[half * 32 + l] >> (2 * j) & 3;
        (nibble | pair << 4) as i8 - 32
    });
}
