// gate[row, i] = silu(gate[row, i]) * up[row, i], silu(x) = x / (1 + exp(-x))        (SwiGLU, Shazeer 2020)
{% include "shared/step.wgsl" %}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read_write> gate: array<vec4<f32>>; // [rows, STRIDE]
@group(0) @binding(2) var<storage, read> up: array<vec4<f32>>;         // [rows, STRIDE]

const STRIDE: u32 = {{ stride // 4 }}u; // in vec4

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= STRIDE || id.y >= step.rows { return; }
    let at = id.y * STRIDE + id.x;
    let x = gate[at];
    gate[at] = x / (vec4<f32>(1.0) + exp(-x)) * up[at];
}
