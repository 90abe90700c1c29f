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
//! - Activations come as [panels](super::super::panels): V8 adds an offset by an instruction of its own before a load that splats, before
//!   a plain one it doesn't. [`ROWS`] rows pass all tiles of a piece of work before the next ones do, so that they stay in the cache.
//! - Addresses pass by an `and` with all ones, so that LLVM doesn't see how loops advance them: where it does, it adds offsets itself,
//!   again an instruction a load. Constants come from memory, for V8 puts them together with three instructions wherever they are used.
//!
//! The instruction multiplies signed bytes with 7 bits. 4-bit codes are the latter. What it does with 8 bits is the machine's choice
//! ([`SecondOperand`]): where they are unsigned, codes are moved up by 128, which costs an instruction for four dot products; where they
//! are signed, nothing. Where they are neither, the activations are the 7 bits: those above zero and those below it lie apart ([`Signs`]),
//! each zero where the other isn't, and all is multiplied twice.
//!
//! In multiply-adds a cycle, Chromium 156 on Emerald Rapids, 200 rows of Q4_1 with 576 columns: the sums of a tile in registers, splats,
//! scales converted for each eight rows: 8.8. One vector by all rows, its weights in eight registers, dot products in two chains of
//! four: 13.9, but 10.0 instead of 11.0 with four rows, as it loads twice as much. This: 13.8, and 16.3 without minima; with scales and
//! minima applied by fused operations 14.6 and 16.4. Of 8-bit codes 7.4 multiplied twice, and 17.8 once.
#![allow(unsafe_code, reason = "intrinsics")]

use super::relaxed::SecondOperand;
use super::wasm::PLACED_HALF;
use crate::cpu::packed::{BlockParts, TILE};
use crate::cpu::panels::{Lanes, PANEL, Panel, Signs};
use crate::cpu::tiles::Vector;
use bytemuck::Pod;
use std::arch::wasm32::{
    f32x4_convert_i32x4, f32x4_extract_lane, f32x4_mul, f32x4_relaxed_madd, f32x4_splat, i32x4_load_extend_i16x4,
    i32x4_relaxed_dot_i8x16_i7x16_add, i32x4_shl, i32x4_splat, i32x4_sub, u8x16_splat, u16x8_shr, unreachable, v128,
    v128_and, v128_load, v128_xor,
};
use std::array::from_fn;
use std::hint::black_box;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

/// Rows that pass all tiles of a piece of work before the next ones do.
pub(super) const ROWS: usize = 16;

/// The sums of a tile with the rows of panels, added to `sums`.
#[inline(always)]
pub(super) fn panel_sums<const BITS: u32, const GROUP: u32, const MINS: bool>(
    operand: SecondOperand,
    tile: &[u8],
    (panels, signs): (&[Panel], &[Signs]),
    sums: &mut [Vector; PANEL],
) {
    let parts = const { BlockParts::new(BITS, GROUP, MINS) };
    let constants = &Constants::new(operand);
    for (index, (block, panel)) in tile.chunks_exact(parts.bytes).zip(panels).enumerate() {
        for first in [0, 2] {
            let half = |group: usize| {
                let codes = constants.address(block) + first * 16;
                let scales = constants.address(&block[parts.codes..]) + group * TILE * 2 + first * 8;
                let codes = codes + group * GROUP as usize * TILE;
                Half { codes, scales, mins: scales + parts.groups * TILE * 2 }
            };
            match (BITS, GROUP) {
                (4, _) => four_bits::<MINS>(constants, half(0), panel, sums, first),
                (_, 32) => eight_bits::<8, 0, MINS>(constants, half(0), panel, signs.get(index), sums, first),
                _ => {
                    eight_bits::<4, 0, MINS>(constants, half(0), panel, signs.get(index), sums, first);
                    eight_bits::<4, 1, MINS>(constants, half(1), panel, signs.get(index), sums, first);
                }
            }
        }
    }
}

/// What the compiler is not to know: V8 would put vectors together with three instructions each wherever they are used, and the
/// compiler add to pointers.
struct Constants {
    operand: SecondOperand,
    fifteen: v128,
    /// The highest bit of each byte, where 8-bit codes are to be moved up.
    high_bits: v128,
    /// Of a half that is widened and shifted: its sign, exponent and mantissa.
    half: v128,
    /// What makes its exponent right.
    power: v128,
    all_ones: usize,
}

