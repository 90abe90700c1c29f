//! Signed bytes by the relaxed dot product.
//!
//! `i32x4.relaxed_dot_i8x16_i7x16_add` multiplies signed bytes with what has seven bits. What it does with eight is the machine's choice:
//! where that is of use a byte of weights is multiplied as it is, or moved up by 128; else as two nibbles of code + 128, which takes
//! twice the time.
#![allow(unsafe_code, reason = "intrinsics")]

use super::wasm::splat4;
use crate::cpu::input::Forms;
use crate::cpu::panels::PanelForms;
use std::arch::wasm32::{
    i8x16_splat, i32x4_extract_lane, i32x4_relaxed_dot_i8x16_i7x16_add, i32x4_splat, u8x16_splat, u16x8_shr, v128,
    v128_and, v128_load, v128_xor,
};
use std::hint::black_box;

type V = [v128; 4];

/// How the instruction takes its second operand where that has eight bits: by the standard it may be any of these, and always the same
/// one on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecondOperand {
    /// 0..=255 (AVX-VNNI)
    Unsigned,
    /// -128..=127 (AArch64, AVX-VNNI-INT8)
    Signed,
    /// Or it is not to be relied on: sums of two products that end at 16 bits (`pmaddubsw`).
    SevenBits,
}

impl SecondOperand {
    /// As it is here.
    pub(super) fn detect() -> Self {
        let [first, second] = black_box([127_i8, -56]);
        let dot = i32x4_relaxed_dot_i8x16_i7x16_add(i8x16_splat(first), i8x16_splat(second), i32x4_splat(0));
        match i32x4_extract_lane::<0>(dot) {
            sum if sum == 4 * 127 * 200 => Self::Unsigned,
            sum if sum == 4 * 127 * -56 => Self::Signed,
            _ => Self::SevenBits,
        }
    }

    /// What is made of rows for kernels that multiply them so.
    pub(super) fn forms(self, forms: Forms) -> PanelForms {
        PanelForms { panels: forms.four || forms.eight, signs: forms.eight && self == Self::SevenBits }
    }
}

/// Of bytes of weights as they are, or moved up: the sum, and nothing.
#[inline(always)]
pub(super) fn byte_dots<const M: usize>(
    operand: SecondOperand,
    codes: &[[u8; 64]],
    activations: [&[[i8; 4]]; M],
) -> [[V; 2]; M] {
    let up = u8x16_splat(if operand == SecondOperand::Unsigned { 128 } else { 0 });
    let zero = [i32x4_splat(0); 4];
    let mut sums = [zero; M];
    for (four, codes) in codes.iter().enumerate() {
        let (vectors, _) = codes.as_chunks();
        for v in 0..4 {
            let codes = v128_xor(load(&vectors[v]), up);
            for m in 0..M {
                sums[m][v] = i32x4_relaxed_dot_i8x16_i7x16_add(splat4(&activations[m][four]), codes, sums[m][v]);
            }
        }
    }
    sums.map(|sum| [sum, zero])
}

/// Of code + 128 = 16 * high + low: the sums of the high nibbles, and of the low ones.
#[inline(always)]
pub(super) fn nibble_dots<const M: usize>(codes: &[[u8; 64]], activations: [&[[i8; 4]]; M]) -> [[V; 2]; M] {
    // One vector of the four at a time: two sums of each of four rows are as many as there is room for.
    let dot = i32x4_relaxed_dot_i8x16_i7x16_add;
    let mut sums = [[[i32x4_splat(0); 4]; 2]; M];
    for v in 0..4 {
        let mut part = [[i32x4_splat(0); 2]; M];
        for (four, codes) in codes.iter().enumerate() {
            let (vectors, _) = codes.as_chunks();
            let unsigned = v128_xor(load(&vectors[v]), u8x16_splat(128));
            let [high, low] = [v128_and(u16x8_shr(unsigned, 4), u8x16_splat(15)), v128_and(unsigned, u8x16_splat(15))];
            for m in 0..M {
                let four_times = splat4(&activations[m][four]);
                part[m] = [dot(four_times, high, part[m][0]), dot(four_times, low, part[m][1])];
            }
        }
        for m in 0..M {
            (sums[m][0][v], sums[m][1][v]) = (part[m][0], part[m][1]);
        }
    }
    sums
}

#[inline(always)]
fn load(from: &[u8; 16]) -> v128 {
    // SAFETY: the array has 16 bytes; a load needs no alignment.
    unsafe { v128_load(from.as_ptr().cast()) }
}
