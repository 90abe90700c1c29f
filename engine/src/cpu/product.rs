//! Matrix products: tiles of packed weights with rows of activations.
//!
//! A block of a tile, 32 columns of 16 weight rows, stays in registers while it is multiplied with up to eight rows of activations;
//! the dot products are integers, and scale and minimum are applied once a block. So a prompt costs few instructions but dot
//! products, and a single row little more than reading the weights. Every output is one sum in one order, whichever rows are
//! computed beside it: a batch says what its sequences would have said alone.
//!
//! Dense weights are multiplied in f32, in four sums side by side.

use super::input::{ActivationBlock, Input};
use super::packed::{BLOCK, BlockParts, PackedMatrix, TILE};
use super::simd::{Isa, Kernel, LANES, Simd};
use super::threads::Threads;
use super::tiles::Vector;
use super::vector_math::silu;
use crate::weights::{Quantization, WeightFormat};

/// A matrix, and its bias in whole tiles.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) bias: Option<&'a [Vector]>,
}

/// What becomes of products.
#[derive(Clone, Copy)]
pub(crate) enum Products<'a> {
    /// One after the other, in order, as many tiles as the output has.
    Beside(&'a [Weights<'a>]),
    /// One is added to what the output holds.
    Added(Weights<'a>),
    /// silu(first) * second
    Gated(Weights<'a>, Weights<'a>),
}

/// `out` `[tiles, rows]`.
pub(crate) fn products(isa: Isa, threads: &Threads, input: &Input, what: Products<'_>, out: &mut [Vector]) {
    let rows = input.rows;
    if rows == 0 {
        return;
    }
    // Four pieces a thread: one that was held up costs the others an eighth of the time, and a piece costs a microsecond.
    let tiles = (out.len() / rows).div_ceil(threads.count() * 4).max(1);
    threads.chunks_mut(out, tiles * rows, &|piece, out| isa.run(Tiles { input, what, first: piece * tiles, out }));
}

/// Tiles from `first` on.
struct Tiles<'a> {
    input: &'a Input,
    what: Products<'a>,
    first: usize,
    out: &'a mut [Vector],
}

impl Kernel for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { input, what, first, out } = self;
        for (index, out) in out.chunks_exact_mut(input.rows).enumerate() {
            let mut tile = first + index;
            match what {
                Products::Beside(all) => {
                    for weights in all {
                        if tile < weights.matrix.tiles() {
                            tile_rows(simd, input, *weights, tile, out, |_, sum, _| sum);
                            break;
                        }
                        tile -= weights.matrix.tiles();
                    }
                }
                Products::Added(weights) => {
                    tile_rows(simd, input, weights, tile, out, |simd, sum, out| simd.add(out, sum));
                }
                Products::Gated(gate, up) => {
                    tile_rows(simd, input, gate, tile, out, |_, sum, _| sum);
                    tile_rows(simd, input, up, tile, out, |simd, up, gate| simd.mul(silu(simd, gate), up));
                }
            }
        }
    }
}

/// A tile with all rows; `finish` makes an output from the product and what the output holds.
#[inline(always)]
fn tile_rows<S: Simd>(
    simd: S,
    input: &Input,
    weights: Weights<'_>,
    tile: usize,
    out: &mut [Vector],
    finish: impl Fn(S, S::F, S::F) -> S::F + Copy,
) {
    let bias = simd.load(&weights.bias.map_or([0.0; LANES], |bias| bias[tile].0));
    let matrix = weights.matrix;
    let bytes = matrix.tile(tile);
    let q = |bits, group, mins| WeightFormat::Quantized(Quantization { bits, group, mins });
    let mut write = |row: usize, sum: S::F| {
        let held = simd.load(&out[row].0);
        simd.store(finish(simd, simd.add(sum, bias), held), &mut out[row].0);
    };
    // Constants, so that each format has a loop of its own.
    match matrix.layout().format {
        f if f == q(4, 32, false) => quantized::<S, 4, 32, false>(simd, bytes, input, &mut write),
        f if f == q(4, 32, true) => quantized::<S, 4, 32, true>(simd, bytes, input, &mut write),
        f if f == q(8, 32, false) => quantized::<S, 8, 32, false>(simd, bytes, input, &mut write),
        f if f == q(8, 32, true) => quantized::<S, 8, 32, true>(simd, bytes, input, &mut write),
        f if f == q(8, 16, false) => quantized::<S, 8, 16, false>(simd, bytes, input, &mut write),
        WeightFormat::Quantized(_) => quantized::<S, 8, 16, true>(simd, bytes, input, &mut write),
        WeightFormat::F32 => dense::<S, 64>(simd, bytes, input, &mut write, |simd, x| simd.load(bytemuck::cast_ref(x))),
        WeightFormat::F16 => dense::<S, 32>(simd, bytes, input, &mut write, S::load_f16),
        WeightFormat::Bf16 => dense::<S, 32>(simd, bytes, input, &mut write, S::load_bf16),
    }
}

#[inline(always)]
fn quantized<S: Simd, const BITS: u32, const GROUP: u32, const MINS: bool>(
    simd: S,
    tile: &[u8],
    input: &Input,
    write: &mut impl FnMut(usize, S::F),
) {
    let mut row = 0;
    while row < input.rows {
        let left = input.rows - row;
        if S::ROWS >= 8 && left >= 8 {
            row = quantized_rows::<S, 8, BITS, GROUP, MINS>(simd, tile, input, row, write);
        } else if S::ROWS >= 4 && left >= 4 {
            row = quantized_rows::<S, 4, BITS, GROUP, MINS>(simd, tile, input, row, write);
        } else if S::ROWS >= 2 && left >= 2 {
            row = quantized_rows::<S, 2, BITS, GROUP, MINS>(simd, tile, input, row, write);
        } else {
            row = quantized_rows::<S, 1, BITS, GROUP, MINS>(simd, tile, input, row, write);
        }
    }
}

