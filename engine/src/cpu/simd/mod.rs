//! What a kernel may use of a processor: vectors of sixteen lanes, whatever the registers hold.
//!
//! A kernel is written once, over [`Simd`]; an instruction set brings the sixteen lanes as one register of 512 bits, two of
//! 256 or four of 128. Sixteen is also the number of weight rows in a tile, so that a lane is an output and no
//! sum ever runs across lanes. Every operation is defined to the bit (products are not fused with sums, rounding is to
//! nearest even, `max` and `min` say what they do with NaN), so that all instruction sets give the same logits. That costs
//! one instruction in ten of a product, and buys that a tab may die on one machine's pool and go on in another's.
//!
//! Whether a processor has an instruction set is found out once ([`Isa::detect`]). [`Isa::run`] compiles the kernel for each
//! of them: everything between there and the intrinsics is `#[inline(always)]`, else the intrinsics would be calls.
//!
//! This is the one folder of the engine with `unsafe`: a value of an instruction set's type exists only where
//! the processor has it, so its methods may use it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
mod panels;
mod scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

use super::input::ActivationBlock;
use super::tiles::Vector;

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// Sixteen lanes.
///
/// Integer dot products take codes of 64 bytes, four consecutive elements of each of 16 rows, and four activations.
/// Two kinds of sums run through up to eight of them: [`Four`](Simd::Four) for codes 0..=15, [`Eight`](Simd::Eight) for
/// signed bytes. Activations are in -127..=127.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// f32 lanes.
    type F: Copy;
    /// i32 lanes.
    type I: Copy;
    /// 64 bytes.
    type B: Copy;
    /// A sum of up to eight products of 4-bit codes.
    type Four: Copy;
    /// A sum of up to eight products of 8-bit codes.
    type Eight: Copy;
    /// Rows of activations that a tile of weights is best multiplied with at once: as many as there are registers for.
    const ROWS: usize;
    /// The same of 4-bit codes.
    const ROWS_OF_FOUR: usize = Self::ROWS;
    /// The same of 8-bit codes.
    const ROWS_OF_EIGHT: usize = Self::ROWS;
    /// Query heads that attention computes at once, of up to four: as many as there are registers for.
    const HEADS: usize = 4;
    /// Rows that pass all tiles of a piece of work before the next ones do.
    const ROWS_OF_PIECE: usize = usize::MAX;
    /// What rows of activations are made into for that, where several are multiplied otherwise than one.
    type Panels: Default;

    /// Runs a kernel, compiled for this instruction set.
    fn enter<K: Kernel>(self, kernel: K) -> K::Output;

    fn splat(self, x: f32) -> Self::F;
    fn load(self, from: &[f32; LANES]) -> Self::F;
    fn store(self, x: Self::F, to: &mut [f32; LANES]);
    /// f16, little endian.
    fn load_f16(self, from: &[u8; 32]) -> Self::F;
    /// The same of what is finite.
    #[inline(always)]
    fn load_scales(self, from: &[u8; 32]) -> Self::F {
        self.load_f16(from)
    }
    /// bf16, little endian.
    fn load_bf16(self, from: &[u8; 32]) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a where a > b, else b: b where either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// a where a < b, else b: b where either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// Nearest integer, ties to even; anything for what is no i32.
    fn round(self, x: Self::F) -> Self::I;
    fn to_f32(self, x: Self::I) -> Self::F;
    fn bits(self, x: Self::F) -> Self::I;
    fn of_bits(self, x: Self::I) -> Self::F;

    fn splat_i32(self, x: i32) -> Self::I;
    /// Little endian.
    fn words(self, from: &[u8; 64]) -> Self::I;
    fn store_i32(self, x: Self::I, to: &mut [i32; LANES]);
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I;
    fn sub_i32(self, a: Self::I, b: Self::I) -> Self::I;
    fn and_i32(self, a: Self::I, b: Self::I) -> Self::I;
    fn max_i32(self, a: Self::I, b: Self::I) -> Self::I;
    fn shift_left<const BITS: u32>(self, x: Self::I) -> Self::I;

    fn bytes(self, from: &[u8; 64]) -> Self::B;
    fn low_nibbles(self, x: Self::B) -> Self::B;
    fn high_nibbles(self, x: Self::B) -> Self::B;
    /// Four activations, sixteen times.
    fn four_times(self, activations: [i8; 4]) -> Self::B;
    fn four_zero(self) -> Self::Four;
    /// sum + codes . activations
    fn four_add(self, sum: Self::Four, codes: Self::B, activations: Self::B) -> Self::Four;
    fn four_sum(self, sum: Self::Four) -> Self::I;
    /// Of a block, 32 columns of 4-bit codes, with as many activations of each row: the codes of eight columns are 64 bytes, those
    /// of the first four in low nibbles.
    #[inline(always)]
    fn four_dots<const M: usize>(self, codes: &[u8; 256], activations: [&[i8; 32]; M]) -> [Self::I; M] {
        let mut dots = [self.four_zero(); M];
        let (pairs, _) = codes.as_chunks();
        for (pair, both) in pairs.iter().enumerate() {
            let both = self.bytes(both);
            let (low, high) = (self.low_nibbles(both), self.high_nibbles(both));
            for m in 0..M {
                let (fours, _) = activations[m].as_chunks();
                dots[m] = self.four_add(dots[m], low, self.four_times(fours[pair * 2]));
                dots[m] = self.four_add(dots[m], high, self.four_times(fours[pair * 2 + 1]));
            }
        }
        let mut sums = [self.splat_i32(0); M];
        for m in 0..M {
            sums[m] = self.four_sum(dots[m]);
        }
        sums
    }
    fn eight_zero(self) -> Self::Eight;
    /// sum + codes . activations
    fn eight_add(self, sum: Self::Eight, codes: Self::B, activations: Self::B) -> Self::Eight;
    /// Of up to 32 columns of 8-bit codes, with as many activations of each row.
    #[inline(always)]
    fn eight_dots<const M: usize>(self, codes: &[[u8; 64]], activations: [&[[i8; 4]]; M]) -> [Self::Eight; M] {
        let mut dots = [self.eight_zero(); M];
        for (four, codes) in codes.iter().enumerate() {
            let codes = self.bytes(codes);
            for m in 0..M {
                dots[m] = self.eight_add(dots[m], codes, self.four_times(activations[m][four]));
            }
        }
        dots
    }
    /// `eight_times` is eight times the sum of the activations that went into `sum`: what those instruction sets have to
    /// take back that multiply unsigned codes.
    fn eight_sum(self, sum: Self::Eight, eight_times: i32) -> Self::I;

    /// Makes the panels of `rows` rows of `blocks` that weights of 4 and of 8 bits need.
    #[inline(always)]
    fn fill_panels(self, _panels: &mut Self::Panels, _rows: usize, _blocks: &[ActivationBlock], _bits: [bool; 2]) {}
    /// The sums of a tile of quantized weights with each row of panels; `None` where there are none.
    #[inline(always)]
    fn panel_sums<'a, const BITS: u32, const GROUP: u32, const MINS: bool>(
        self,
        _tile: &[u8],
        _panels: &'a mut Self::Panels,
    ) -> Option<&'a [Vector]> {
        None
    }

    /// The sum of all lanes, in one order everywhere.
    #[inline(always)]
    fn total(self, x: Self::F) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(x, &mut lanes);
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    /// The largest lane; NaN may be passed over.
    #[inline(always)]
    fn largest(self, x: Self::F) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(x, &mut lanes);
        lanes.into_iter().fold(f32::NEG_INFINITY, |a, b| if a > b { a } else { b })
    }
}

