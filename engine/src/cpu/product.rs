//! Matrix products: tiles of packed weights with rows of activations.
//!
//! A block of a tile, 32 columns of 16 weight rows, stays in registers while it is multiplied with up to eight rows of activations;
//! the dot products are integers, and scale and minimum are applied once a block. So a prompt costs few instructions but dot
//! products, and a single row little more than reading the weights. WebAssembly with relaxed SIMD has too few registers for that
//! and does it otherwise: see `simd/panels.rs`. Every output is one sum in one order, whichever rows are
//! computed beside it: a batch says what its sequences would have said alone.
//!
//! Dense weights are multiplied in f32, in four sums side by side.

use super::input::{ActivationBlock, Input};
use super::packed::{BlockParts, PackedMatrix, TILE};
use super::panels::PANEL;
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
    let isa = if what.matrices().all(PackedMatrix::is_finite) { isa } else { isa.for_any_scales() };
    threads.pieces_mut(out, rows, &|first, out| isa.run(Tiles { input, what, first, out }));
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
        for first_row in (0..input.rows).step_by(S::ROWS_OF_PIECE) {
            let rows = first_row..input.rows.min(first_row.saturating_add(S::ROWS_OF_PIECE));
            for (index, out) in out.chunks_exact_mut(input.rows).enumerate() {
                let out = &mut out[rows.clone()];
                // One place where products are computed: each is all formats and numbers of rows over.
                for (weights, tile, finish) in what.of_tile(first + index).into_iter().flatten() {
                    tile_rows(simd, Rows { input, first: first_row, count: rows.len() }, weights, tile, finish, out);
                }
            }
        }
    }
}

/// Rows that a tile is multiplied with.
#[derive(Clone, Copy)]
struct Rows<'a> {
    input: &'a Input,
    first: usize,
    count: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn blocks(&self, row: usize) -> &'a [ActivationBlock] {
        self.input.row_blocks(self.first + row)
    }

    #[inline(always)]
    fn floats(&self, row: usize) -> &'a [f32] {
        self.input.row_floats(self.first + row)
    }
}

impl<'a> Products<'a> {
    fn matrices(&self) -> impl Iterator<Item = &'a PackedMatrix> {
        let (some, others) = match self {
            Self::Beside(all) => (*all, [None, None]),
            Self::Added(weights) => (&[][..], [Some(weights.matrix), None]),
            Self::Gated(gate, up) => (&[][..], [Some(gate.matrix), Some(up.matrix)]),
        };
        some.iter().map(|weights| weights.matrix).chain(others.into_iter().flatten())
    }

    /// What is computed for a tile of the output: a matrix, its tile, and what becomes of the product.
    fn of_tile(self, mut tile: usize) -> [Option<(Weights<'a>, usize, Finish)>; 2] {
        match self {
            Self::Beside(all) => {
                for weights in all {
                    if tile < weights.matrix.tiles() {
                        return [Some((*weights, tile, Finish::Set)), None];
                    }
                    tile -= weights.matrix.tiles();
                }
                [None, None]
            }
            Self::Added(weights) => [Some((weights, tile, Finish::Add)), None],
            Self::Gated(gate, up) => [Some((gate, tile, Finish::Set)), Some((up, tile, Finish::Gate))],
        }
    }
}

/// What becomes of a product.
#[derive(Clone, Copy)]
enum Finish {
    /// It is the output.
    Set,
    /// It is added to the output.
    Add,
    /// It is multiplied with the output's silu.
    Gate,
}

/// Where the products of a tile go. Not a closure: intrinsics are inlined into functions that are sure to be inlined, and
/// a closure is not; as calls they took five times as long.
struct Sink<'a, F> {
    finish: Finish,
    out: &'a mut [Vector],
    bias: F,
}

impl<F: Copy> Sink<'_, F> {
    #[inline(always)]
    fn write<S: Simd<F = F>>(&mut self, simd: S, row: usize, product: F) {
        let out = &mut self.out[row].0;
        let product = simd.add(product, self.bias);
        let finished = match self.finish {
            Finish::Set => product,
            Finish::Add => simd.add(simd.load(out), product),
            Finish::Gate => simd.mul(silu(simd, simd.load(out)), product),
        };
        simd.store(finished, out);
    }
}

