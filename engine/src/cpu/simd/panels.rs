//! Several rows at once with relaxed SIMD: a register of weights stays while rows pass by.
//!
//! V8 has fifteen registers of 128 bits, and neither it nor LLVM's back end for WebAssembly plans for so few: whatever the source
//! says, sums end up as expressions whose operands are all loaded first. So the source is written such that this is harmless. Four
//! weight rows of a block, unpacked, are eight registers; a row of activations is multiplied with them in two chains of four dot
//! products, whose activations fill four registers more, and its sum of floats lies in memory, touched once a block.
//! What is done to weights is shared by up to [`ROWS`] rows.
//!
//! Activations come as *panels*: each four of them four times, as a register holds them, with the scale and the sums of their block
//! beside. Splatting them with each load would be an instruction more, because V8 adds offsets by an instruction of its own before such
//! a load. A panel is four times a block's size, so panels are made of a few rows at a time, and all tiles of a piece of work
//! pass over them while they are in the cache.
//!
//! The instruction multiplies signed bytes with 7 bits. 4-bit codes are the latter. Of 8-bit codes the activations are: those above zero
//! and those below it lie in two halves of their panel, each zero where the other isn't, which spares weights being taken apart.
//!
//! Measured with Chromium 156 on Emerald Rapids, multiply-adds a cycle, 200 rows of Q4_1 with 576 columns: two registers of weights by
//! four rows, unpacked for each eight rows, sums in registers, as it was: 8.8; the same with fewer conversions of scales: 12.3; with
//! panels of four rows: 13.1; one register by all rows, this: 14.6, of which an eighth was the next line's. Pointers pass by an
//! `and` that changes nothing, so that LLVM doesn't know how they go on: where it knows, it adds offsets itself, an instruction each
//! that a load has for nothing.
#![allow(unsafe_code, reason = "intrinsics")]

use super::wasm::load_scales;
use crate::cpu::input::ActivationBlock;
use crate::cpu::packed::BlockParts;
use crate::cpu::product::array;
use crate::cpu::tiles::Vector;
use bytemuck::{Pod, Zeroable};
use std::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_mul, i32x4_relaxed_dot_i8x16_i7x16_add, i32x4_splat, i32x4_sub, u8x16_splat,
    u16x8_shr, unreachable, v128, v128_and, v128_load,
};
use std::array::from_fn;
use std::hint::black_box;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

/// Rows of which panels are made at a time.
pub(super) const ROWS: usize = 16;

/// Rows of a panel.
const PANEL: usize = 4;

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
        if rows < 2 {
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

    /// The sums of a tile with each row; `None` where there is just one.
    #[inline(always)]
    pub(super) fn sums<const BITS: u32, const GROUP: u32, const MINS: bool>(
        &mut self,
        tile: &[u8],
    ) -> Option<&[Vector]> {
        let parts = const { BlockParts::new(BITS, GROUP, MINS) };
        if self.rows < 2 {
            return None;
        }
        self.sums.fill(Vector::default());
        let blocks = tile.len() / parts.bytes;
        let (of_panels, _) = self.sums.as_chunks_mut::<PANEL>();
        let constants = &Constants { fifteen: black_box(u8x16_splat(15)), all_ones: black_box(usize::MAX) };
        for (panel, sums) in of_panels.iter_mut().enumerate().take(self.rows.div_ceil(PANEL)) {
            let of_panel = panel * blocks..(panel + 1) * blocks;
            if BITS == 4 {
                for (block, panel) in tile.chunks_exact(parts.bytes).zip(&self.four[of_panel]) {
                    for half in 0..2 {
                        four_bits::<MINS>(constants, array(block, 0), &block[parts.codes..], panel, sums, half);
                    }
                }
                continue;
            }
            for (block, panel) in tile.chunks_exact(parts.bytes).zip(&self.eight[of_panel]) {
                let (codes, scales) = block.split_at(parts.codes);
                for half in 0..2 {
                    if GROUP == 32 {
                        eight_bits::<8, 0, MINS>(constants, codes, scales, panel, sums, half);
                    } else {
                        eight_bits::<4, 0, MINS>(constants, codes, scales, panel, sums, half);
                        eight_bits::<4, 1, MINS>(constants, codes, scales, panel, sums, half);
                    }
                }
            }
        }
        Some(&self.sums[..self.rows])
    }
}

/// What the compiler is not to know.
struct Constants {
    /// V8 would put it together with three instructions wherever it is used.
    fifteen: v128,
    all_ones: usize,
}

impl Constants {
    /// The address of what lies `offset` bytes further on.
    #[inline(always)]
    fn hide<T>(&self, from: *const T, offset: usize) -> usize {
        (from.expose_provenance() & self.all_ones) + offset
    }
}

/// Two registers of weights with the rows of a panel, each in two registers of sums.
type Sums = [[v128; 2]; PANEL];

/// Adds the products of half a tile, eight weight rows of a block, to its sums.
#[inline(always)]
fn four_bits<const MINS: bool>(
    constants: &Constants,
    codes: &[u8; 256],
    scales: &[u8],
    panel: &Four,
    sums: &mut [Vector; PANEL],
    half: usize,
) {
    let codes = constants.hide(codes, half * 32);
    let scales = constants.hide(scales.as_ptr(), half * 16);
    let panel: &Four = unsafe { &*with_exposed_provenance(constants.hide(panel, 0)) };
    let mut dots: Sums = if MINS { [[i32x4_splat(0); 2]; PANEL] } else { panel.starts.map(|start| [load(&start); 2]) };
    pair::<0>(constants, codes, panel, &mut dots);
    pair::<1>(constants, codes, panel, &mut dots);
    pair::<2>(constants, codes, panel, &mut dots);
    pair::<3>(constants, codes, panel, &mut dots);
    finish::<MINS>(constants, dots, scales, 32, &panel.scales, &panel.sums, sums, half);
}

