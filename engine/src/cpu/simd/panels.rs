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
use crate::cpu::packed::{BlockParts, TILE};
use crate::cpu::product::array;
use crate::cpu::tiles::Vector;
use bytemuck::{Pod, Zeroable};
use std::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_mul, i32x4_add, i32x4_relaxed_dot_i8x16_i7x16_add, i32x4_splat, i32x4_sub,
    u8x16_splat, u16x8_shr, v128, v128_and, v128_load,
};
use std::hint::black_box;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

/// Rows of which panels are made at a time.
pub(super) const ROWS: usize = 16;

/// Four activations, or their scale or sum, in each lane.
type Lanes<T> = [T; 4];

/// A block for 4-bit weights.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Four {
    codes: [Lanes<[i8; 4]>; 8],
    scale: Lanes<f32>,
    sum: Lanes<f32>,
    /// What is added without minima, where a code stands for code - 8.
    start: Lanes<i32>,
    unused: Lanes<i32>,
}

/// A block for 8-bit weights.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Eight {
    /// Codes above zero.
    above: [Lanes<[i8; 4]>; 8],
    /// Codes below zero, negated.
    below: [Lanes<[i8; 4]>; 8],
    scale: Lanes<f32>,
    /// Of the block, and of its two groups of sixteen.
    sums: [Lanes<f32>; 3],
}

/// Up to [`ROWS`] rows.
#[derive(Default)]
pub(crate) struct Panels {
    rows: usize,
    /// `[blocks][rows]`; empty unless asked for.
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
        self.four.resize(if four { blocks.len() } else { 0 }, Zeroable::zeroed());
        self.eight.resize(if eight { blocks.len() } else { 0 }, Zeroable::zeroed());
        for (at, panel) in self.four.iter_mut().enumerate() {
            let block = &blocks[at % rows * width + at / rows];
            for (lanes, codes) in panel.codes.iter_mut().zip(block.codes.as_chunks().0) {
                *lanes = [*codes; 4];
            }
            (panel.scale, panel.sum, panel.start) = ([block.scale; 4], [block.sum; 4], [-block.eight_sums[0]; 4]);
        }
        for (at, panel) in self.eight.iter_mut().enumerate() {
            let block = &blocks[at % rows * width + at / rows];
            let lanes = panel.above.iter_mut().zip(&mut panel.below);
            for ((above, below), codes) in lanes.zip(block.codes.as_chunks::<4>().0) {
                *above = [codes.map(|code| code.max(0)); 4];
                *below = [codes.map(|code| (-code).max(0)); 4];
            }
            panel.scale = [block.scale; 4];
            panel.sums = [[block.sum; 4], [block.group_sum::<16>(0); 4], [block.group_sum::<16>(1); 4]];
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
        let sums = &mut self.sums[..self.rows];
        sums.fill(Vector::default());
        let constants = &Constants::new();
        for (index, block) in tile.chunks_exact(parts.bytes).enumerate() {
            let panels = index * self.rows..(index + 1) * self.rows;
            let (codes, scales) = block.split_at(parts.codes);
            for v in 0..4 {
                // The halves of a group that belong to four weight rows.
                let halves = |group: usize| load_scales(array(scales, group * TILE * 2 + v * 8));
                if BITS == 4 {
                    let codes = nibbles(constants, array(codes, 0), v);
                    let mins = if MINS { halves(1) } else { constants.zero };
                    let weights = FourBits::<MINS> { codes, scales: halves(0), mins, zero: constants.zero };
                    each_row(constants, &weights, &self.four[panels.clone()], sums, v);
                    continue;
                }
                let panels = &self.eight[panels.clone()];
                for group in 0..parts.groups {
                    let (scales, zero) = (halves(group), constants.zero);
                    let mins = if MINS { halves(parts.groups + group) } else { zero };
                    if GROUP == 32 {
                        let codes = columns(codes, v);
                        let weights = EightBits::<8, MINS> { codes, scales, mins, zero, first: 0, sum: 0 };
                        each_row(constants, &weights, panels, sums, v);
                    } else {
                        let codes = columns(&codes[group * 256..], v);
                        let weights =
                            EightBits::<4, MINS> { codes, scales, mins, zero, first: group * 4, sum: 1 + group };
                        each_row(constants, &weights, panels, sums, v);
                    }
                }
            }
        }
        Some(sums)
    }
}

/// What V8 would put together with three instructions wherever it is used, if it knew it, and the compiler add to pointers.
struct Constants {
    fifteen: v128,
    zero: v128,
    all_ones: usize,
}

impl Constants {
    #[inline(always)]
    fn new() -> Self {
        Self { fifteen: black_box(u8x16_splat(15)), zero: black_box(i32x4_splat(0)), all_ones: black_box(usize::MAX) }
    }
}

/// One register of weights: four rows of a group of columns.
trait Register {
    type Panel: Pod;

    /// `sum` and what the weights come to with a panel's activations.
    fn add(&self, panel: &Self::Panel, sum: v128) -> v128;
}

struct FourBits<const MINS: bool> {
    codes: [v128; 8],
    scales: v128,
    mins: v128,
    zero: v128,
}

impl<const MINS: bool> Register for FourBits<MINS> {
    type Panel = Four;

