//! Element types of tensors, and how many bytes a block of each takes.
//!
//! The dense types have blocks of one element. The quantized ones are GGUF's: a row (the innermost dimension) is cut
//! into blocks of 32 or 256 elements that share scales, and is always a whole number of blocks. Sizes and layouts are
//! those of `ggml-common.h`; what the bytes mean is the engine's matter.

use std::fmt;

/// An element type that the readers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// 32 elements: f16 scale, 16 bytes of 4-bit codes.
    Q4_0,
    /// 32 elements: f16 scale, f16 minimum, 16 bytes of 4-bit codes.
    Q4_1,
    /// 32 elements: f16 scale, 4 bytes of fifth bits, 16 bytes of 4-bit codes.
    Q5_0,
    /// 32 elements: f16 scale, f16 minimum, 4 bytes of fifth bits, 16 bytes of 4-bit codes.
    Q5_1,
    /// 32 elements: f16 scale, 32 signed bytes.
    Q8_0,
    /// 256 elements: f16 scale, f16 minimum, 12 bytes of 6-bit scales and minimums, 128 bytes of 4-bit codes.
    Q4K,
    /// As [`Q4K`](Self::Q4K) with 32 bytes of fifth bits before the codes.
    Q5K,
    /// 256 elements: 128 bytes of low 4 bits, 64 bytes of high 2 bits, 16 signed scales, f16 scale.
    Q6K,
}

impl DType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// Elements per block.
    pub const fn block_len(self) -> u64 {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes per block.
    pub const fn block_bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 2 + 2 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 2 + 2 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4K => 2 + 2 + 12 + 128,
            Self::Q5K => 2 + 2 + 12 + 32 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }

    /// The name that GGUF tools print: `"Q4_K"`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Whether elements stand alone, without blocks.
    pub const fn is_dense(self) -> bool {
        self.block_len() == 1
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::DType;

    #[test]
    fn bits_per_element_are_those_that_llama_cpp_documents() {
        // In sixteenths of a bit.
        let bits = |dtype: DType| dtype.block_bytes() * 8 * 16 / dtype.block_len();
        let documented = [32.0, 16.0, 16.0, 4.5, 5.0, 5.5, 6.0, 8.5, 4.5, 5.5, 6.5625];
        assert_eq!(DType::ALL.map(bits), documented.map(|bits| (bits * 16.0) as u64));
    }
}
