//! Four registers of 128 bits, with the dot products of Armv8.2 where the processor has them.
//!
//! Without, products are widened: those of 4-bit codes stay in 16 bits for a whole block (at most 8 * 15 * 127), those of
//! signed bytes are added up in pairs of 32 bits. `sdot` is written in assembly: its intrinsic is not stable yet.
#![allow(unsafe_code, reason = "intrinsics")]

use super::{Kernel, LANES, Simd};
use std::arch::aarch64::{
    float32x4_t, int8x16_t, int16x8_t, int32x4_t, vaddq_f32, vaddq_s32, vandq_s8, vandq_s32, vbslq_f32, vcgtq_f32,
    vcltq_f32, vcvtnq_s32_f32, vcvtq_f32_s32, vdivq_f32, vdupq_n_f32, vdupq_n_s8, vdupq_n_s16, vdupq_n_s32, vfmaq_f32,
    vget_low_s8, vld1q_f32, vld1q_s8, vmaxq_s32, vmlal_high_s8, vmlal_s8, vmull_high_s8, vmull_s8, vmulq_f32,
    vpadalq_s16, vpaddlq_s16, vpaddq_s32, vreinterpretq_f32_s32, vreinterpretq_s8_s32, vreinterpretq_s8_u8,
    vreinterpretq_s32_f32, vreinterpretq_s32_s8, vreinterpretq_u8_s8, vshlq_s32, vshrq_n_u8, vst1q_f32, vst1q_s32,
    vsubq_f32, vsubq_s32,
};
use std::arch::asm;

/// NEON, which every aarch64 has; with `DOT`, `sdot`. There is one only if a `detect` made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon<const DOT: bool>(());

macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: `detect` found the instruction set, or there would be no `self`; pointers are into arrays of the size that is
        // read or written, which need no alignment.
        unsafe { $call }
    };
}

/// A macro and not a function of a closure: a closure might not be inlined, and its intrinsics then neither.
macro_rules! four {
    (|$a:ident, $b:ident, $c:ident| $call:expr) => {{
        let (a, b, c) = ($a, $b, $c);
        four!(@ i {
            let ($a, $b, $c) = (a[i], b[i], c[i]);
            intrinsic!($call)
        })
    }};
    (|$a:ident, $b:ident| $call:expr) => {{
        let (a, b) = ($a, $b);
        four!(@ i {
            let ($a, $b) = (a[i], b[i]);
            intrinsic!($call)
        })
    }};
    (|$x:ident| $call:expr) => {{
        let x = $x;
        four!(@ i {
            let $x = x[i];
            intrinsic!($call)
        })
    }};
    (@ $i:ident $body:block) => {
        [
            {
                let $i = 0;
                $body
            },
            {
                let $i = 1;
                $body
            },
            {
                let $i = 2;
                $body
            },
            {
                let $i = 3;
                $body
            },
        ]
    };
}

impl Neon<false> {
    /// If the processor has it.
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Neon<true> {
    /// If the processor has it.
    pub(super) fn detect_dot() -> Option<Self> {
        (Neon::detect().is_some() && std::arch::is_aarch64_feature_detected!("dotprod")).then_some(Self(()))
    }
}

impl<const DOT: bool> Neon<DOT> {
    #[target_feature(enable = "neon")]
    fn compiled_for<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[target_feature(enable = "neon,dotprod")]
    fn compiled_for_dot<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

type F = [float32x4_t; 4];
type I = [int32x4_t; 4];
type B = [int8x16_t; 4];

/// sum + the dot products of four bytes each.
#[inline(always)]
fn sdot(sum: I, codes: B, activations: B) -> I {
    let dot = |mut sum: int32x4_t, codes: int8x16_t, activations: int8x16_t| {
        // SAFETY: the processor has `dotprod`: called for `Neon<true>` only. Registers in, a register out.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {codes:v}.16b, {activations:v}.16b",
                sum = inout(vreg) sum,
                codes = in(vreg) codes,
                activations = in(vreg) activations,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    };
    [0, 1, 2, 3].map(|i| dot(sum[i], codes[i], activations[i]))
}

impl<const DOT: bool> Simd for Neon<DOT> {
    type F = F;
    type I = I;
    type B = B;
    /// With `DOT` sums in `wide`, without products in `narrow`: of the first two rows of a vector, and of the other two.
    type Four = FourSum;
    /// With `DOT` sums in the first; without, sums of two products: of the first two rows of a vector, and of the other two.
    type Eight = [I; 2];
    const ROWS: usize = 4;