    #[inline(always)]
    fn add(&self, panel: &Four, sum: v128) -> v128 {
        let [low, high] = halves(&self.codes);
        let [first, second] = halves(&panel.codes);
        let start = if MINS { self.zero } else { load(&panel.start) };
        let dots = i32x4_add(chain(low, first, start), chain(high, second, self.zero));
        let sum = f32x4_add(f32x4_mul(f32x4_convert_i32x4(dots), f32x4_mul(self.scales, load(&panel.scale))), sum);
        if MINS { f32x4_add(sum, f32x4_mul(self.mins, load(&panel.sum))) } else { sum }
    }
}

struct EightBits<const FOURS: usize, const MINS: bool> {
    codes: [v128; FOURS],
    scales: v128,
    mins: v128,
    zero: v128,
    /// Its first four columns.
    first: usize,
    /// Which of a panel's sums the minima are multiplied with.
    sum: usize,
}

impl<const FOURS: usize, const MINS: bool> Register for EightBits<FOURS, MINS> {
    type Panel = Eight;

    #[inline(always)]
    fn add(&self, panel: &Eight, sum: v128) -> v128 {
        let mut dots = self.zero;
        for (codes, at) in self.codes.as_chunks::<4>().0.iter().zip((self.first..).step_by(4)) {
            let [above, below] = [&panel.above, &panel.below].map(|all| &all.as_chunks::<4>().0[at / 4]);
            let signed = i32x4_sub(chain(codes, above, self.zero), chain(codes, below, self.zero));
            dots = if at == self.first { signed } else { i32x4_add(dots, signed) };
        }
        let sum = f32x4_add(f32x4_mul(f32x4_convert_i32x4(dots), f32x4_mul(self.scales, load(&panel.scale))), sum);
        if MINS { f32x4_add(sum, f32x4_mul(self.mins, load(&panel.sums[self.sum]))) } else { sum }
    }
}

/// Four dot products; a longer chain would have more operands than there are registers.
#[inline(always)]
fn chain(codes: &[v128; 4], activations: &[Lanes<[i8; 4]>; 4], start: v128) -> v128 {
    let mut sum = start;
    for (codes, activations) in codes.iter().zip(activations) {
        sum = i32x4_relaxed_dot_i8x16_i7x16_add(load(activations), *codes, sum);
    }
    sum
}

/// Adds what the weights come to with each panel to register `v` of its sums.
#[inline(always)]
fn each_row<W: Register>(constants: &Constants, weights: &W, panels: &[W::Panel], sums: &mut [Vector], v: usize) {
    let (fours, rest) = panels.as_chunks::<4>();
    let (sums_of_fours, sums_of_rest) = sums.as_chunks_mut::<4>();
    for (panels, sums) in fours.iter().zip(sums_of_fours) {
        some_rows(constants, weights, panels, sums, v);
    }
    for (panel, sums) in rest.iter().zip(sums_of_rest) {
        some_rows(constants, weights, std::array::from_ref(panel), std::array::from_mut(sums), v);
    }
}

#[inline(always)]
fn some_rows<W: Register, const N: usize>(
    constants: &Constants,
    weights: &W,
    panels: &[W::Panel; N],
    sums: &mut [Vector; N],
    v: usize,
) {
    let hide = |address: usize| address & constants.all_ones;
    let panels: *const W::Panel = with_exposed_provenance(hide(panels.as_ptr().expose_provenance()));
    let sums: *mut v128 = with_exposed_provenance_mut(hide(sums.as_mut_ptr().expose_provenance()) + v * 16);
    for row in 0..N {
        // SAFETY: the pointers are those of the arrays; a `Vector` is four v128, of which `v` is one.
        unsafe {
            let sum = sums.add(row * 4);
            *sum = weights.add(&*panels.add(row), *sum);
        }
    }
}

/// The 32 columns of four rows from the first pair's sixteen bytes on.
#[inline(always)]
fn nibbles(constants: &Constants, codes: &[u8; 256], v: usize) -> [v128; 8] {
    let pairs = columns::<4>(codes, v);
    let mut all = [constants.zero; 8];
    for (pair, both) in pairs.into_iter().enumerate() {
        all[pair * 2] = v128_and(both, constants.fifteen);
        all[pair * 2 + 1] = v128_and(u16x8_shr(both, 4), constants.fifteen);
    }
    all
}

/// Register `v` of each 64 bytes.
#[inline(always)]
fn columns<const N: usize>(codes: &[u8], v: usize) -> [v128; N] {
    std::array::from_fn(|i| load::<[i8; 4]>(bytemuck::cast_ref(array::<u8, 16>(codes, i * 64 + v * 16))))
}

/// Sixteen bytes.
#[inline(always)]
fn load<T: Pod>(from: &[T; 4]) -> v128 {
    const { assert!(size_of::<T>() == 4) };
    // SAFETY: the array has 16 bytes, as the line above checks; a load needs no alignment.
    unsafe { v128_load(from.as_ptr().cast()) }
}

#[inline(always)]
fn halves<T>(all: &[T; 8]) -> [&[T; 4]; 2] {
    let (fours, _) = all.as_chunks();
    [&fours[0], &fours[1]]
}
