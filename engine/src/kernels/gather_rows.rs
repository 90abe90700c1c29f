//! Twin of `gather_rows.wgsl`.

/// out\[i, :\] = input\[rows\[i\], :\], rows of `stride` elements.
pub fn gather_rows(rows: &[u32], input: &[f32], out: &mut [f32], stride: usize) {
    for (&row, out) in rows.iter().zip(out.chunks_exact_mut(stride)) {
        out.copy_from_slice(&input[row as usize * stride..][..stride]);
    }
}
