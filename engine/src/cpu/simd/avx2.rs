//! Two registers of 256 bits, with the dot products of AVX-VNNI where the processor has them.
//!
//! Without, `vpmaddubsw` adds pairs of products in 16 bits. Eight of those pairs stay below 2^15 for codes up to 15, so that
//! one widening a block is enough; signed codes are multiplied as their magnitudes, the sign moved to the activations.
#![allow(unsafe_code, reason = "intrinsics")]

use super::{Kernel, LANES, Simd};
use std::arch::x86_64::{
    __m256, __m256i, _mm_cvtsi32_si128, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_add_ps,
    _mm256_and_si256, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cvtepi32_ps, _mm256_cvtepu16_epi32,
    _mm256_cvtph_ps, _mm256_cvtps_epi32, _mm256_div_ps, _mm256_dpbusd_avx_epi32, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_max_epi32, _mm256_max_ps, _mm256_min_ps,
    _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256,
    _mm256_sign_epi8, _mm256_sll_epi32, _mm256_slli_epi32, _mm256_srli_epi16, _mm256_storeu_ps, _mm256_storeu_si256,
    _mm256_sub_epi32, _mm256_sub_ps, _mm256_xor_si256,
};

/// AVX2, F16C and FMA: Haswell, Zen and later; with `VNNI`, Alder Lake, Zen 5 and later. There is one only if a `detect` made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2<const VNNI: bool>(());

macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: `detect` found the instruction set, or there would be no `self`; pointers are of references to arrays of the
        // size that is read or written, which need no alignment.
        unsafe { $call }
    };
}

impl Avx2<false> {
    /// If the processor has it.
    pub(super) fn detect() -> Option<Self> {
        let has =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }
}

impl Avx2<true> {
    /// If the processor has it.
    pub(super) fn detect_vnni() -> Option<Self> {
        (Avx2::detect().is_some() && is_x86_feature_detected!("avxvnni")).then_some(Self(()))
    }
}

impl<const VNNI: bool> Avx2<VNNI> {
    #[target_feature(enable = "avx2,f16c,fma")]
    fn compiled_for_avx2<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[target_feature(enable = "avx2,f16c,fma,avxvnni")]
    fn compiled_for_vnni<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

type F = [__m256; 2];
type I = [__m256i; 2];

/// A macro and not a function of a closure: a closure might not be inlined, and its intrinsics then neither.
macro_rules! both {
    (|$a:ident, $b:ident| $call:expr) => {{
        let (a, b) = ($a, $b);
        [
            {
                let ($a, $b) = (a[0], b[0]);
                intrinsic!($call)
            },
            {
                let ($a, $b) = (a[1], b[1]);
                intrinsic!($call)
            },
        ]
    }};
    (|$x:ident| $call:expr) => {{
        let x = $x;
        [
            {
                let $x = x[0];
                intrinsic!($call)
            },
            {
                let $x = x[1];
                intrinsic!($call)
            },
        ]
    }};
}

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    type F = F;
    type I = I;
    type B = I;
    type Four = I;
    type Eight = I;
    const ROWS: usize = 4;

