// out[i, :] = in[output_rows[output_base + i], :]: the rows whose logits are asked for, side by side
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}

@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;      // [rows, STRIDE]
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;  // [outputs, STRIDE]

const STRIDE: u32 = {{ stride // 4 }}u; // in vec4

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= STRIDE || id.y >= step.outputs { return; }
    out[id.y * STRIDE + id.x] = input[output_row(id.y) * STRIDE + id.x];
}
