//! Rows of activations as the products read them.
//!
//! Against quantized weights a row is bytes: blocks of 32, each with its scale, rounded to the nearest of 255 steps. Minima of the
//! weights multiply the sum of a block, so that comes along; where several rows are multiplied otherwise than one, they are laid side
//! by side in [`Panels`] besides. Against dense weights a row stays f32, and the result is as
//! exact as the weights. A row is made once for all matrices that read it, in the forms that they need.

use super::packed::BLOCK;
use super::panels::{self, PANEL, Panels};
use super::room::Room;
use super::simd::{Isa, Kernel, LANES, Simd};
use super::threads::Threads;
use super::tiles::{TileRows, Vector};
use crate::weights::WeightFormat;
use bytemuck::{Pod, Zeroable};

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
    /// The same, side by side, where the instruction set has them.
    pub(crate) panels: Panels,
    /// f32 `[rows, cols]`; likewise.
    pub(crate) floats: Vec<f32>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

/// What rows are multiplied with: which forms of them are needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forms {
    /// Weights of 4 bits.
    pub(crate) four: bool,
    /// Weights of 8 bits.
    pub(crate) eight: bool,
    pub(crate) dense: bool,
}

impl Forms {
    /// Those that weights of a format need.
    pub(crate) fn of(format: WeightFormat) -> Self {
        match format.quantization() {
            None => Self { dense: true, ..Self::default() },
            Some(q) => Self { four: q.bits == 4, eight: q.bits == 8, dense: false },
        }
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { four: self.four || other.four, eight: self.eight || other.eight, dense: self.dense || other.dense }
    }
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
        let quantized = forms.four || forms.eight;
        self.blocks.resize(if quantized { rows * blocks } else { 0 }, Zeroable::zeroed());
        self.panels.resize(rows, blocks, isa.panel_forms(forms));
        self.floats.resize(if forms.dense { rows * cols } else { 0 }, 0.0);
        if quantized {
            threads.pieces_mut(&mut self.blocks, blocks, &|first, out| {
                isa.run(Quantized { source, first, cols, out });
            });
            let rows = self.blocks.chunks(PANEL * blocks);
            let mut fours: Vec<_> = self.panels.of_rows().zip(rows).collect();
            threads.units_mut(&mut fours, 1, &|_, four| {
                for (panels, rows) in four {
                    panels::write(panels, rows);
                }
            });
        }
        if forms.dense {
            threads.pieces_mut(&mut self.floats, cols, &|first, out| isa.run(Floats { source, first, cols, out }));
        }
    }

    /// Blocks of a row.
    #[inline(always)]
    pub(crate) fn row_blocks(&self, row: usize) -> &[ActivationBlock] {
        let blocks = self.cols.div_ceil(BLOCK);
        &self.blocks[row * blocks..][..blocks]
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
        let mut room = Room::take();
        let (_, elements) = room.parts([0; 2], blocks * 2);
        // A block is filled up with zeros, whatever the last piece of work left here.
        elements[(blocks * 2).saturating_sub(2)..].fill(Vector::default());
        for (row, out) in self.out.chunks_exact_mut(blocks).enumerate() {
            read_row(simd, self.source, self.first + row, self.cols, elements);
            for (out, pair) in out.iter_mut().zip(elements.chunks_exact(2)) {
                *out = quantize(simd, simd.load(&pair[0].0), simd.load(&pair[1].0));
            }
        }
        room.give_back();
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
        let mut room = Room::take();
        let (_, elements) = room.parts([0; 2], self.cols.div_ceil(LANES));
        for (row, out) in self.out.chunks_exact_mut(self.cols).enumerate() {
            read_row(simd, self.source, self.first + row, self.cols, elements);
            out.copy_from_slice(&bytemuck::cast_slice(elements)[..self.cols]);
        }
        room.give_back();
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
    // The bits of magnitudes are in the order of the magnitudes, infinity and NaN above all numbers.
    let largest = f32::from_bits(simd.largest_i32(simd.max_i32(a, b)) as u32);
    if !largest.is_finite() {
        (block.scale, block.sum) = (f32::NAN, f32::NAN);
        return block;
    }
    if largest < SMALLEST {
        return block;
    }
    let inverse = simd.splat(127.0 / largest);
    let mut sums = [0; 2];
    let (low_codes, high_codes) = block.codes.split_at_mut(LANES);
    for ((x, codes), sum) in [low, high].into_iter().zip([low_codes, high_codes]).zip(&mut sums) {
        let rounded = simd.round(simd.mul(x, inverse));
        *sum = simd.total_i32(rounded);
        codes.copy_from_slice(&simd.narrow(rounded));
    }
    block.scale = largest / 127.0;
    block.sum = block.scale * (sums[0] + sums[1]) as f32;
    block.eight_sums = [8 * (sums[0] + sums[1]), 8 * sums[0]];
    block
}
