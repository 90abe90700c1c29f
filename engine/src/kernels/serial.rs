//! Which variants of the kernels for a processor that stands in for a GPU.
//!
//! `matvec_serial.wgsl` says why there are such kernels. Their parameters are few: what an invocation computes one after the other, and
//! how wide the processor's vectors are.

use super::KernelVariant;
use crate::weights::WeightFormat;

impl KernelVariant {
    /// The product used on a processor that stands in for a GPU, of a matrix in a format whose rows have so many packs.
    ///
    /// An input is read again for every `block` outputs, so a block is as large as leaves some workgroups for the processor's cores, and does
    /// not depend on how many more rows there are, which would be another kernel to compile. On SwiftShader (two cores) [8192, 576] in 4
    /// bits take 2.1 ms by blocks of 16, 1.6 by 64; eight rows of [1536, 576] take 1.6 ms with eight columns and turns of 32 elements, 2.1
    /// with four columns or turns of 64. `lanes` are those of the processor's vectors: Mesa's lavapipe has eight, with which it reads
    /// prompts 1.5 times as fast as with four.
    pub fn default_serial(rows: u32, format: WeightFormat, packs: u32, outputs: u32, lanes: u32) -> Self {
        let columns = rows.clamp(1, 8).next_power_of_two();
        let most = if columns > 2 { 32 } else { 64 };
        let workgroups = if columns > 4 { 4 } else { 8 };
        let block = outputs.div_ceil(workgroups * lanes).clamp(24, 64);
        Self::MatvecSerial { lanes, block, columns, span: serial_spans(format, packs, most).max().unwrap_or(1) }
    }

    /// The attention used on a processor that stands in for a GPU. Queries and sums are an invocation's own, at most 64 vectors of
    /// each, under constant indices: more would be a longer kernel to compile.
    pub fn default_attention_serial(head_dim: u32, heads_per_kv: u32, lanes: u32) -> Self {
        let fits = |group: &u32| heads_per_kv.is_multiple_of(*group) && group * head_dim <= 256;
        Self::AttentionSerial { lanes, group: (1..=heads_per_kv).rev().find(fits).unwrap_or(1) }
    }
}

/// Turns that [`KernelVariant::MatvecSerial`] may take of rows of so many packs, of at most so many elements or one pack.
pub fn serial_spans(format: WeightFormat, packs: u32, most_elements: u32) -> impl Iterator<Item = u32> {
    let pack = format.pack();
    let group = format.quantization().map_or(pack, |quantization| quantization.group);
    [1, 2, 4, 8].into_iter().filter(move |span| {
        packs.is_multiple_of(*span)
            && (span * pack).is_multiple_of(group)
            && (*span == 1 || span * pack <= most_elements.max(group))
    })
}
