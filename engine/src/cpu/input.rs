//! Rows of activations as the products read them.
//!
//! Against quantized weights a row is bytes: blocks of 32, each with its scale, rounded to the nearest of 255 steps. Minima of the
//! weights multiply the sum of a block, so that comes along. Against dense weights a row stays f32, and the result is as
//! exact as the weights. A row is made once for all matrices that read it, in the forms that they need.

use super::packed::BLOCK;
use super::simd::{Isa, Kernel, LANES, Simd};
use super::threads::Threads;
use super::tiles::{TileRows, Vector};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

/// 32 quantized activations.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub(crate) struct ActivationBlock {
    /// -127..=127
    pub(crate) codes: [i8; BLOCK],
    /// An activation is `scale * code`.
    pub(crate) scale: f32,
    /// The sum of the activations.
    pub(crate) sum: f32,
    /// Eight times the sum of all codes, and of the first sixteen.
    pub(crate) eight_sums: [i32; 2],
}

impl ActivationBlock {
    /// Eight times the sum of the codes of a group of so many.
    #[inline(always)]
    pub(crate) fn eight_sum<const GROUP: u32>(&self, group: usize) -> i32 {
        match (GROUP, group) {
            (16, 0) => self.eight_sums[1],
            (16, _) => self.eight_sums[0] - self.eight_sums[1],
            _ => self.eight_sums[0],
        }
    }

    /// The sum of the activations of a group.
    #[inline(always)]
    pub(crate) fn group_sum<const GROUP: u32>(&self, group: usize) -> f32 {
        if GROUP as usize == BLOCK { self.sum } else { self.eight_sum::<GROUP>(group) as f32 * 0.125 * self.scale }
    }
}

/// Rows that are multiplied with weights.
#[derive(Default)]
pub(crate) struct Input {
    /// `[rows, cols / 32]`, the last block filled up with zeros; empty unless asked for.
    pub(crate) blocks: Vec<ActivationBlock>,
    /// f32 `[rows, cols]`; likewise.
    pub(crate) floats: Vec<f32>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

/// Which forms of a row are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forms {
    pub(crate) quantized: bool,
    pub(crate) dense: bool,
}

/// Where rows come from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// RMS norms: element * scale * weight.
    Norm {
        /// What is normalized.
        input: TileRows<'a>,
        /// Row of `input` for each row; `None`: the same.
        pick: Option<&'a [u32]>,
        /// Filled up with zeros to whole tiles.
        weight: &'a [Vector],
        eps: f32,
    },
    /// As they are.
    Tiles(TileRows<'a>),
    /// f32 `[rows, cols]`
    Plain(&'a [f32]),
}

impl Input {
    /// Fills it with rows.
    pub(crate) fn fill(
        &mut self,
        isa: Isa,
        threads: &Threads,
        forms: Forms,
        (rows, cols): (usize, usize),
        source: Source<'_>,
    ) {
        (self.rows, self.cols) = (rows, cols);
        let blocks = cols.div_ceil(BLOCK);
        self.blocks.resize(if forms.quantized { rows * blocks } else { 0 }, Zeroable::zeroed());
        self.floats.resize(if forms.dense { rows * cols } else { 0 }, 0.0);
        let per_task = rows.div_ceil(threads.count() * 4).max(4);
        if forms.quantized {
            threads.chunks_mut(&mut self.blocks, per_task * blocks, &|task, out| {
                isa.run(Quantized { source, first: task * per_task, cols, out });
            });
        }
        if forms.dense {
            threads.chunks_mut(&mut self.floats, per_task * cols, &|task, out| {
                isa.run(Floats { source, first: task * per_task, cols, out });
            });
        }
    }

    /// Blocks of a row.
    #[inline(always)]
    pub(crate) fn row_blocks(&self, row: usize) -> &[ActivationBlock] {
        let blocks = self.cols.div_ceil(BLOCK);
        &self.blocks[row * blocks..][..blocks]
    }

    /// Blocks of rows; nothing unless asked for.
    pub(crate) fn blocks_of(&self, rows: Range<usize>) -> &[ActivationBlock] {
        let blocks = self.cols.div_ceil(BLOCK);
        self.blocks.get(rows.start * blocks..rows.end * blocks).unwrap_or_default()
    }

    /// Elements of a row.
    #[inline(always)]
    pub(crate) fn row_floats(&self, row: usize) -> &[f32] {
        &self.floats[row * self.cols..][..self.cols]
    }
}

/// Rows from `first` on, quantized.
struct Quantized<'a> {
    source: Source<'a>,
    first: usize,
    cols: usize,
    /// `[rows, cols / 32]`
    out: &'a mut [ActivationBlock],
}

