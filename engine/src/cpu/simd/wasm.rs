//! Four registers of 128 bits.
//!
//! With relaxed SIMD, `i32x4.relaxed_dot_i8x16_i7x16_add` is one instruction on processors that have a dot product. Its second
//! operand has seven bits, where it means the same everywhere: 4-bit codes fit; of signed bytes see `relaxed.rs`. Without, products are widened: those of 4-bit codes stay in 16 bits for a whole block (at most
//! 8 * 15 * 127), and signed bytes are multiplied in pairs of 16 bits.
#![allow(unsafe_code, reason = "intrinsics")]

use super::{Kernel, LANES, Simd};
#[cfg(target_feature = "relaxed-simd")]
use super::{
    panels,
    relaxed::{self, SecondOperand},
};
#[cfg(target_feature = "relaxed-simd")]
use crate::cpu::{
    input::Forms,
    panels::{PANEL, Panel, PanelForms, Signs},
    tiles::Vector,
};
use std::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_div, f32x4_mul, f32x4_nearest, f32x4_pmax, f32x4_pmin, f32x4_splat,
    f32x4_sub, i8x16_narrow_i16x8, i16x8_narrow_i32x4, i32x4_add, i32x4_extract_lane, i32x4_load_extend_i16x4,
    i32x4_max, i32x4_shl, i32x4_shuffle, i32x4_splat, i32x4_sub, i32x4_trunc_sat_f32x4, u8x16_splat, u16x8_shr, v128,
    v128_and, v128_load, v128_load32_splat, v128_store,
};
#[cfg(target_feature = "relaxed-simd")]
use std::arch::wasm32::{f32x4_relaxed_madd, i32x4_relaxed_dot_i8x16_i7x16_add, v128_xor};
#[cfg(not(target_feature = "relaxed-simd"))]
use std::arch::wasm32::{
    i16x8_add, i16x8_extend_high_i8x16, i16x8_extend_low_i8x16, i16x8_extmul_high_i8x16, i16x8_extmul_low_i8x16,
    i32x4_dot_i16x8, i32x4_extadd_pairwise_i16x8,
};
use std::arch::wasm32::{i32x4_eq, i32x4_extend_high_i16x8, i32x4_extend_low_i16x8, v128_or};

/// `simd128`, with `relaxed-simd` where the module was compiled for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wasm {
    #[cfg(target_feature = "relaxed-simd")]
    operand: SecondOperand,
}

type V = [v128; 4];

macro_rules! four {
    (|$a:ident, $b:ident| $call:expr) => {{
        let (a, b) = ($a, $b);
        [
            {
                let ($a, $b) = (a[0], b[0]);
                $call
            },
            {
                let ($a, $b) = (a[1], b[1]);
                $call
            },
            {
                let ($a, $b) = (a[2], b[2]);
                $call
            },
            {
                let ($a, $b) = (a[3], b[3]);
                $call
            },
        ]
    }};
    (|$x:ident| $call:expr) => {{
        let x = $x;
        [
            {
                let $x = x[0];
                $call
            },
            {
                let $x = x[1];
                $call
            },
            {
                let $x = x[2];
                $call
            },
            {
                let $x = x[3];
                $call
            },
        ]
    }};
}

/// Four vectors of an array of 64 bytes.
#[inline(always)]
fn load<T, const N: usize>(from: &[T; N]) -> V {
    const { assert!(size_of::<T>() * N == 64) };
    let from = from.as_ptr().cast::<v128>();
    // SAFETY: the array has 64 bytes, as the line above checks; a load needs no alignment.
    unsafe { [v128_load(from), v128_load(from.add(1)), v128_load(from.add(2)), v128_load(from.add(3))] }
}

#[inline(always)]
fn store<T, const N: usize>(x: V, to: &mut [T; N]) {
    const { assert!(size_of::<T>() * N == 64) };
    let to = to.as_mut_ptr().cast::<v128>();
    // SAFETY: the array has 64 bytes, as the line above checks, and any bits are f32 or i32; a store needs no alignment.
    unsafe {
        v128_store(to, x[0]);
        v128_store(to.add(1), x[1]);
        v128_store(to.add(2), x[2]);
        v128_store(to.add(3), x[3]);
    }
}