/// Eight columns.
#[inline(always)]
fn pair<const PAIR: usize>(constants: &Constants, codes: usize, panel: &Four, dots: &mut Sums) {
    let both: [v128; 2] = from_fn(|v| unsafe { v128_load(with_exposed_provenance::<v128>(codes).add(PAIR * 4 + v)) });
    let low = both.map(|both| v128_and(both, constants.fifteen));
    let high = both.map(|both| v128_and(u16x8_shr(both, 4), constants.fifteen));
    for row in 0..PANEL {
        let first = load(&panel.codes[PAIR * 2][row]);
        let second = load(&panel.codes[PAIR * 2 + 1][row]);
        for v in 0..2 {
            dots[row][v] = i32x4_relaxed_dot_i8x16_i7x16_add(first, low[v], dots[row][v]);
            dots[row][v] = i32x4_relaxed_dot_i8x16_i7x16_add(second, high[v], dots[row][v]);
        }
        keep_order(codes, PAIR * PANEL + row, dots);
    }
}

/// Ends a basic block by a branch that is never taken: the address of anything is more than `different`, which tells branches apart.
#[inline(always)]
fn keep_order(address: usize, different: usize, dots: &Sums) {
    if address == different {
        let to: *mut Sums = with_exposed_provenance_mut(address);
        unsafe { to.write_volatile(*dots) };
        unreachable()
    }
}

/// The same of 8-bit weights, of a group of `FOURS` times four columns.
#[inline(always)]
fn eight_bits<const FOURS: usize, const GROUP: usize, const MINS: bool>(
    constants: &Constants,
    codes: &[u8],
    scales: &[u8],
    panel: &Eight,
    sums: &mut [Vector; PANEL],
    half: usize,
) {
    let codes = constants.hide(codes.as_ptr(), half * 32 + GROUP * FOURS * 64);
    let scales = constants.hide(scales.as_ptr(), half * 16 + GROUP * 32);
    let panel: &Eight = unsafe { &*with_exposed_provenance(constants.hide(panel, 0)) };
    let mut dots: Sums = [[i32x4_splat(0); 2]; PANEL];
    for four in 0..FOURS {
        signed_four(codes, four, &panel.below[GROUP * FOURS + four], &mut dots, 1 + four * 2);
    }
    dots = dots.map(|row| row.map(|sum| i32x4_sub(i32x4_splat(0), sum)));
    for four in 0..FOURS {
        signed_four(codes, four, &panel.above[GROUP * FOURS + four], &mut dots, 1 + FOURS * 2 + four * 2);
    }
    let of_sums = if FOURS == 8 { 0 } else { 1 + GROUP };
    finish::<MINS>(constants, dots, scales, 256 / FOURS, &panel.scales, &panel.sums[of_sums], sums, half);
}

/// Four columns.
#[inline(always)]
fn signed_four(codes: usize, four: usize, activations: &Lanes<[i8; 4]>, dots: &mut Sums, different: usize) {
    let weights: [v128; 2] =
        from_fn(|v| unsafe { v128_load(with_exposed_provenance::<v128>(codes).add(four * 4 + v)) });
    for row in 0..PANEL {
        let activations = load(&activations[row]);
        for v in 0..2 {
            dots[row][v] = i32x4_relaxed_dot_i8x16_i7x16_add(weights[v], activations, dots[row][v]);
        }
        if row % 2 == 1 {
            keep_order(codes, different + row / 2, dots);
        }
    }
}

/// Applies scales and minima, which are `mins_at` bytes further on.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn finish<const MINS: bool>(
    constants: &Constants,
    dots: Sums,
    scales: usize,
    mins_at: usize,
    of_rows: &Lanes<f32>,
    sums_of_rows: &Lanes<f32>,
    sums: &mut [Vector; PANEL],
    half: usize,
) {
    let halves = |at: usize| -> [v128; 2] {
        from_fn(|v| load_scales(unsafe { &*with_exposed_provenance::<[u8; 8]>(scales + at).add(v) }))
    };
    let sums: *mut v128 = with_exposed_provenance_mut(constants.hide(sums, half * 32));
    let of_weights = halves(0);
    let mins = if MINS { halves(mins_at) } else { of_weights };
    for row in 0..PANEL {
        let scale = load(&of_rows[row]);
        for v in 0..2 {
            unsafe {
                let out = sums.add(row * 4 + v);
                let product = f32x4_mul(f32x4_convert_i32x4(dots[row][v]), f32x4_mul(of_weights[v], scale));
                let mut sum = f32x4_add(*out, product);
                if MINS {
                    sum = f32x4_add(sum, f32x4_mul(mins[v], load(&sums_of_rows[row])));
                }
                *out = sum;
            }
        }
    }
}

/// Sixteen bytes.
#[inline(always)]
fn load<T: Pod>(from: &[T; 4]) -> v128 {
    const { assert!(size_of::<T>() == 4) };
    // SAFETY: the array has 16 bytes, as the line above checks; a load needs no alignment.
    unsafe { v128_load(from.as_ptr().cast()) }
}
