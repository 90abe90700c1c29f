//! Twin of `silu_mul.wgsl`.

/// gate = silu(gate) * up, both f32 of the same size.
pub fn silu_mul(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + (-*gate).exp()) * up;
    }
}
