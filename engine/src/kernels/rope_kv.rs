//! Twin of `rope_kv.wgsl`.

use crate::graph::RowData;
use crate::model::ModelConfig;

/// New keys and values, and where they go.
pub struct KvWrite<'a> {
    /// f32 `[rows, stride]`
    pub key: &'a [f32],
    /// f32 `[rows, stride]`
    pub value: &'a [f32],
    /// Row stride of both.
    pub stride: usize,
    /// f32 `[slots, kv_width]`
    pub key_cache: &'a mut [f32],
    /// f32 `[slots, kv_width]`
    pub value_cache: &'a mut [f32],
}

/// Rotates `query` f32 `[rows, q_stride]` in place, and keys on their way into the cache. `rotations` is `[rows, rotated / 2]`.
pub fn rope_kv(
    config: &ModelConfig,
    rows: &[RowData],
    rotations: &[[f32; 2]],
    query: &mut [f32],
    q_stride: usize,
    kv: &mut KvWrite<'_>,
) {
    let head_dim = config.head_dim as usize;
    let kv_width = config.kv_width() as usize;
    let query_width = config.query_width() as usize;
    let pairs = config.rope.dims as usize / 2;
    for (index, row) in rows.iter().enumerate() {
        let rotations = &rotations[index * pairs..][..pairs];
        for head in query[index * q_stride..][..query_width].chunks_exact_mut(head_dim) {
            rotate(head, rotations, config.rope.interleaved);
        }
        let slot = row.slot as usize * kv_width;
        let key = &mut kv.key_cache[slot..][..kv_width];
        key.copy_from_slice(&kv.key[index * kv.stride..][..kv_width]);
        for head in key.chunks_exact_mut(head_dim) {
            rotate(head, rotations, config.rope.interleaved);
        }
        kv.value_cache[slot..][..kv_width].copy_from_slice(&kv.value[index * kv.stride..][..kv_width]);
    }
}

fn rotate(head: &mut [f32], rotations: &[[f32; 2]], interleaved: bool) {
    for (pair, [cos, sin]) in rotations.iter().enumerate() {
        let (a, b) = if interleaved { (2 * pair, 2 * pair + 1) } else { (pair, pair + rotations.len()) };
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[b] * cos + head[a] * sin);
    }
}