/// What is computed with sixteen lanes.
pub(crate) trait Kernel {
    type Output;

    /// `#[inline(always)]` wherever it is implemented.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "which of them are used is the processor's choice")]
pub(crate) enum Isa {
    Scalar(scalar::Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2<false>),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(avx2::Avx2<true>),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon<false>),
    #[cfg(target_arch = "aarch64")]
    NeonDot(neon::Neon<true>),
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Wasm(wasm::Wasm),
}

impl Isa {
    /// All that there are, the best last.
    pub(crate) fn available() -> Vec<Self> {
        let all = [
            Some(Self::Scalar(scalar::Scalar)),
            #[cfg(target_arch = "x86_64")]
            avx2::Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            avx2::Avx2::detect_vnni().map(Self::AvxVnni),
            #[cfg(target_arch = "x86_64")]
            avx512::Avx512::detect().map(Self::Avx512),
            #[cfg(target_arch = "aarch64")]
            neon::Neon::detect().map(Self::Neon),
            #[cfg(target_arch = "aarch64")]
            neon::Neon::detect_dot().map(Self::NeonDot),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Some(Self::Wasm(wasm::Wasm)),
        ];
        all.into_iter().flatten().collect()
    }

    /// The best.
    pub(crate) fn detect() -> Self {
        Self::available().pop().unwrap_or(Self::without_vectors())
    }

    /// What is always there.
    pub(crate) fn without_vectors() -> Self {
        Self::Scalar(scalar::Scalar)
    }

    /// The same, or one in which scales and minima may be anything.
    pub(crate) fn for_any_scales(self) -> Self {
        match self {
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(_) => Self::without_vectors(),
            other => other,
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar(_) => "no vectors",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "AVX-512 VNNI",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "NEON",
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(_) => "NEON with dot products",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(_) if cfg!(target_feature = "relaxed-simd") => "relaxed SIMD",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(_) => "SIMD",
        }
    }

    /// Runs a kernel.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Scalar(simd) => simd.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(simd) => simd.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.enter(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => simd.enter(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(simd) => simd.enter(kernel),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(simd) => simd.enter(kernel),
        }
    }
}
