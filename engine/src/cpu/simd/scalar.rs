//! Sixteen lanes without vectors: what the operations mean, and what processors get that have none of the others. Those round products
//! and sums each; with `FUSED` it is what the others are compared with.

use super::{Kernel, LANES, Simd};
use half::{bf16, f16};
use std::array::from_fn;

/// Always there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar<const FUSED: bool>;

type F = [f32; LANES];
type I = [i32; LANES];
type B = [u8; 64];

#[inline(always)]
fn dot(sum: I, codes: B, activations: B, code: impl Fn(u8) -> i32) -> I {
    from_fn(|lane| {
        (0..4).fold(sum[lane], |sum, i| sum + code(codes[lane * 4 + i]) * i32::from(activations[lane * 4 + i] as i8))
    })
}

impl<const FUSED: bool> Simd for Scalar<FUSED> {
    type F = F;
    type I = I;
    type B = B;
    type Four = I;
    type Eight = I;
    const FUSED: bool = FUSED;
    const ROWS: usize = 1;

    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, from: &F) -> F {
        *from
    }
    #[inline(always)]
    fn store(self, x: F, to: &mut F) {
        *to = x;
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8; 32]) -> F {
        from_fn(|lane| f16::from_le_bytes([from[lane * 2], from[lane * 2 + 1]]).to_f32())
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u8; 32]) -> F {
        from_fn(|lane| bf16::from_le_bytes([from[lane * 2], from[lane * 2 + 1]]).to_f32())
    }
    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        from_fn(|lane| a[lane] + b[lane])
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        from_fn(|lane| a[lane] - b[lane])
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        from_fn(|lane| a[lane] * b[lane])
    }
    #[inline(always)]
    fn mul_add(self, a: F, b: F, c: F) -> F {
        from_fn(|lane| if FUSED { a[lane].mul_add(b[lane], c[lane]) } else { a[lane] * b[lane] + c[lane] })
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        from_fn(|lane| a[lane] / b[lane])
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }
    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        from_fn(|lane| if a[lane] < b[lane] { a[lane] } else { b[lane] })
    }
    #[inline(always)]
    fn round(self, x: F) -> I {
        x.map(|x| x.round_ties_even() as i32)
    }
    #[inline(always)]
    fn to_f32(self, x: I) -> F {
        x.map(|x| x as f32)
    }
    #[inline(always)]
    fn bits(self, x: F) -> I {
        x.map(|x| x.to_bits() as i32)
    }
    #[inline(always)]
    fn of_bits(self, x: I) -> F {
        x.map(|x| f32::from_bits(x as u32))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> I {
        [x; LANES]
    }
    #[inline(always)]
    fn words(self, from: &[u8; 64]) -> I {
        from_fn(|lane| i32::from_le_bytes([from[lane * 4], from[lane * 4 + 1], from[lane * 4 + 2], from[lane * 4 + 3]]))
    }
    #[inline(always)]
    fn store_i32(self, x: I, to: &mut I) {
        *to = x;
    }
    #[inline(always)]
    fn add_i32(self, a: I, b: I) -> I {
        from_fn(|lane| a[lane].wrapping_add(b[lane]))
    }
    #[inline(always)]
    fn sub_i32(self, a: I, b: I) -> I {
        from_fn(|lane| a[lane].wrapping_sub(b[lane]))
    }
    #[inline(always)]
    fn and_i32(self, a: I, b: I) -> I {
        from_fn(|lane| a[lane] & b[lane])
    }
    #[inline(always)]
    fn max_i32(self, a: I, b: I) -> I {
        from_fn(|lane| a[lane].max(b[lane]))
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, x: I) -> I {
        x.map(|x| x << BITS)
    }

    #[inline(always)]
    fn bytes(self, from: &B) -> B {
        *from
    }
    #[inline(always)]
    fn low_nibbles(self, x: B) -> B {
        x.map(|x| x & 15)
    }
    #[inline(always)]
    fn high_nibbles(self, x: B) -> B {
        x.map(|x| x >> 4)
    }
    #[inline(always)]
    fn four_times(self, activations: [i8; 4]) -> B {
        from_fn(|i| activations[i % 4] as u8)
    }
    #[inline(always)]
    fn four_zero(self) -> I {
        [0; LANES]
    }
    #[inline(always)]
    fn four_add(self, sum: I, codes: B, activations: B) -> I {
        dot(sum, codes, activations, i32::from)
    }
    #[inline(always)]
    fn four_sum(self, sum: I) -> I {
        sum
    }
    #[inline(always)]
    fn eight_zero(self) -> I {
        [0; LANES]
    }
    #[inline(always)]
    fn eight_add(self, sum: I, codes: B, activations: B) -> I {
        dot(sum, codes, activations, |code| i32::from(code as i8))
    }
    #[inline(always)]
    fn eight_sum(self, sum: I, _eight_times: i32) -> I {
        sum
    }
}
