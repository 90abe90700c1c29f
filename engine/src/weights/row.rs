//! Rows of the canonical layout, and their elements as f32.

use super::{Quantization, TensorLayout, WeightFormat};
use half::{bf16, f16};

/// Some rows of a matrix, in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightRows {
    /// u32 `[rows, packs * 4]`.
    pub codes: Vec<u32>,
    /// f16 `[rows, scale_stride]`; empty if dense.
    pub scales: Vec<f16>,
    /// f16 `[rows, scale_stride]`; empty without minima.
    pub mins: Vec<f16>,
}

impl WeightRows {
    /// Room for all rows of a matrix, zeroed; `None` when there is not that much memory.
    pub fn try_zeroed(layout: &TensorLayout) -> Option<Self> {
        fn zeroed<T: Clone>(zero: T, len: u64) -> Option<Vec<T>> {
            let len = usize::try_from(len).ok()?;
            let mut all = Vec::new();
            all.try_reserve_exact(len).ok()?;
            all.resize(len, zero);
            Some(all)
        }
        let rows = u64::from(layout.rows);
        let scales = rows * u64::from(layout.scale_stride());
        Some(Self {
            codes: zeroed(0, rows * u64::from(layout.packs()) * 4)?,
            scales: zeroed(f16::ZERO, scales)?,
            mins: zeroed(f16::ZERO, if layout.mins() { scales } else { 0 })?,
        })
    }

    /// Room for some rows, zeroed.
    pub fn zeroed(layout: &TensorLayout, rows: u32) -> Self {
        let rows = rows as usize;
        let scales = rows * layout.scale_stride() as usize;
        Self {
            codes: vec![0; rows * layout.packs() as usize * 4],
            scales: vec![f16::ZERO; scales],
            mins: vec![f16::ZERO; if layout.mins() { scales } else { 0 }],
        }
    }

    /// Writes the elements of `row` to `out` f32 `[cols]`.
    pub fn dequantize(&self, layout: &TensorLayout, row: u32, out: &mut [f32]) {
        let width = layout.packs() as usize * 4;
        let codes = &self.codes[row as usize * width..][..width];
        match layout.format {
            WeightFormat::F32 => out.iter_mut().zip(codes).for_each(|(x, &code)| *x = f32::from_bits(code)),
            WeightFormat::F16 => pairs(codes, out, |bits| f16::from_bits(bits).to_f32()),
            WeightFormat::Bf16 => pairs(codes, out, |bits| bf16::from_bits(bits).to_f32()),
            WeightFormat::Quantized(quantization) => self.dequantize_groups(layout, quantization, row, codes, out),
        }
    }

    fn dequantize_groups(&self, layout: &TensorLayout, q: Quantization, row: u32, codes: &[u32], out: &mut [f32]) {
        let stride = layout.scale_stride() as usize;
        let scales = &self.scales[row as usize * stride..][..stride];
        let mins = if q.mins { &self.mins[row as usize * stride..][..stride] } else { &[] };
        let words = (q.group * q.bits / 32) as usize;
        let groups = out.chunks_exact_mut(q.group as usize).zip(codes.chunks_exact(words)).zip(scales);
        for (index, ((out, words), scale)) in groups.enumerate() {
            let scale = scale.to_f32();
            if q.bits == 4 {
                let offset = if q.mins { mins[index].to_f32() } else { -8.0 * scale };
                for (out, &word) in out.chunks_exact_mut(8).zip(words) {
                    for (i, x) in out.iter_mut().enumerate() {
                        *x = (word >> (4 * i) & 15) as f32 * scale + offset;
                    }
                }
            } else {
                let offset = if q.mins { mins[index].to_f32() } else { 0.0 };
                for (out, &word) in out.chunks_exact_mut(4).zip(words) {
                    for (i, x) in out.iter_mut().enumerate() {
                        *x = f32::from((word >> (8 * i)) as u8 as i8) * scale + offset;
                    }
                }
            }
        }
    }
}

fn pairs(codes: &[u32], out: &mut [f32], to_f32: impl Fn(u16) -> f32) {
    for (pair, &code) in out.chunks_mut(2).zip(codes) {
        for (x, bits) in pair.iter_mut().zip([code as u16, (code >> 16) as u16]) {
            *x = to_f32(bits);
        }
    }
}