impl Kernel for Quantized<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let blocks = self.cols.div_ceil(BLOCK);
        let mut elements = vec![Vector::default(); blocks * 2];
        for (row, out) in self.out.chunks_exact_mut(blocks).enumerate() {
            read_row(simd, self.source, self.first + row, self.cols, &mut elements);
            for (out, pair) in out.iter_mut().zip(elements.chunks_exact(2)) {
                *out = quantize(simd, simd.load(&pair[0].0), simd.load(&pair[1].0));
            }
        }
    }
}

/// Rows from `first` on, as they are.
struct Floats<'a> {
    source: Source<'a>,
    first: usize,
    cols: usize,
    /// f32 `[rows, cols]`
    out: &'a mut [f32],
}

impl Kernel for Floats<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut elements = vec![Vector::default(); self.cols.div_ceil(LANES)];
        for (row, out) in self.out.chunks_exact_mut(self.cols).enumerate() {
            read_row(simd, self.source, self.first + row, self.cols, &mut elements);
            let elements: &[f32] = bytemuck::cast_slice(&elements);
            out.copy_from_slice(&elements[..self.cols]);
        }
    }
}

/// Writes a row to `out`; what lies behind its last tile is left alone.
#[inline(always)]
fn read_row<S: Simd>(simd: S, source: Source<'_>, row: usize, cols: usize, out: &mut [Vector]) {
    match source {
        Source::Norm { input, pick, weight, eps } => {
            let row = pick.map_or(row, |pick| pick[row] as usize);
            let mut squares = simd.splat(0.0);
            for (tile, _) in weight.iter().enumerate() {
                let x = simd.load(input.at(row, tile));
                squares = simd.add(squares, simd.mul(x, x));
            }
            let scale = simd.splat(1.0 / (simd.total(squares) / cols as f32 + eps).sqrt());
            for (tile, (out, weight)) in out.iter_mut().zip(weight).enumerate() {
                let x = simd.load(input.at(row, tile));
                simd.store(simd.mul(simd.mul(x, scale), simd.load(&weight.0)), &mut out.0);
            }
        }
        Source::Tiles(input) => {
            for (tile, out) in out.iter_mut().take(cols.div_ceil(LANES)).enumerate() {
                out.0 = *input.at(row, tile);
            }
        }
        Source::Plain(input) => {
            let out: &mut [f32] = bytemuck::cast_slice_mut(out);
            out[..cols].copy_from_slice(&input[row * cols..][..cols]);
        }
    }
}

/// Below this a block counts as zeros: 127 over it would overflow.
const SMALLEST: f32 = 1e-30;

/// Rounds 32 activations. If one of them isn't finite the scale is NaN, and so is all that is computed from it.
#[inline(always)]
fn quantize<S: Simd>(simd: S, low: S::F, high: S::F) -> ActivationBlock {
    let mut block = ActivationBlock::zeroed();
    let positive = simd.splat_i32(i32::MAX);
    let (a, b) = (simd.and_i32(simd.bits(low), positive), simd.and_i32(simd.bits(high), positive));
    let mut lanes = [0; LANES];
    // The bits of magnitudes are in the order of the magnitudes, infinity and NaN above all numbers.
    simd.store_i32(simd.max_i32(a, b), &mut lanes);
    let largest = f32::from_bits(lanes.into_iter().fold(0, i32::max) as u32);
    if !largest.is_finite() {
        (block.scale, block.sum) = (f32::NAN, f32::NAN);
        return block;
    }
    if largest < SMALLEST {
        return block;
    }
    let inverse = simd.splat(127.0 / largest);
    let mut sums = [0; 2];
    for ((x, codes), sum) in [low, high].into_iter().zip(block.codes.chunks_exact_mut(LANES)).zip(&mut sums) {
        simd.store_i32(simd.round(simd.mul(x, inverse)), &mut lanes);
        for (code, lane) in codes.iter_mut().zip(lanes) {
            *code = lane as i8;
        }
        *sum = lanes.into_iter().sum();
    }
    block.scale = largest / 127.0;
    block.sum = block.scale * (sums[0] + sums[1]) as f32;
    block.eight_sums = [8 * (sums[0] + sums[1]), 8 * sums[0]];
    block
}