/// A way to sixteen weights of a column.
trait Column<const BYTES: usize> {
    fn load<S: Simd>(simd: S, from: &[u8; BYTES]) -> S::F;
}

struct F32;
struct F16;
struct Bf16;

impl Column<64> for F32 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[u8; 64]) -> S::F {
        simd.of_bits(simd.words(from))
    }
}

impl Column<32> for F16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[u8; 32]) -> S::F {
        simd.load_f16(from)
    }
}

impl Column<32> for Bf16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[u8; 32]) -> S::F {
        simd.load_bf16(from)
    }
}

/// A tile with all rows.
#[inline(always)]
fn tile_rows<S: Simd>(simd: S, rows: Rows<'_>, weights: Weights<'_>, tile: usize, finish: Finish, out: &mut [Vector]) {
    let bias = simd.load(&weights.bias.map_or([0.0; LANES], |bias| bias[tile].0));
    let matrix = weights.matrix;
    let bytes = matrix.tile(tile);
    let q = |bits, group, mins| WeightFormat::Quantized(Quantization { bits, group, mins });
    let sink = &mut Sink { finish, out, bias };
    // Constants, so that each format has a loop of its own.
    match matrix.layout().format {
        f if f == q(4, 32, false) => quantized::<S, 4, 32, false>(simd, bytes, rows, sink),
        f if f == q(4, 32, true) => quantized::<S, 4, 32, true>(simd, bytes, rows, sink),
        f if f == q(8, 32, false) => quantized::<S, 8, 32, false>(simd, bytes, rows, sink),
        f if f == q(8, 32, true) => quantized::<S, 8, 32, true>(simd, bytes, rows, sink),
        f if f == q(8, 16, false) => quantized::<S, 8, 16, false>(simd, bytes, rows, sink),
        WeightFormat::Quantized(_) => quantized::<S, 8, 16, true>(simd, bytes, rows, sink),
        WeightFormat::F32 => dense::<S, 64, F32>(simd, bytes, rows, sink),
        WeightFormat::F16 => dense::<S, 32, F16>(simd, bytes, rows, sink),
        WeightFormat::Bf16 => dense::<S, 32, Bf16>(simd, bytes, rows, sink),
    }
}

#[inline(always)]
fn quantized<S: Simd, const BITS: u32, const GROUP: u32, const MINS: bool>(
    simd: S,
    tile: &[u8],
    rows: Rows<'_>,
    sink: &mut Sink<'_, S::F>,
) {
    let most = if BITS == 4 { S::ROWS_OF_FOUR } else { S::ROWS_OF_EIGHT };
    let mut row = 0;
    while let Some(panels) = rows.input.panels.get((rows.first + row) / PANEL).filter(|_| row < rows.count) {
        let mut sums = [Vector::default(); PANEL];
        simd.panel_sums::<BITS, GROUP, MINS>(tile, panels, &mut sums);
        for sum in &sums[..PANEL.min(rows.count - row)] {
            sink.write(simd, row, simd.load(&sum.0));
            row += 1;
        }
    }
    while row < rows.count {
        let left = rows.count - row;
        if most >= 8 && left >= 8 {
            row = quantized_rows::<S, 8, BITS, GROUP, MINS>(simd, tile, rows, row, sink);
        } else if most >= 4 && left >= 4 {
            row = quantized_rows::<S, 4, BITS, GROUP, MINS>(simd, tile, rows, row, sink);
        } else if most >= 2 && left >= 2 {
            row = quantized_rows::<S, 2, BITS, GROUP, MINS>(simd, tile, rows, row, sink);
        } else {
            row = quantized_rows::<S, 1, BITS, GROUP, MINS>(simd, tile, rows, row, sink);
        }
    }
}