impl Constants {
    #[inline(always)]
    fn new(operand: SecondOperand) -> Self {
        let [half, power] = PLACED_HALF;
        let high_bits = u8x16_splat(if operand == SecondOperand::Unsigned { 128 } else { 0 });
        let [fifteen, high_bits, half, power] =
            black_box([u8x16_splat(15), high_bits, i32x4_splat(half), i32x4_splat(power)]);
        Self { operand, fifteen, high_bits, half, power, all_ones: black_box(usize::MAX) }
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
    panel: &Panel,
    sums: &mut [Vector; PANEL],
    first: usize,
) {
    let panel = constants.again(panel);
    let mut dots =
        if MINS { [[i32x4_splat(0); 2]; PANEL] } else { panel.minus_eight_sums[0].map(|start| [load(&start); 2]) };
    eight_columns::<0>(constants, weights.codes, panel, &mut dots);
    eight_columns::<1>(constants, weights.codes, panel, &mut dots);
    eight_columns::<2>(constants, weights.codes, panel, &mut dots);
    eight_columns::<3>(constants, weights.codes, panel, &mut dots);
    finish::<MINS>(constants, dots, weights, [&panel.scales, &panel.sums], sums, first);
}

#[inline(always)]
fn eight_columns<const PAIR: usize>(constants: &Constants, codes: usize, panel: &Panel, dots: &mut Sums) {
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
    panel: &Panel,
    signs: Option<&Signs>,
    sums: &mut [Vector; PANEL],
    first: usize,
) {
    let panel = constants.again(panel);
    // Eight times the sums of the group's codes, negated.
    let eight_sums = |row: usize| {
        let [block, half] = [0, 1].map(|at| load(&panel.minus_eight_sums[at][row]));
        match (FOURS, GROUP) {
            (8, _) => block,
            (_, 0) => half,
            _ => i32x4_sub(block, half),
        }
    };
    let mut dots = [[i32x4_splat(0); 2]; PANEL];
    if let Some(signs) = signs {
        let signs = constants.again(signs);
        for four in 0..FOURS {
            four_columns(weights.codes + four * 64, &signs.below[GROUP * FOURS + four], &mut dots, 1 + four);
        }
        dots = dots.map(|row| row.map(|sum| i32x4_sub(i32x4_splat(0), sum)));
        for four in 0..FOURS {
            four_columns(weights.codes + four * 64, &signs.above[GROUP * FOURS + four], &mut dots, 1 + FOURS + four);
        }
    } else {
        if constants.operand == SecondOperand::Unsigned {
            dots = from_fn(|row| [i32x4_shl(eight_sums(row), 4); 2]);
        }
        for four in 0..FOURS {
            let activations = &panel.codes[GROUP * FOURS + four];
            four_whole_columns(constants, weights.codes + four * 64, activations, &mut dots, 1 + four);
        }
    }
    let mut of_group = panel.sums;
    if MINS && FOURS == 4 {
        // By the arithmetic of `ActivationBlock::group_sum`.
        for (row, sum) in of_group.iter_mut().enumerate() {
            let eighth = f32x4_mul(f32x4_convert_i32x4(eight_sums(row)), f32x4_splat(-0.125));
            *sum = lanes(f32x4_mul(eighth, load(&panel.scales[row])));
        }
    }
    finish::<MINS>(constants, dots, weights, [&panel.scales, &of_group], sums, first);
}

/// Four columns of weights with activations of 7 bits.
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

/// Four columns of weights with signed activations.
#[inline(always)]
fn four_whole_columns(
    constants: &Constants,
    codes: usize,
    activations: &Lanes<[i8; 4]>,
    dots: &mut Sums,
    different: usize,
) {
    let weights = two(codes).map(|codes| v128_xor(codes, constants.high_bits));
    for (row, activations) in activations.iter().enumerate() {
        let activations = load(activations);
        for v in 0..2 {
            dots[row][v] = i32x4_relaxed_dot_i8x16_i7x16_add(activations, weights[v], dots[row][v]);
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
            let mut sum = f32x4_relaxed_madd(f32x4_convert_i32x4(dots[row][v]), f32x4_mul(scales[v], scale), *out);
            if MINS {
                sum = f32x4_relaxed_madd(mins[v], load(&sums_of_rows[row]), sum);
            }
            *out = sum;
        }
    }
}

/// Two vectors of codes.
#[inline(always)]
fn two(at: usize) -> [v128; 2] {
    // SAFETY: there are 32 bytes of codes at the addresses that this is called with; a load needs no alignment.
    [0, 16].map(|more| unsafe { v128_load(with_exposed_provenance(at + more)) })
}

/// Four lanes.
#[inline(always)]
fn lanes(x: v128) -> [f32; 4] {
    [f32x4_extract_lane::<0>(x), f32x4_extract_lane::<1>(x), f32x4_extract_lane::<2>(x), f32x4_extract_lane::<3>(x)]
}

/// Sixteen bytes.
#[inline(always)]
fn load<T: Pod>(from: &[T; 4]) -> v128 {
    const { assert!(size_of::<T>() == 4) };
    // SAFETY: the array has 16 bytes, as the line above checks; a load needs no alignment.
    unsafe { v128_load(from.as_ptr().cast()) }
}