/// `M` rows from `first` on; returns the row behind them.
#[inline(always)]
fn quantized_rows<S: Simd, const M: usize, const BITS: u32, const GROUP: u32, const MINS: bool>(
    simd: S,
    tile: &[u8],
    input: &Input,
    first: usize,
    write: &mut impl FnMut(usize, S::F),
) -> usize {
    let parts = const { BlockParts::new(BITS, GROUP, MINS) };
    let blocks = tile.len() / parts.bytes;
    let rows: [&[ActivationBlock]; M] = std::array::from_fn(|m| &input.row_blocks(first + m)[..blocks]);
    let mut sums = [simd.splat(0.0); M];
    for (index, block) in tile.chunks_exact(parts.bytes).enumerate() {
        let (codes, scales) = block.split_at(parts.codes);
        for group in 0..parts.groups {
            let scale = simd.load_f16(array(scales, group * TILE * 2));
            let min = MINS.then(|| simd.load_f16(array(scales, (parts.groups + group) * TILE * 2)));
            let fours = group * GROUP as usize / 4..(group + 1) * GROUP as usize / 4;
            // Of one group, or of both less the first.
            let eight_sum = |block: &ActivationBlock| match (GROUP, group) {
                (16, 0) => block.eight_sums[1],
                (16, _) => block.eight_sums[0] - block.eight_sums[1],
                _ => block.eight_sums[0],
            };
            let dots: [S::I; M] = if BITS == 4 {
                let mut dots = [simd.four_zero(); M];
                for pair in fours.start / 2..fours.end / 2 {
                    let both = simd.bytes(array(codes, pair * 64));
                    let (low, high) = (simd.low_nibbles(both), simd.high_nibbles(both));
                    for m in 0..M {
                        let activations = &rows[m][index].codes;
                        dots[m] = simd.four_add(dots[m], low, simd.four_times(*array(activations, pair * 8)));
                        dots[m] = simd.four_add(dots[m], high, simd.four_times(*array(activations, pair * 8 + 4)));
                    }
                }
                std::array::from_fn(|m| {
                    let dot = simd.four_sum(dots[m]);
                    // Without minima a code stands for code - 8.
                    if MINS { dot } else { simd.sub_i32(dot, simd.splat_i32(eight_sum(&rows[m][index]))) }
                })
            } else {
                let mut dots = [simd.eight_zero(); M];
                for four in fours {
                    let codes = simd.bytes(array(codes, four * 64));
                    for m in 0..M {
                        let activations = simd.four_times(*array(&rows[m][index].codes, four * 4));
                        dots[m] = simd.eight_add(dots[m], codes, activations);
                    }
                }
                std::array::from_fn(|m| simd.eight_sum(dots[m], eight_sum(&rows[m][index])))
            };
            for m in 0..M {
                let block = &rows[m][index];
                let scale = simd.mul(scale, simd.splat(block.scale));
                sums[m] = simd.add(sums[m], simd.mul(simd.to_f32(dots[m]), scale));
                if let Some(min) = min {
                    let sum = if GROUP as usize == BLOCK {
                        block.sum
                    } else {
                        eight_sum(block) as f32 * 0.125 * block.scale
                    };
                    sums[m] = simd.add(sums[m], simd.mul(min, simd.splat(sum)));
                }
            }
        }
    }
    for (m, sum) in sums.into_iter().enumerate() {
        write(first + m, sum);
    }
    first + M
}

#[inline(always)]
fn array<T, const N: usize>(slice: &[T], at: usize) -> &[T; N] {
    slice[at..].first_chunk().expect("a block has all its parts")
}

#[inline(always)]
fn dense<S: Simd, const BYTES: usize>(
    simd: S,
    tile: &[u8],
    input: &Input,
    write: &mut impl FnMut(usize, S::F),
    load: impl Fn(S, &[u8; BYTES]) -> S::F + Copy,
) {
    let mut row = 0;
    while row < input.rows {
        if S::ROWS >= 4 && input.rows - row >= 4 {
            row = dense_rows::<S, 4, BYTES>(simd, tile, input, row, write, load);
        } else {
            row = dense_rows::<S, 1, BYTES>(simd, tile, input, row, write, load);
        }
    }
}

#[inline(always)]
fn dense_rows<S: Simd, const M: usize, const BYTES: usize>(
    simd: S,
    tile: &[u8],
    input: &Input,
    first: usize,
    write: &mut impl FnMut(usize, S::F),
    load: impl Fn(S, &[u8; BYTES]) -> S::F,
) -> usize {
    let (columns, _) = tile.as_chunks::<BYTES>();
    let rows: [&[f32]; M] = std::array::from_fn(|m| &input.row_floats(first + m)[..columns.len()]);
    let mut sums = [[simd.splat(0.0); 4]; M];
    let (fours, rest) = columns.as_chunks::<4>();
    for (index, four) in fours.iter().enumerate() {
        for (i, column) in four.iter().enumerate() {
            let weights = load(simd, column);
            for m in 0..M {
                sums[m][i] = simd.add(sums[m][i], simd.mul(weights, simd.splat(rows[m][index * 4 + i])));
            }
        }
    }
    for (index, column) in rest.iter().enumerate() {
        let weights = load(simd, column);
        for m in 0..M {
            sums[m][0] = simd.add(sums[m][0], simd.mul(weights, simd.splat(rows[m][fours.len() * 4 + index])));
        }
    }
    for (m, [a, b, c, d]) in sums.into_iter().enumerate() {
        write(first + m, simd.add(simd.add(a, b), simd.add(c, d)));
    }
    first + M
}
