//! Activations as 8-bit integers: `codes[row, k] = round(x[row, k] / scale[row, k / 32])`.
//!
//! A block of 32 elements is a record of twelve words: eight of codes, its scale, and the sums of what the codes of either half stand
//! for. What a record stands for is again a vector of floats, so the twin of a product of integers is that of floats,
//! [`matmul`](super::matmul), on [`values`]. Where there are matrix units, the same activations are left as [`halves`] too.

use bytemuck::cast_slice;
use half::f16;

/// Elements that share a scale.
pub const BLOCK: usize = 32;

/// Words of a block.
pub const RECORD_WORDS: usize = 12;

/// Where in its eight the n-th code of eight comes from: even elements first with `order` 4, as they lie with 8.
fn element(order: u32, n: usize) -> usize {
    if order == 4 { 2 * (n % 4) + n / 4 } else { n }
}

/// The records of a row, a whole number of blocks.
///
/// A block's scale is its largest magnitude / 127. A block with an element that is not finite is not a number anywhere.
pub fn quantize(x: &[f32], order: u32) -> Vec<u32> {
    let mut records = Vec::with_capacity(x.len() / BLOCK * RECORD_WORDS);
    for block in x.chunks(BLOCK) {
        let largest = block.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().map_or(0.0, f32::from_bits);
        let inverse = if largest.is_finite() && largest > 1e-30 { 127.0 / largest } else { 0.0 };
        let scale = if largest.is_finite() { largest / 127.0 } else { largest };
        let codes: Vec<i8> = block.iter().map(|x| (x * inverse).round_ties_even() as i8).collect();
        let ordered: Vec<u8> =
            (0..BLOCK).map(|at| codes[at / 8 * 8 + element(order, at % 8)].cast_unsigned()).collect();
        records
            .extend(ordered.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
        let sum = |half: &[i8]| scale * half.iter().map(|&code| f32::from(code)).sum::<f32>();
        let (low, high) = codes.split_at(codes.len().min(BLOCK / 2));
        records.extend([scale, sum(low), sum(high), 0.0].map(f32::to_bits));
    }
    records
}

/// Words of a block as f16.
pub const HALVES_WORDS: usize = 16;

/// Whole blocks of a row as f16, for matrix units: a sixteenth of each, so that they may be as large as a million. A word has the
/// elements beside each other that a word of weights of so many bits has when it comes apart: 0 4, 1 5, 2 6, 3 7 of each eight
/// with `order` 4, and 0 2, 4 6, 1 3, 5 7 with 8.
pub fn halves(x: &[f32], order: u32) -> Vec<u32> {
    let pairs = if order == 4 { [(0, 4), (1, 5), (2, 6), (3, 7)] } else { [(0, 2), (4, 6), (1, 3), (5, 7)] };
    let half = |x: f32| u32::from(f16::from_f32(x / 16.0).to_bits());
    let words = |eight: &[f32]| pairs.map(|(low, high)| half(eight[low]) | half(eight[high]) << 16);
    x.chunks_exact(8).flat_map(words).collect()
}

/// What records stand for.
pub fn values(records: &[u32], order: u32) -> Vec<f32> {
    let mut values = vec![0.0; records.len() / RECORD_WORDS * BLOCK];
    for (record, block) in records.chunks_exact(RECORD_WORDS).zip(values.chunks_exact_mut(BLOCK)) {
        let codes: &[i8] = cast_slice(&record[..8]);
        for (at, &code) in codes.iter().enumerate() {
            block[at / 8 * 8 + element(order, at % 8)] = f32::from(code) * f32::from_bits(record[8]);
        }
    }
    values
}
