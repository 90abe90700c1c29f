//! One register of 512 bits. `vpdpbusd` multiplies unsigned with signed bytes: signed codes are moved up by 128, which
//! `eight_sum` takes back.
#![allow(unsafe_code, reason = "intrinsics")]

use super::{Kernel, LANES, Simd};
use std::arch::x86_64::{
    __m512, __m512i, _mm256_loadu_si256, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cvtepi32_ps, _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_cvtps_epi32, _mm512_div_ps,
    _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_max_epi32, _mm512_max_ps,
    _mm512_min_ps, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
    _mm512_slli_epi32, _mm512_srli_epi16, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_epi32, _mm512_sub_ps,
    _mm512_xor_si512,
};

/// AVX-512 with VNNI: Ice Lake, Zen 4 and later. There is one only if [`Avx512::detect`] made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: `detect` found the instruction set, or there would be no `self`; pointers are of references to arrays of the
        // size that is read or written, which need no alignment.
        unsafe { $call }
    };
}

impl Avx512 {
    /// If the processor has it.
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni");
        has.then_some(Self(()))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn compiled_for<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    type B = __m512i;
    type Four = __m512i;
    type Eight = __m512i;
    const ROWS: usize = 8;

    #[inline]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        intrinsic!(self.compiled_for(kernel))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        intrinsic!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        intrinsic!(_mm512_loadu_ps(from.as_ptr()))
    }
    #[inline(always)]
    fn store(self, x: __m512, to: &mut [f32; LANES]) {
        intrinsic!(_mm512_storeu_ps(to.as_mut_ptr(), x));
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8; 32]) -> __m512 {
        intrinsic!(_mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())))
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u8; 32]) -> __m512 {
        intrinsic!({
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        })
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        intrinsic!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, x: __m512) -> __m512i {
        intrinsic!(_mm512_cvtps_epi32(x))
    }
    #[inline(always)]
    fn to_f32(self, x: __m512i) -> __m512 {
        intrinsic!(_mm512_cvtepi32_ps(x))
    }
    #[inline(always)]
    fn bits(self, x: __m512) -> __m512i {
        intrinsic!(_mm512_castps_si512(x))
    }
    #[inline(always)]
    fn of_bits(self, x: __m512i) -> __m512 {
        intrinsic!(_mm512_castsi512_ps(x))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        intrinsic!(_mm512_set1_epi32(x))
    }
    #[inline(always)]
    fn words(self, from: &[u8; 64]) -> __m512i {
        self.bytes(from)
    }
    #[inline(always)]
    fn store_i32(self, x: __m512i, to: &mut [i32; LANES]) {
        intrinsic!(_mm512_storeu_si512(to.as_mut_ptr().cast(), x));
    }
    #[inline(always)]
    fn add_i32(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub_i32(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_sub_epi32(a, b))
    }
    #[inline(always)]
    fn and_i32(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_and_si512(a, b))
    }
    #[inline(always)]
    fn max_i32(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_max_epi32(a, b))
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, x: __m512i) -> __m512i {
        intrinsic!(_mm512_slli_epi32::<BITS>(x))
    }

    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> __m512i {
        intrinsic!(_mm512_loadu_si512(from.as_ptr().cast()))
    }
    #[inline(always)]
    fn low_nibbles(self, x: __m512i) -> __m512i {
        intrinsic!(_mm512_and_si512(x, _mm512_set1_epi8(15)))
    }
    #[inline(always)]
    fn high_nibbles(self, x: __m512i) -> __m512i {
        intrinsic!(_mm512_and_si512(_mm512_srli_epi16::<4>(x), _mm512_set1_epi8(15)))
    }
    #[inline(always)]
    fn four_times(self, activations: [i8; 4]) -> __m512i {
        self.splat_i32(i32::from_le_bytes(activations.map(|x| x as u8)))
    }
    #[inline(always)]
    fn four_zero(self) -> __m512i {
        intrinsic!(_mm512_setzero_si512())
    }
    #[inline(always)]
    fn four_add(self, sum: __m512i, codes: __m512i, activations: __m512i) -> __m512i {
        intrinsic!(_mm512_dpbusd_epi32(sum, codes, activations))
    }
    #[inline(always)]
    fn four_sum(self, sum: __m512i) -> __m512i {
        sum
    }
    #[inline(always)]
    fn eight_zero(self) -> __m512i {
        self.four_zero()
    }
    #[inline(always)]
    fn eight_add(self, sum: __m512i, codes: __m512i, activations: __m512i) -> __m512i {
        intrinsic!({
            let unsigned = _mm512_xor_si512(codes, _mm512_set1_epi8(i8::MIN));
            _mm512_dpbusd_epi32(sum, unsigned, activations)
        })
    }
    #[inline(always)]
    fn eight_sum(self, sum: __m512i, eight_times: i32) -> __m512i {
        self.sub_i32(sum, self.shift_left::<4>(self.splat_i32(eight_times)))
    }
}
