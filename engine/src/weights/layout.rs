//! The canonical layout of a weight matrix.
//!
//! A matrix `[rows, cols]` is stored by rows in up to three arrays: *codes*, *scales* and *mins*.
//!
//! - Codes are read 16 bytes at a time: one *pack* of 4 (f32), 8 (f16, bf16), 16 (8-bit) or 32 (4-bit) consecutive elements,
//!   the first in the lowest bits of the first word. Rows are padded to whole packs with zeros.
//! - Quantized elements come in groups of 16 or 32 along a row. Each group has an f16 scale, and where the format has minima an
//!   f16 minimum. A row's scales are padded to an even number, so that it starts on a word.
//! - An element is `scale * code + min`; 4-bit codes are 0..=15, and stand for code - 8 where there are no minima;
//!   8-bit codes are signed.
//!
//! Codes and scales sit in separate buffers, so that the codes of a row are one aligned stream.

use tilewright_formats::DType;

/// How the elements of a matrix are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightFormat {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper half of 32-bit floats.
    Bf16,
    /// Codes with a scale per group.
    Quantized(Quantization),
}

/// The parameters of a group-quantized format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantization {
    /// 4 or 8.
    pub bits: u32,
    /// Elements that share a scale: 32, or 16 with 8 bits.
    pub group: u32,
    /// Whether groups have a minimum.
    pub mins: bool,
}

impl WeightFormat {
    /// Where a file's format lands. Exact but for `Q4_K`, `Q5_K` and `Q6_K`, whose scales are products that are rounded to f16.
    pub fn of(dtype: DType) -> Self {
        let quantized = |bits, group, mins| Self::Quantized(Quantization { bits, group, mins });
        match dtype {
            DType::F32 => Self::F32,
            DType::F16 => Self::F16,
            DType::Bf16 => Self::Bf16,
            DType::Q4_0 => quantized(4, 32, false),
            DType::Q4_1 | DType::Q4K => quantized(4, 32, true),
            DType::Q5_0 | DType::Q8_0 => quantized(8, 32, false),
            DType::Q5_1 | DType::Q5K => quantized(8, 32, true),
            DType::Q6K => quantized(8, 16, false),
        }
    }

    /// For templates and people.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Quantized(Quantization { bits: 4, mins: false, .. }) => "q4",
            Self::Quantized(Quantization { bits: 4, mins: true, .. }) => "q4m",
            Self::Quantized(Quantization { mins: false, .. }) => "q8",
            Self::Quantized(_) => "q8m",
        }
    }

    /// `Some` if codes have scales.
    pub fn quantization(self) -> Option<Quantization> {
        match self {
            Self::Quantized(quantization) => Some(quantization),
            _ => None,
        }
    }

    /// Elements in 16 bytes of codes.
    pub fn pack(self) -> u32 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 8,
            Self::Quantized(Quantization { bits, .. }) => 128 / bits,
        }
    }
}

/// A matrix in the canonical layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorLayout {
    /// Outputs.
    pub rows: u32,
    /// Inputs; a multiple of 32 if quantized.
    pub cols: u32,
    /// How elements are stored.
    pub format: WeightFormat,
}

impl TensorLayout {
    /// Packs per row.
    pub fn packs(&self) -> u32 {
        self.cols.div_ceil(self.format.pack())
    }

    /// Scales (and minima) per row, the padding included; 0 if dense.
    pub fn scale_stride(&self) -> u32 {
        self.format.quantization().map_or(0, |q| self.cols.div_ceil(q.group).next_multiple_of(2))
    }

    /// Bytes of a row's codes.
    pub fn code_bytes_per_row(&self) -> u64 {
        u64::from(self.packs()) * 16
    }

    /// Bytes of a row's scales; as many again are its minima, if any.
    pub fn scale_bytes_per_row(&self) -> u64 {
        u64::from(self.scale_stride()) * 2
    }

    /// Whether groups have a minimum.
    pub fn mins(&self) -> bool {
        self.format.quantization().is_some_and(|q| q.mins)
    }

    /// Bytes of the whole matrix.
    pub fn bytes(&self) -> u64 {
        let scales = self.scale_bytes_per_row() * if self.mins() { 2 } else { 1 };
        u64::from(self.rows) * (self.code_bytes_per_row() + scales)
    }
}
