//! Several rows at once with relaxed SIMD: two vectors of weights by four rows of activations.
//!
//! A dot product here is an instruction of sixteen multiply-adds, of which a core begins two a cycle, and it reads as many vectors
//! from its cache: whatever an instruction is spent on beside dot products is half of one lost. V8 has fifteen registers and takes
//! WebAssembly's order as it comes; LLVM takes none at all, and ends up with expressions all of whose operands are loaded first. What is
//! here is the source of which both make what a person would write, as the disassembled code shows:
//!
//! - Eight sums are registers, four more hold eight columns of weights, and what an activation is multiplied with passes through one.
//!   A sum of floats is touched once a block, so it lies in memory.
//! - Branches that are never taken end a basic block after each row ([`keep_order`]). Without them all 64 dot products of a block came
//!   last, behind all that they read: 10 multiply-adds a cycle instead of 14.
//! - Activations come as *panels*: four rows side by side, each four activations four times as a register holds them, scales and sums of
//!   their block likewise. V8 adds an offset by an instruction of its own before a load that splats, before a plain one it doesn't.
//!   A panel is four times a block's size, so panels are made of a few rows at a time, and all tiles of a piece of work pass over
//!   them while they are in the cache.
//! - Addresses pass by an `and` with all ones, so that LLVM doesn't see how loops advance them: where it does, it adds offsets itself,
//!   again an instruction a load. Constants come from memory, for V8 puts them together with three instructions wherever they are used.
//!
//! The instruction multiplies signed bytes with 7 bits. 4-bit codes are the latter. Of 8-bit codes the activations are: those above zero
//! and those below it lie in two halves of their panel, each zero where the other isn't, and weights need not be taken apart.
//!
//! In multiply-adds a cycle, Chromium 156 on Emerald Rapids, 200 rows of Q4_1 with 576 columns: the sums of a tile in registers, splats,
//! scales converted for each eight rows: 8.8. One vector by all rows, its weights in eight registers, dot products in two chains of
//! four: 13.9, but 10.0 instead of 11.0 with four rows, as it loads twice as much. This: 13.8, and 16.3 without minima.
#![allow(unsafe_code, reason = "intrinsics")]

use super::wasm::PLACED_HALF;
use crate::cpu::input::ActivationBlock;
use crate::cpu::packed::{BlockParts, TILE};
use crate::cpu::tiles::Vector;
use bytemuck::{Pod, Zeroable};
use std::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_mul, i32x4_load_extend_i16x4, i32x4_relaxed_dot_i8x16_i7x16_add, i32x4_shl,
    i32x4_splat, i32x4_sub, u8x16_splat, u16x8_shr, unreachable, v128, v128_and, v128_load,
};
use std::hint::black_box;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

/// Rows of which panels are made at a time.
pub(super) const ROWS: usize = 16;

/// Rows of a panel.
const PANEL: usize = 4;

/// Fewer rows are better off as they are.
const LEAST: usize = 3;

/// Four activations, or their scale or sum, in each lane, of each row.
type Lanes<T> = [[T; 4]; PANEL];

/// A block for 4-bit weights.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Four {
    codes: [Lanes<[i8; 4]>; 8],
    scales: Lanes<f32>,
    sums: Lanes<f32>,
    /// What is added without minima, where a code stands for code - 8.
    starts: Lanes<i32>,
}

/// A block for 8-bit weights.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Eight {
    /// Codes above zero.
    above: [Lanes<[i8; 4]>; 8],
    /// Codes below zero, negated.
    below: [Lanes<[i8; 4]>; 8],
    scales: Lanes<f32>,
    /// Of the block, and of its two groups of sixteen.
    sums: [Lanes<f32>; 3],
}

/// Up to [`ROWS`] rows.
#[derive(Default)]
pub(crate) struct Panels {
    rows: usize,
    /// `[rows / 4][blocks]`, rows filled up with zeros; empty unless asked for.
    four: Vec<Four>,
    /// Likewise.
    eight: Vec<Eight>,
    sums: [Vector; ROWS],
}

impl Panels {
    /// Makes those of `[rows, blocks]` that are needed.
    pub(super) fn fill(&mut self, rows: usize, blocks: &[ActivationBlock], [four, eight]: [bool; 2]) {
        self.rows = rows;
        if rows < LEAST {
            return;
        }
        let width = blocks.len() / rows;
        let panels = rows.div_ceil(PANEL) * width;
        self.four.clear();
        self.four.resize(if four { panels } else { 0 }, Zeroable::zeroed());
        self.eight.clear();
        self.eight.resize(if eight { panels } else { 0 }, Zeroable::zeroed());
        for (at, block) in blocks.iter().enumerate() {
            let row = at / width % PANEL;
            let panel = at / width / PANEL * width + at % width;
            if let Some(panel) = self.four.get_mut(panel) {
                for (lanes, codes) in panel.codes.iter_mut().zip(block.codes.as_chunks().0) {
                    lanes[row] = [*codes; 4];
                }
                panel.scales[row] = [block.scale; 4];
                panel.sums[row] = [block.sum; 4];
                panel.starts[row] = [-block.eight_sums[0]; 4];
            }
            if let Some(panel) = self.eight.get_mut(panel) {
                let lanes = panel.above.iter_mut().zip(&mut panel.below);
                for ((above, below), codes) in lanes.zip(block.codes.as_chunks::<4>().0) {
                    above[row] = [codes.map(|code| code.max(0)); 4];
                    below[row] = [codes.map(|code| (-code).max(0)); 4];
                }
                panel.scales[row] = [block.scale; 4];
                for (lanes, sum) in
                    panel.sums.iter_mut().zip([block.sum, block.group_sum::<16>(0), block.group_sum::<16>(1)])
                {
                    lanes[row] = [sum; 4];
                }
            }
        }
    }

