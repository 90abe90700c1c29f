//! Twin of `embed.wgsl`.

use crate::graph::RowData;
use crate::weights::{TensorLayout, WeightRows};

/// `out` f32 `[rows, out_stride]`; rows of `rows` whose token is past the table are left alone.
pub fn embed(rows: &[RowData], out: &mut [f32], out_stride: usize, layout: &TensorLayout, table: &WeightRows) {
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(out_stride)) {
        if row.token < layout.rows {
            table.dequantize(layout, row.token, &mut out[..layout.cols as usize]);
        }
    }
}
