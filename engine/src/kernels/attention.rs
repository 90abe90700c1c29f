//! Twin of `attention.wgsl`.

use crate::graph::StepData;
use crate::model::ModelConfig;

/// Keys and values of one layer.
pub struct KvCache<'a> {
    /// f32 `[slots, kv_width]`
    pub keys: &'a [f32],
    /// f32 `[slots, kv_width]`
    pub values: &'a [f32],
    /// Slots per block.
    pub block_size: u32,
}

/// `query` and `out` f32 `[rows, q_stride]`.
pub fn attention(
    config: &ModelConfig,
    step: &StepData,
    cache: &KvCache<'_>,
    query: &[f32],
    out: &mut [f32],
    q_stride: usize,
) {
    let head_dim = config.head_dim as usize;
    let kv_width = config.kv_width() as usize;
    let heads_per_kv = (config.heads / config.kv_heads) as usize;
    let scale = attention_scale(config);
    let block_size = cache.block_size;
    let one_row = |index: usize, out: &mut [f32]| {
        let row = step.rows[index];
        let table = &step.block_tables[(row.chunk * step.table_stride) as usize..];
        let slots: Vec<usize> = (0..=row.position)
            .map(|position| (table[(position / block_size) as usize] * block_size + position % block_size) as usize)
            .collect();
        let mut scores = vec![0.0_f32; slots.len()];
        for head in 0..config.heads as usize {
            let kv_at = head / heads_per_kv * head_dim;
            let query = &query[index * q_stride + head * head_dim..][..head_dim];
            for (score, slot) in scores.iter_mut().zip(&slots) {
                let key = &cache.keys[slot * kv_width + kv_at..][..head_dim];
                *score = query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>() * scale;
            }
            let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut total = 0.0;
            for score in &mut scores {
                *score = (*score - top).exp();
                total += *score;
            }
            let out = &mut out[head * head_dim..][..head_dim];
            out.fill(0.0);
            for (score, slot) in scores.iter().zip(&slots) {
                let value = &cache.values[slot * kv_width + kv_at..][..head_dim];
                out.iter_mut().zip(value).for_each(|(out, value)| *out += score / total * value);
            }
        }
    };
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::iter::{IndexedParallelIterator, ParallelIterator};
        use rayon::slice::ParallelSliceMut;
        out.par_chunks_exact_mut(q_stride).enumerate().for_each(|(index, out)| one_row(index, out));
    }
    #[cfg(target_arch = "wasm32")]
    out.chunks_exact_mut(q_stride).enumerate().for_each(|(index, out)| one_row(index, out));
}

/// 1 / sqrt(head size) (Vaswani et al. 2017).
pub fn attention_scale(config: &ModelConfig) -> f32 {
    1.0 / (config.head_dim as f32).sqrt()
}
