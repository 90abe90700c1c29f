//! Functions of sixteen lanes.

use super::simd::Simd;

/// e^x, to about two units in the last place; 0 below -87, infinity never.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2, e^r by the polynomial of Cephes `expf` (Moshier). NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::F) -> S::F {
    // In this order NaN passes: both give their second operand for it.
    let clamped = simd.max(simd.splat(-87.3), simd.min(simd.splat(88.0), x));
    let n = simd.round(simd.mul(clamped, simd.splat(std::f32::consts::LOG2_E)));
    let whole = simd.to_f32(n);
    // ln 2 in two parts, the first of few bits: its product with n is exact.
    let r = simd.sub(clamped, simd.mul(whole, simd.splat(0.693_359_4)));
    let r = simd.sub(r, simd.mul(whole, simd.splat(-2.121_944_4e-4)));
    let coefficients = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let mut p = simd.splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        p = simd.add(simd.mul(p, r), simd.splat(*coefficient));
    }
    let power = simd.add(simd.add(simd.mul(simd.mul(p, r), r), r), simd.splat(1.0));
    // 2^n by its bits.
    let scale = simd.of_bits(simd.shift_left::<23>(simd.add_i32(n, simd.splat_i32(127))));
    simd.mul(power, scale)
}

/// x / (1 + e^-x)
#[inline(always)]
pub(crate) fn silu<S: Simd>(simd: S, x: S::F) -> S::F {
    let negative = simd.sub(simd.splat(0.0), x);
    simd.div(x, simd.add(simd.splat(1.0), exp(simd, negative)))
}