/// `M` rows from `first` on; returns the row behind them.
#[inline(always)]
fn quantized_rows<S: Simd, const M: usize, const BITS: u32, const GROUP: u32, const MINS: bool>(
    simd: S,
    tile: &[u8],
    input: Rows<'_>,
    first: usize,
    sink: &mut Sink<'_, S::F>,
) -> usize {
    let parts = const { BlockParts::new(BITS, GROUP, MINS) };
    let blocks = tile.len() / parts.bytes;
    let rows: [&[ActivationBlock]; M] = std::array::from_fn(|m| &input.blocks(first + m)[..blocks]);
    let mut sums = [simd.splat(0.0); M];
    for (index, block) in tile.chunks_exact(parts.bytes).enumerate() {
        let (codes, scales) = block.split_at(parts.codes);
        for group in 0..parts.groups {
            let scale = simd.load_scales(array(scales, group * TILE * 2));
            let min = if MINS { simd.load_scales(array(scales, (parts.groups + group) * TILE * 2)) } else { scale };
            let fours = group * GROUP as usize / 4..(group + 1) * GROUP as usize / 4;
            let dots: [S::I; M] = if BITS == 4 {
                let mut sums = simd.four_dots(array(codes, 0), std::array::from_fn(|m| &rows[m][index].codes));
                // Without minima a code stands for code - 8.
                if !MINS {
                    for m in 0..M {
                        sums[m] = simd.sub_i32(sums[m], simd.splat_i32(rows[m][index].eight_sum::<GROUP>(group)));
                    }
                }
                sums
            } else {
                let (codes, _) = codes[fours.start * 64..fours.end * 64].as_chunks();
                let dots: [S::Eight; M] = simd.eight_dots(
                    codes,
                    std::array::from_fn(|m| rows[m][index].codes[fours.start * 4..fours.end * 4].as_chunks().0),
                );
                let mut sums = [simd.splat_i32(0); M];
                for m in 0..M {
                    sums[m] = simd.eight_sum(dots[m], rows[m][index].eight_sum::<GROUP>(group));
                }
                sums
            };
            for m in 0..M {
                let block = &rows[m][index];
                let scale = simd.mul(scale, simd.splat(block.scale));
                sums[m] = simd.mul_add(simd.to_f32(dots[m]), scale, sums[m]);
                if MINS {
                    let sum = block.group_sum::<GROUP>(group);
                    sums[m] = simd.mul_add(min, simd.splat(sum), sums[m]);
                }
            }
        }
    }
    for (m, sum) in sums.into_iter().enumerate() {
        sink.write(simd, first + m, sum);
    }
    first + M
}

#[inline(always)]
pub(super) fn array<T, const N: usize>(slice: &[T], at: usize) -> &[T; N] {
    slice[at..].first_chunk().expect("a block has all its parts")
}

#[inline(always)]
fn dense<S: Simd, const BYTES: usize, C: Column<BYTES>>(
    simd: S,
    tile: &[u8],
    rows: Rows<'_>,
    sink: &mut Sink<'_, S::F>,
) {
    let mut row = 0;
    while row < rows.count {
        if S::ROWS >= 4 && rows.count - row >= 4 {
            row = dense_rows::<S, 4, BYTES, C>(simd, tile, rows, row, sink);
        } else {
            row = dense_rows::<S, 1, BYTES, C>(simd, tile, rows, row, sink);
        }
    }
}

#[inline(always)]
fn dense_rows<S: Simd, const M: usize, const BYTES: usize, C: Column<BYTES>>(
    simd: S,
    tile: &[u8],
    input: Rows<'_>,
    first: usize,
    sink: &mut Sink<'_, S::F>,
) -> usize {
    let (columns, _) = tile.as_chunks::<BYTES>();
    let rows: [&[f32]; M] = std::array::from_fn(|m| &input.floats(first + m)[..columns.len()]);
    let mut sums = [[simd.splat(0.0); 4]; M];
    let (fours, rest) = columns.as_chunks::<4>();
    for (index, four) in fours.iter().enumerate() {
        for (i, column) in four.iter().enumerate() {
            let weights = C::load(simd, column);
            for m in 0..M {
                sums[m][i] = simd.mul_add(weights, simd.splat(rows[m][index * 4 + i]), sums[m][i]);
            }
        }
    }
    for (index, column) in rest.iter().enumerate() {
        let weights = C::load(simd, column);
        for m in 0..M {
            sums[m][0] = simd.mul_add(weights, simd.splat(rows[m][fours.len() * 4 + index]), sums[m][0]);
        }
    }
    for (m, [a, b, c, d]) in sums.into_iter().enumerate() {
        sink.write(simd, first + m, simd.add(simd.add(a, b), simd.add(c, d)));
    }
    first + M
}