    #[inline]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        if DOT { intrinsic!(self.compiled_for_dot(kernel)) } else { intrinsic!(self.compiled_for(kernel)) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [intrinsic!(vdupq_n_f32(x)); 4]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F {
        let from = from.as_ptr();
        intrinsic!([vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))])
    }
    #[inline(always)]
    fn store(self, x: F, to: &mut [f32; LANES]) {
        let to = to.as_mut_ptr();
        intrinsic!({
            vst1q_f32(to, x[0]);
            vst1q_f32(to.add(4), x[1]);
            vst1q_f32(to.add(8), x[2]);
            vst1q_f32(to.add(12), x[3]);
        });
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8; 32]) -> F {
        // By `fcvtl` of the crate `half`, four at a time.
        let mut wide = [0.0; LANES];
        let halves: [half::f16; LANES] =
            std::array::from_fn(|i| half::f16::from_le_bytes([from[i * 2], from[i * 2 + 1]]));
        half::slice::HalfFloatSliceExt::convert_to_f32_slice(&halves[..], &mut wide);
        self.load(&wide)
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u8; 32]) -> F {
        let wide = std::array::from_fn(|i| {
            f32::from_bits(u32::from(u16::from_le_bytes([from[i * 2], from[i * 2 + 1]])) << 16)
        });
        self.load(&wide)
    }
    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        four!(|a, b| vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        four!(|a, b| vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        four!(|a, b| vmulq_f32(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: F, b: F, c: F) -> F {
        four!(|a, b, c| vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        four!(|a, b| vdivq_f32(a, b))
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        four!(|a, b| vbslq_f32(vcgtq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        four!(|a, b| vbslq_f32(vcltq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn round(self, x: F) -> I {
        four!(|x| vcvtnq_s32_f32(x))
    }
    #[inline(always)]
    fn to_f32(self, x: I) -> F {
        four!(|x| vcvtq_f32_s32(x))
    }
    #[inline(always)]
    fn bits(self, x: F) -> I {
        four!(|x| vreinterpretq_s32_f32(x))
    }
    #[inline(always)]
    fn of_bits(self, x: I) -> F {
        four!(|x| vreinterpretq_f32_s32(x))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> I {
        [intrinsic!(vdupq_n_s32(x)); 4]
    }
    #[inline(always)]
    fn words(self, from: &[u8; 64]) -> I {
        let bytes = self.bytes(from);
        four!(|bytes| vreinterpretq_s32_s8(bytes))
    }
    #[inline(always)]
    fn store_i32(self, x: I, to: &mut [i32; LANES]) {
        let to = to.as_mut_ptr();
        intrinsic!({
            vst1q_s32(to, x[0]);
            vst1q_s32(to.add(4), x[1]);
            vst1q_s32(to.add(8), x[2]);
            vst1q_s32(to.add(12), x[3]);
        });
    }
    #[inline(always)]
    fn add_i32(self, a: I, b: I) -> I {
        four!(|a, b| vaddq_s32(a, b))
    }
    #[inline(always)]
    fn sub_i32(self, a: I, b: I) -> I {
        four!(|a, b| vsubq_s32(a, b))
    }
    #[inline(always)]
    fn and_i32(self, a: I, b: I) -> I {
        four!(|a, b| vandq_s32(a, b))
    }
    #[inline(always)]
    fn max_i32(self, a: I, b: I) -> I {
        four!(|a, b| vmaxq_s32(a, b))
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, x: I) -> I {
        four!(|x| vshlq_s32(x, vdupq_n_s32(BITS as i32)))
    }

    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> B {
        let from = from.as_ptr().cast();
        intrinsic!([vld1q_s8(from), vld1q_s8(from.add(16)), vld1q_s8(from.add(32)), vld1q_s8(from.add(48))])
    }
    #[inline(always)]
    fn low_nibbles(self, x: B) -> B {
        four!(|x| vandq_s8(x, vdupq_n_s8(15)))
    }
    #[inline(always)]
    fn high_nibbles(self, x: B) -> B {
        four!(|x| vreinterpretq_s8_u8(vshrq_n_u8::<4>(vreinterpretq_u8_s8(x))))
    }
    #[inline(always)]
    fn four_times(self, activations: [i8; 4]) -> B {
        let four = i32::from_le_bytes(activations.map(|x| x as u8));
        [intrinsic!(vreinterpretq_s8_s32(vdupq_n_s32(four))); 4]
    }
    #[inline(always)]
    fn four_zero(self) -> FourSum {
        FourSum { wide: self.splat_i32(0), narrow: [[intrinsic!(vdupq_n_s16(0)); 4]; 2] }
    }
    #[inline(always)]
    fn four_add(self, sum: FourSum, codes: B, activations: B) -> FourSum {
        if DOT {
            return FourSum { wide: sdot(sum.wide, codes, activations), ..sum };
        }
        let [low, high] = sum.narrow;
        let low = four!(|low, codes, activations| vmlal_s8(low, vget_low_s8(codes), vget_low_s8(activations)));
        let high = four!(|high, codes, activations| vmlal_high_s8(high, codes, activations));
        FourSum { narrow: [low, high], ..sum }
    }
    #[inline(always)]
    fn four_sum(self, sum: FourSum) -> I {
        if DOT {
            return sum.wide;
        }
        let [low, high] = sum.narrow;
        four!(|low, high| vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)))
    }
    #[inline(always)]
    fn eight_zero(self) -> [I; 2] {
        [self.splat_i32(0); 2]
    }
    #[inline(always)]
    fn eight_add(self, sum: [I; 2], codes: B, activations: B) -> [I; 2] {
        let [low, high] = sum;
        if DOT {
            return [sdot(low, codes, activations), high];
        }
        let low = four!(|low, codes, activations| {
            vpadalq_s16(low, vmull_s8(vget_low_s8(codes), vget_low_s8(activations)))
        });
        [low, four!(|high, codes, activations| vpadalq_s16(high, vmull_high_s8(codes, activations)))]
    }
    #[inline(always)]
    fn eight_sum(self, sum: [I; 2], _eight_times: i32) -> I {
        let [low, high] = sum;
        if DOT { low } else { four!(|low, high| vpaddq_s32(low, high)) }
    }
}

/// See [`Simd::Four`] of [`Neon`].
#[derive(Clone, Copy)]
pub(crate) struct FourSum {
    wide: I,
    narrow: [[int16x8_t; 4]; 2],
}