    #[inline]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        if VNNI { intrinsic!(self.compiled_for_vnni(kernel)) } else { intrinsic!(self.compiled_for_avx2(kernel)) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [intrinsic!(_mm256_set1_ps(x)); 2]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F {
        let half = halves(from);
        both!(|half| _mm256_loadu_ps(half.as_ptr()))
    }
    #[inline(always)]
    fn store(self, x: F, to: &mut [f32; LANES]) {
        let (low, high) = to.split_at_mut(8);
        intrinsic!({
            _mm256_storeu_ps(low.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(high.as_mut_ptr(), x[1]);
        });
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8; 32]) -> F {
        let half = halves(from);
        both!(|half| _mm256_cvtph_ps(_mm_loadu_si128(half.as_ptr().cast())))
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u8; 32]) -> F {
        let half = halves(from);
        both!(|half| {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(half.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        })
    }
    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        both!(|a, b| _mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        both!(|a, b| _mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        both!(|a, b| _mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: F, b: F, c: F) -> F {
        [intrinsic!(_mm256_fmadd_ps(a[0], b[0], c[0])), intrinsic!(_mm256_fmadd_ps(a[1], b[1], c[1]))]
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        both!(|a, b| _mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        both!(|a, b| _mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        both!(|a, b| _mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, x: F) -> I {
        both!(|x| _mm256_cvtps_epi32(x))
    }
    #[inline(always)]
    fn to_f32(self, x: I) -> F {
        both!(|x| _mm256_cvtepi32_ps(x))
    }
    #[inline(always)]
    fn bits(self, x: F) -> I {
        both!(|x| _mm256_castps_si256(x))
    }
    #[inline(always)]
    fn of_bits(self, x: I) -> F {
        both!(|x| _mm256_castsi256_ps(x))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> I {
        [intrinsic!(_mm256_set1_epi32(x)); 2]
    }
    #[inline(always)]
    fn words(self, from: &[u8; 64]) -> I {
        self.bytes(from)
    }
    #[inline(always)]
    fn store_i32(self, x: I, to: &mut [i32; LANES]) {
        let (low, high) = to.split_at_mut(8);
        intrinsic!({
            _mm256_storeu_si256(low.as_mut_ptr().cast(), x[0]);
            _mm256_storeu_si256(high.as_mut_ptr().cast(), x[1]);
        });
    }
    #[inline(always)]
    fn add_i32(self, a: I, b: I) -> I {
        both!(|a, b| _mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub_i32(self, a: I, b: I) -> I {
        both!(|a, b| _mm256_sub_epi32(a, b))
    }
    #[inline(always)]
    fn and_i32(self, a: I, b: I) -> I {
        both!(|a, b| _mm256_and_si256(a, b))
    }
    #[inline(always)]
    fn max_i32(self, a: I, b: I) -> I {
        both!(|a, b| _mm256_max_epi32(a, b))
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, x: I) -> I {
        both!(|x| _mm256_sll_epi32(x, _mm_cvtsi32_si128(BITS as i32)))
    }

    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> I {
        let half = halves(from);
        both!(|half| _mm256_loadu_si256(half.as_ptr().cast()))
    }
    #[inline(always)]
    fn low_nibbles(self, x: I) -> I {
        both!(|x| _mm256_and_si256(x, _mm256_set1_epi8(15)))
    }
    #[inline(always)]
    fn high_nibbles(self, x: I) -> I {
        both!(|x| _mm256_and_si256(_mm256_srli_epi16::<4>(x), _mm256_set1_epi8(15)))
    }
    #[inline(always)]
    fn four_times(self, activations: [i8; 4]) -> I {
        self.splat_i32(i32::from_le_bytes(activations.map(|x| x as u8)))
    }
    #[inline(always)]
    fn four_zero(self) -> I {
        [intrinsic!(_mm256_setzero_si256()); 2]
    }
    #[inline(always)]
    fn four_add(self, sum: I, codes: I, activations: I) -> I {
        if VNNI {
            return dpbusd(sum, codes, activations);
        }
        // At most 8 * 2 * 15 * 127 = 30480.
        let pairs = both!(|codes, activations| _mm256_maddubs_epi16(codes, activations));
        both!(|sum, pairs| _mm256_add_epi16(sum, pairs))
    }
    #[inline(always)]
    fn four_sum(self, sum: I) -> I {
        if VNNI { sum } else { both!(|sum| _mm256_madd_epi16(sum, _mm256_set1_epi16(1))) }
    }
    #[inline(always)]
    fn eight_zero(self) -> I {
        self.four_zero()
    }
    #[inline(always)]
    fn eight_add(self, sum: I, codes: I, activations: I) -> I {
        if VNNI {
            return dpbusd(sum, both!(|codes| _mm256_xor_si256(codes, _mm256_set1_epi8(i8::MIN))), activations);
        }
        let magnitudes = both!(|codes| _mm256_sign_epi8(codes, codes));
        let activations = both!(|activations, codes| _mm256_sign_epi8(activations, codes));
        // At most 2 * 128 * 127 = 32512.
        let pairs = both!(|magnitudes, activations| _mm256_maddubs_epi16(magnitudes, activations));
        both!(|sum, pairs| _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))))
    }
    #[inline(always)]
    fn eight_sum(self, sum: I, eight_times: i32) -> I {
        if VNNI { self.sub_i32(sum, self.splat_i32(eight_times << 4)) } else { sum }
    }
}

#[inline(always)]
fn dpbusd(sum: I, codes: I, activations: I) -> I {
    intrinsic!([
        _mm256_dpbusd_avx_epi32(sum[0], codes[0], activations[0]),
        _mm256_dpbusd_avx_epi32(sum[1], codes[1], activations[1]),
    ])
}

#[inline(always)]
fn halves<T, const N: usize>(all: &[T; N]) -> [&[T]; 2] {
    let (low, high) = all.split_at(N / 2);
    [low, high]
}