/// Two vectors of sixteen halves each, widened with their signs to four.
#[inline(always)]
fn widened(from: &[u8; 32]) -> V {
    let from = from.as_ptr().cast::<v128>();
    // SAFETY: the array has 32 bytes; a load needs no alignment.
    let (low, high) = unsafe { (v128_load(from), v128_load(from.add(1))) };
    [
        i32x4_extend_low_i16x8(low),
        i32x4_extend_high_i16x8(low),
        i32x4_extend_low_i16x8(high),
        i32x4_extend_high_i16x8(high),
    ]
}

/// Of a half that is widened with its sign and shifted by 13: the bits that are in their places then, and 2^112 as bits of an f32,
/// by which its exponent is too small.
pub(super) const PLACED_HALF: [i32; 2] = [0x8fff_e000_u32 as i32, (127 + 112) << 23];

/// Four halves that are finite.
#[inline(always)]
fn load_scales(from: &[u8; 8]) -> v128 {
    // SAFETY: the array has eight bytes; a load needs no alignment.
    let wide = unsafe { i32x4_load_extend_i16x4(from.as_ptr().cast()) };
    let [half, power] = PLACED_HALF.map(|bits| i32x4_splat(bits));
    f32x4_mul(v128_and(i32x4_shl(wide, 13), half), power)
}

/// Four activations, four times.
#[inline(always)]
pub(super) fn splat4(from: &[i8; 4]) -> v128 {
    // SAFETY: the array has four bytes; a load needs no alignment.
    unsafe { v128_load32_splat(from.as_ptr().cast()) }
}

/// Sums of 32 bits of neighbours: `[a0 + a1, a2 + a3, b0 + b1, b2 + b3]`.
#[cfg(not(target_feature = "relaxed-simd"))]
#[inline(always)]
fn pairwise(a: v128, b: v128) -> v128 {
    i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b))
}

impl Wasm {
    /// With nothing but what is so everywhere.
    #[cfg(target_feature = "relaxed-simd")]
    pub(super) fn seven_bits() -> Self {
        Self { operand: SecondOperand::SevenBits }
    }

    /// As it is here.
    pub(super) fn detect() -> Self {
        Self {
            #[cfg(target_feature = "relaxed-simd")]
            operand: SecondOperand::detect(),
        }
    }
}

