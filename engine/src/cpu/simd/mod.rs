//! What a kernel may use of a processor: vectors of sixteen lanes, whatever the registers hold.
//!
//! A kernel is written once, over [`Simd`]; an instruction set brings the sixteen lanes as one register of 512 bits, two of
//! 256 or four of 128. Sixteen is also the number of weight rows in a tile, so that a lane is an output and no
//! sum ever runs across lanes. Every operation is defined to the bit (rounding is to nearest even, `max` and `min` say what they do
//! with NaN), so that instruction sets give the same logits, but for one thing: [`Simd::mul_add`] rounds once where the processor can.
//! That is worth a tenth of a product of several rows and a third of attention. Only `simd128` without `relaxed-simd` and processors
//! without vectors round twice; [`Isa::in_scalars`] has both, to compare with.
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
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
mod relaxed;
mod scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

use super::input::Forms;
use super::panels::{PANEL, Panel, PanelForms, Signs};
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
    /// Whether a product and a sum are rounded once.
    const FUSED: bool = true;
    /// Rows of activations that a tile of weights is best multiplied with at once: as many as there are registers for.
    const ROWS: usize;
    /// The same of 4-bit codes.
    const ROWS_OF_FOUR: usize = Self::ROWS;
    /// The same of 8-bit codes.
    const ROWS_OF_EIGHT: usize = Self::ROWS;
    /// Queries that attention computes at once, of up to four: as many as there are registers for.
    const QUERIES: usize = 4;
    /// Vectors of a value that they are multiplied with, of up to two.
    const VALUES: usize = 2;
    /// Rows that pass all tiles of a piece of work before the next ones do.
    const ROWS_OF_PIECE: usize = usize::MAX;

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
    /// a * b + c, rounded once where [`FUSED`](Simd::FUSED).
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
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

    /// What is made of rows that are multiplied in these forms: nothing, where several are multiplied like one.
    #[inline(always)]
    fn panel_forms(self, _forms: Forms) -> PanelForms {
        PanelForms::default()
    }
    /// The sums of a tile of quantized weights with up to [`PANEL`] rows in panels, written to `sums`. Called only where there are
    /// panels.
    #[inline(always)]
    fn panel_sums<const BITS: u32, const GROUP: u32, const MINS: bool>(
        self,
        _tile: &[u8],
        _panels: (&[Panel], &[Signs]),
        _sums: &mut [Vector; PANEL],
    ) {
    }

    /// The low bytes, of lanes in -128..=127.
    #[inline(always)]
    fn narrow(self, x: Self::I) -> [i8; LANES] {
        let mut lanes = [0; LANES];
        self.store_i32(x, &mut lanes);
        lanes.map(|lane| lane as i8)
    }

    /// The sum of all lanes.
    #[inline(always)]
    fn total_i32(self, x: Self::I) -> i32 {
        let mut lanes = [0; LANES];
        self.store_i32(x, &mut lanes);
        lanes.into_iter().fold(0, i32::wrapping_add)
    }

    /// The largest lane.
    #[inline(always)]
    fn largest_i32(self, x: Self::I) -> i32 {
        let mut lanes = [0; LANES];
        self.store_i32(x, &mut lanes);
        lanes.into_iter().fold(i32::MIN, i32::max)
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
    /// With products and sums fused, which takes a function where the processor has no instruction for it.
    Fused(scalar::Scalar<true>),
    Scalar(scalar::Scalar<false>),
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
            Some(Self::Fused(scalar::Scalar)),
            Some(Self::without_vectors()),
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
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Some(Self::Wasm(wasm::Wasm::seven_bits())),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Some(Self::Wasm(wasm::Wasm::detect())),
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

    /// What gives the same results without vectors, to the bit.
    pub(crate) fn in_scalars(self) -> Self {
        struct Fused;
        impl Kernel for Fused {
            type Output = bool;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> bool {
                S::FUSED
            }
        }
        if self.run(Fused) { Self::Fused(scalar::Scalar) } else { Self::without_vectors() }
    }

    /// Has it vectors?
    pub(crate) fn has_vectors(self) -> bool {
        !matches!(self, Self::Scalar(_) | Self::Fused(_))
    }

    /// The same, or one in which scales and minima may be anything.
    pub(crate) fn for_any_scales(self) -> Self {
        match self {
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(_) => Self::without_vectors(),
            other => other,
        }
    }

    /// What is made of rows that are multiplied in these forms.
    pub(crate) fn panel_forms(self, forms: Forms) -> PanelForms {
        struct Asked(Forms);
        impl Kernel for Asked {
            type Output = PanelForms;
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) -> PanelForms {
                simd.panel_forms(self.0)
            }
        }
        self.run(Asked(forms))
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar(_) | Self::Fused(_) => "no vectors",
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
            Self::Fused(simd) => simd.enter(kernel),
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