    /// The sums of a tile with each row; `None` where there are too few.
    #[inline(always)]
    pub(super) fn sums<const BITS: u32, const GROUP: u32, const MINS: bool>(
        &mut self,
        tile: &[u8],
    ) -> Option<&[Vector]> {
        let parts = const { BlockParts::new(BITS, GROUP, MINS) };
        if self.rows < LEAST {
            return None;
        }
        self.sums.fill(Vector::default());
        let blocks = tile.len() / parts.bytes;
        let constants = &Constants::new();
        let panels = self.sums.as_chunks_mut::<PANEL>().0.iter_mut().enumerate();
        for (panel, sums) in panels.take(self.rows.div_ceil(PANEL)) {
            for (index, block) in tile.chunks_exact(parts.bytes).enumerate() {
                let at = panel * blocks + index;
                for first in [0, 2] {
                    let half = |group: usize| {
                        let codes = constants.address(block) + first * 16;
                        let scales = constants.address(&block[parts.codes..]) + group * TILE * 2 + first * 8;
                        let codes = codes + group * GROUP as usize * TILE;
                        Half { codes, scales, mins: scales + parts.groups * TILE * 2 }
                    };
                    match (BITS, GROUP) {
                        (4, _) => four_bits::<MINS>(constants, half(0), &self.four[at], sums, first),
                        (_, 32) => eight_bits::<8, 0, MINS>(constants, half(0), &self.eight[at], sums, first),
                        _ => {
                            eight_bits::<4, 0, MINS>(constants, half(0), &self.eight[at], sums, first);
                            eight_bits::<4, 1, MINS>(constants, half(1), &self.eight[at], sums, first);
                        }
                    }
                }
            }
        }
        Some(&self.sums[..self.rows])
    }
}

/// What the compiler is not to know: V8 would put vectors together with three instructions each wherever they are used, and the
/// compiler add to pointers.
struct Constants {
    fifteen: v128,
    /// Of a half that is widened and shifted: its sign, exponent and mantissa.
    half: v128,
    /// What makes its exponent right.
    power: v128,
    all_ones: usize,
}

impl Constants {
    #[inline(always)]
    fn new() -> Self {
        let [half, power] = PLACED_HALF;
        let [fifteen, half, power] = black_box([u8x16_splat(15), i32x4_splat(half), i32x4_splat(power)]);
        Self { fifteen, half, power, all_ones: black_box(usize::MAX) }
    }

    /// The address of a slice, from which no other is derived.
    #[inline(always)]
    fn address<T>(&self, of: &[T]) -> usize {
        of.as_ptr().expose_provenance() & self.all_ones
    }

    /// A panel, whose elements are loaded anew.
    #[inline(always)]
    fn again<'a, P>(&self, panel: &'a P) -> &'a P {
        // SAFETY: it is the same address.
        unsafe { &*with_exposed_provenance(self.address(std::slice::from_ref(panel))) }
    }
}

/// Eight weight rows of a block: the addresses of their codes, scales and minima, pairs of vectors in all of them.
#[derive(Clone, Copy)]
struct Half {
    codes: usize,
    scales: usize,
    mins: usize,
}

/// Two vectors of sums for each row of a panel.
type Sums = [[v128; 2]; PANEL];

/// Four-bit codes with a panel, added to vectors `first` and the next of its sums.
#[inline(always)]
fn four_bits<const MINS: bool>(
    constants: &Constants,
    weights: Half,
    panel: &Four,
    sums: &mut [Vector; PANEL],
    first: usize,
) {
    let panel = constants.again(panel);
    let mut dots = if MINS { [[i32x4_splat(0); 2]; PANEL] } else { panel.starts.map(|start| [load(&start); 2]) };
    eight_columns::<0>(constants, weights.codes, panel, &mut dots);
    eight_columns::<1>(constants, weights.codes, panel, &mut dots);
    eight_columns::<2>(constants, weights.codes, panel, &mut dots);
    eight_columns::<3>(constants, weights.codes, panel, &mut dots);
    finish::<MINS>(constants, dots, weights, [&panel.scales, &panel.sums], sums, first);
}

