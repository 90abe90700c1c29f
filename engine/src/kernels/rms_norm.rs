//! Twin of `rms_norm.wgsl`.

/// `input` and `out` f32 `[rows, stride]`, `weight` f32 `[width]`.
pub fn rms_norm(input: &[f32], weight: &[f32], out: &mut [f32], stride: usize, eps: f32) {
    for (input, out) in input.chunks_exact(stride).zip(out.chunks_exact_mut(stride)) {
        let sum: f32 = input[..weight.len()].iter().map(|x| x * x).sum();
        let scale = 1.0 / (sum / weight.len() as f32 + eps).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(input).zip(weight) {
            *out = x * scale * weight;
        }
    }
}