impl Simd for Wasm {
    type F = V;
    type I = V;
    type B = V;
    #[cfg(target_feature = "relaxed-simd")]
    type Four = V;
    /// Products of 16 bits: of the first two rows of a vector, and of the other two.
    #[cfg(not(target_feature = "relaxed-simd"))]
    type Four = [V; 2];
    /// Of the high nibbles, and of the low ones; where whole bytes can be multiplied, the sum as it is, and nothing.
    #[cfg(target_feature = "relaxed-simd")]
    type Eight = [V; 2];
    /// Sums of two products: of the first two rows of a vector, and of the other two.
    #[cfg(not(target_feature = "relaxed-simd"))]
    type Eight = [V; 2];
    const FUSED: bool = cfg!(target_feature = "relaxed-simd");
    const ROWS: usize = 2;
    const QUERIES: usize = 2;
    const VALUES: usize = 1;
    #[cfg(target_feature = "relaxed-simd")]
    const ROWS_OF_PIECE: usize = panels::ROWS;

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [f32x4_splat(x); 4]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> V {
        load(from)
    }
    #[inline(always)]
    fn store(self, x: V, to: &mut [f32; LANES]) {
        store(x, to);
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8; 32]) -> V {
        let wide = widened(from);
        // Exponent and mantissa in their places, the exponent 112 too small; where it was all ones it is to be that again.
        let placed = four!(|wide| v128_and(i32x4_shl(wide, 13), i32x4_splat(0x8fff_e000_u32 as i32)));
        let numbers = four!(|placed| f32x4_mul(placed, f32x4_splat(f32::from_bits((127 + 112) << 23))));
        let top = i32x4_splat(0x0f80_0000);
        let endless = four!(|placed| v128_and(i32x4_eq(v128_and(placed, top), top), i32x4_splat(0x7f80_0000)));
        four!(|numbers, endless| v128_or(numbers, endless))
    }
    #[inline(always)]
    fn load_scales(self, from: &[u8; 32]) -> V {
        let (fours, _) = from.as_chunks();
        [load_scales(&fours[0]), load_scales(&fours[1]), load_scales(&fours[2]), load_scales(&fours[3])]
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u8; 32]) -> V {
        let wide = widened(from);
        four!(|wide| i32x4_shl(wide, 16))
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        four!(|a, b| f32x4_add(a, b))
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        four!(|a, b| f32x4_sub(a, b))
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        four!(|a, b| f32x4_mul(a, b))
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn mul_add(self, a: V, b: V, c: V) -> V {
        let fused = f32x4_relaxed_madd;
        [fused(a[0], b[0], c[0]), fused(a[1], b[1], c[1]), fused(a[2], b[2], c[2]), fused(a[3], b[3], c[3])]
    }
    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn mul_add(self, a: V, b: V, c: V) -> V {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        four!(|a, b| f32x4_div(a, b))
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        // The pseudo-maximum of b and a: a if b < a, else b.
        four!(|a, b| f32x4_pmax(b, a))
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        four!(|a, b| f32x4_pmin(b, a))
    }
    #[inline(always)]
    fn round(self, x: V) -> V {
        four!(|x| i32x4_trunc_sat_f32x4(f32x4_nearest(x)))
    }
    #[inline(always)]
    fn to_f32(self, x: V) -> V {
        four!(|x| f32x4_convert_i32x4(x))
    }
    #[inline(always)]
    fn bits(self, x: V) -> V {
        x
    }
    #[inline(always)]
    fn of_bits(self, x: V) -> V {
        x
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> V {
        [i32x4_splat(x); 4]
    }
    #[inline(always)]
    fn words(self, from: &[u8; 64]) -> V {
        load(from)
    }
    #[inline(always)]
    fn store_i32(self, x: V, to: &mut [i32; LANES]) {
        store(x, to);
    }
    #[inline(always)]
    fn add_i32(self, a: V, b: V) -> V {
        four!(|a, b| i32x4_add(a, b))
    }
    #[inline(always)]
    fn sub_i32(self, a: V, b: V) -> V {
        four!(|a, b| i32x4_sub(a, b))
    }
    #[inline(always)]
    fn and_i32(self, a: V, b: V) -> V {
        four!(|a, b| v128_and(a, b))
    }
    #[inline(always)]
    fn max_i32(self, a: V, b: V) -> V {
        four!(|a, b| i32x4_max(a, b))
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, x: V) -> V {
        four!(|x| i32x4_shl(x, BITS))
    }

    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> V {
        load(from)
    }
    #[inline(always)]
    fn low_nibbles(self, x: V) -> V {
        four!(|x| v128_and(x, u8x16_splat(15)))
    }
    #[inline(always)]
    fn high_nibbles(self, x: V) -> V {
        // Shifted in pairs: V8 has no shift of bytes, and makes its mask anew for each.
        four!(|x| v128_and(u16x8_shr(x, 4), u8x16_splat(15)))
    }
    #[inline(always)]
    fn four_times(self, activations: [i8; 4]) -> V {
        [splat4(&activations); 4]
    }

    #[inline(always)]
    fn narrow(self, x: V) -> [i8; LANES] {
        let bytes = i8x16_narrow_i16x8(i16x8_narrow_i32x4(x[0], x[1]), i16x8_narrow_i32x4(x[2], x[3]));
        let mut out = [0; LANES];
        // SAFETY: the array has 16 bytes; a store needs no alignment.
        unsafe { v128_store(out.as_mut_ptr().cast(), bytes) };
        out
    }
    #[inline(always)]
    fn total_i32(self, x: V) -> i32 {
        let sum = i32x4_add(i32x4_add(x[0], x[1]), i32x4_add(x[2], x[3]));
        let pairs = i32x4_add(sum, i32x4_shuffle::<2, 3, 0, 1>(sum, sum));
        i32x4_extract_lane::<0>(pairs).wrapping_add(i32x4_extract_lane::<1>(pairs))
    }
    #[inline(always)]
    fn largest_i32(self, x: V) -> i32 {
        let most = i32x4_max(i32x4_max(x[0], x[1]), i32x4_max(x[2], x[3]));
        let pairs = i32x4_max(most, i32x4_shuffle::<2, 3, 0, 1>(most, most));
        i32x4_extract_lane::<0>(pairs).max(i32x4_extract_lane::<1>(pairs))
    }

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn panel_forms(self, forms: Forms) -> PanelForms {
        self.operand.forms(forms)
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn panel_sums<const BITS: u32, const GROUP: u32, const MINS: bool>(
        self,
        tile: &[u8],
        panels: (&[Panel], &[Signs]),
        sums: &mut [Vector; PANEL],
    ) {
        panels::panel_sums::<BITS, GROUP, MINS>(self.operand, tile, panels, sums);
    }

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn four_zero(self) -> V {
        self.splat_i32(0)
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn four_add(self, sum: V, codes: V, activations: V) -> V {
        let dot = i32x4_relaxed_dot_i8x16_i7x16_add;
        [
            dot(activations[0], codes[0], sum[0]),
            dot(activations[1], codes[1], sum[1]),
            dot(activations[2], codes[2], sum[2]),
            dot(activations[3], codes[3], sum[3]),
        ]
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn four_sum(self, sum: V) -> V {
        sum
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn eight_zero(self) -> [V; 2] {
        [self.splat_i32(0); 2]
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn eight_add(self, sum: [V; 2], codes: V, activations: V) -> [V; 2] {
        // code + 128 = 16 * high + low, both unsigned.
        let unsigned = four!(|codes| v128_xor(codes, u8x16_splat(128)));
        [
            self.four_add(sum[0], self.high_nibbles(unsigned), activations),
            self.four_add(sum[1], self.low_nibbles(unsigned), activations),
        ]
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn eight_dots<const M: usize>(self, codes: &[[u8; 64]], activations: [&[[i8; 4]]; M]) -> [[V; 2]; M] {
        match self.operand {
            SecondOperand::SevenBits => relaxed::nibble_dots(codes, activations),
            operand => relaxed::byte_dots(operand, codes, activations),
        }
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn eight_sum(self, sum: [V; 2], eight_times: i32) -> V {
        match self.operand {
            SecondOperand::Signed => sum[0],
            SecondOperand::Unsigned => self.sub_i32(sum[0], self.splat_i32(eight_times << 4)),
            SecondOperand::SevenBits => {
                let high = self.sub_i32(sum[0], self.splat_i32(eight_times));
                self.add_i32(self.shift_left::<4>(high), sum[1])
            }
        }
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn four_zero(self) -> [V; 2] {
        [self.splat_i32(0); 2]
    }
    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn four_add(self, sum: [V; 2], codes: V, activations: V) -> [V; 2] {
        let low = four!(|codes, activations| i16x8_extmul_low_i8x16(codes, activations));
        let high = four!(|codes, activations| i16x8_extmul_high_i8x16(codes, activations));
        let (a, b) = (sum[0], sum[1]);
        [four!(|a, low| i16x8_add(a, low)), four!(|b, high| i16x8_add(b, high))]
    }
    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn four_sum(self, sum: [V; 2]) -> V {
        let (a, b) = (sum[0], sum[1]);
        four!(|a, b| pairwise(i32x4_extadd_pairwise_i16x8(a), i32x4_extadd_pairwise_i16x8(b)))
    }
    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn eight_zero(self) -> [V; 2] {
        [self.splat_i32(0); 2]
    }
    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn eight_add(self, sum: [V; 2], codes: V, activations: V) -> [V; 2] {
        // The activations of a `four_times` are the same throughout.
        let four = i16x8_extend_low_i8x16(activations[0]);
        let low = four!(|codes| i32x4_dot_i16x8(i16x8_extend_low_i8x16(codes), four));
        let high = four!(|codes| i32x4_dot_i16x8(i16x8_extend_high_i8x16(codes), four));
        let (a, b) = (sum[0], sum[1]);
        [four!(|a, low| i32x4_add(a, low)), four!(|b, high| i32x4_add(b, high))]
    }
    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn eight_sum(self, sum: [V; 2], _eight_times: i32) -> V {
        let (a, b) = (sum[0], sum[1]);
        four!(|a, b| pairwise(a, b))
    }
}