#[inline(always)]
fn eight_columns<const PAIR: usize>(constants: &Constants, codes: usize, panel: &Four, dots: &mut Sums) {
    let both = two(codes + PAIR * 64);
    let low = both.map(|both| v128_and(both, constants.fifteen));
    let high = both.map(|both| v128_and(u16x8_shr(both, 4), constants.fifteen));
    for row in 0..PANEL {
        let activations = [&panel.codes[PAIR * 2], &panel.codes[PAIR * 2 + 1]].map(|four| load(&four[row]));
        for v in 0..2 {
            dots[row][v] = i32x4_relaxed_dot_i8x16_i7x16_add(activations[0], low[v], dots[row][v]);
            dots[row][v] = i32x4_relaxed_dot_i8x16_i7x16_add(activations[1], high[v], dots[row][v]);
        }
        keep_order(codes, 1 + PAIR * PANEL + row, dots);
    }
}

/// Eight-bit codes of group `GROUP`, which has `FOURS` times four columns, likewise.
#[inline(always)]
fn eight_bits<const FOURS: usize, const GROUP: usize, const MINS: bool>(
    constants: &Constants,
    weights: Half,
    panel: &Eight,
    sums: &mut [Vector; PANEL],
    first: usize,
) {
    let panel = constants.again(panel);
    let mut dots = [[i32x4_splat(0); 2]; PANEL];
    for four in 0..FOURS {
        four_columns(weights.codes + four * 64, &panel.below[GROUP * FOURS + four], &mut dots, 1 + four);
    }
    dots = dots.map(|row| row.map(|sum| i32x4_sub(i32x4_splat(0), sum)));
    for four in 0..FOURS {
        four_columns(weights.codes + four * 64, &panel.above[GROUP * FOURS + four], &mut dots, 1 + FOURS + four);
    }
    let of_rows = &panel.sums[if FOURS == 8 { 0 } else { 1 + GROUP }];
    finish::<MINS>(constants, dots, weights, [&panel.scales, of_rows], sums, first);
}

#[inline(always)]
fn four_columns(codes: usize, activations: &Lanes<[i8; 4]>, dots: &mut Sums, different: usize) {
    let weights = two(codes);
    for (row, activations) in activations.iter().enumerate() {
        let activations = load(activations);
        for v in 0..2 {
            dots[row][v] = i32x4_relaxed_dot_i8x16_i7x16_add(weights[v], activations, dots[row][v]);
        }
        if row % 2 == 1 {
            keep_order(codes, different * 2 + row / 2, dots);
        }
    }
}

/// Ends a basic block, and has all sums there: a branch that is never taken, as nothing has so low an address as `different`, by which
/// branches differ lest they become one.
#[inline(always)]
fn keep_order(address: usize, different: usize, dots: &Sums) {
    if address == different {
        black_box(*dots);
        unreachable()
    }
}

/// Applies scales and minima of the weights, and those and sums of the rows.
#[inline(always)]
fn finish<const MINS: bool>(
    constants: &Constants,
    dots: Sums,
    weights: Half,
    [of_rows, sums_of_rows]: [&Lanes<f32>; 2],
    sums: &mut [Vector; PANEL],
    first: usize,
) {
    let halves = |at: usize| -> [v128; 2] {
        // SAFETY: there are sixteen bytes at the address of scales or minima.
        let wide = [0, 8].map(|more| unsafe { i32x4_load_extend_i16x4(with_exposed_provenance(at + more)) });
        wide.map(|wide| f32x4_mul(v128_and(i32x4_shl(wide, 13), constants.half), constants.power))
    };
    let scales = halves(weights.scales);
    let mins = if MINS { halves(weights.mins) } else { scales };
    let sums: *mut v128 = with_exposed_provenance_mut(constants.address(sums) + first * 16);
    for row in 0..PANEL {
        let scale = load(&of_rows[row]);
        for v in 0..2 {
            // SAFETY: a `Vector` is four v128, and `sums` points to the first or third of the first row's.
            let out = unsafe { &mut *sums.add(row * 4 + v) };
            let product = f32x4_mul(f32x4_convert_i32x4(dots[row][v]), f32x4_mul(scales[v], scale));
            *out = f32x4_add(*out, product);
            if MINS {
                *out = f32x4_add(*out, f32x4_mul(mins[v], load(&sums_of_rows[row])));
            }
        }
    }
}

/// Two vectors of codes.
#[inline(always)]
fn two(at: usize) -> [v128; 2] {
    // SAFETY: there are 32 bytes of codes at the addresses that this is called with; a load needs no alignment.
    [0, 16].map(|more| unsafe { v128_load(with_exposed_provenance(at + more)) })
}

/// Sixteen bytes.
#[inline(always)]
fn load<T: Pod>(from: &[T; 4]) -> v128 {
    const { assert!(size_of::<T>() == 4) };
    // SAFETY: the array has 16 bytes, as the line above checks; a load needs no alignment.
    unsafe { v128_load(from.as_ptr().cast()) }
}
