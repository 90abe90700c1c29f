// What every kernel of a matrix product has: its operands, and how many rows there are.
{% include "shared/step.wgsl" %}
{% include "shared/weights.wgsl" %}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;   // [rows, IN_STRIDE]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;     // [rows, OUT_STRIDE]
{%- if bias %}
@group(0) @binding(6) var<storage, read> bias: array<f32>;          // [all outputs]
{%- endif %}

const IN_STRIDE: u32 = {{ in_stride // 4 }}u; // in vec4
const OUT_STRIDE: u32 = {{ out_stride }}u;
const PART_START: u32 = {{ part_start }}u;    // first output of this part of the matrix
const PART_ROWS: u32 = {{ part_rows }}u;

// Rows of this step, or of the head's segment.
fn row_count() -> u32 {
    return {% if head %}step.outputs{% else %}step.rows{% endif %};
}
