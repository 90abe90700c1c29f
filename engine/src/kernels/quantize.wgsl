// out[row, k] = round(x[row, k] / scale[row, k / 32]): activations as 8-bit integers, for integer products
//
// Blocks of 32 elements share a scale, their largest magnitude / 127, as llama.cpp's Q8_1 does. Beside it go the sums of either half of a
// block, of what the codes stand for: weights with minima need them. Codes of 4-bit weights come out of a word even elements
// first, so with ORDER 4 the codes of activations lie in that order too: elements 0 2 4 6 1 3 5 7 of each eight.
//
// What x is:
//
// - `norm`: the input, normalized (Zhang & Sennrich 2019): a workgroup takes a row, and the norm's factor goes to the scales.
// - `silu`: silu(gate) * up (SwiGLU, Shazeer 2020), the halves of a row of the input.
// - `gather`: rows are those whose logits are asked for.
//
// What is not finite stays so: a block's scale is then not a number, whatever its codes are.
//
// With `halves` the same values go out as f16 too, for matrix units, which have no integers of a scale for each block: a sixteenth of
// each, so that they may be as large as a million. Which half a word has beside which is how a word of weights comes apart:
// elements 0 4, 1 5, 2 6, 3 7 of each eight with ORDER 4, else 0 2, 4 6, 1 3, 5 7.
{% include "shared/step.wgsl" %}
{%- if gather %}
{% include "shared/words.wgsl" %}
{%- else %}
@group(0) @binding(0) var<uniform> step: Step;
{%- endif %}
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;        // [rows, IN_STRIDE]
@group(0) @binding(3) var<storage, read_write> out: array<vec4<u32>>;    // [rows, BLOCKS, 3]: codes, and scale and sums as bits
{%- if halves %}
@group(0) @binding(9) var<storage, read_write> out_halves: array<vec4<u32>>; // [rows, BLOCKS, 4]: eight elements each
{%- endif %}
{%- if norm %}
@group(0) @binding(7) var<storage, read> weight: array<vec4<f32>>;       // [IN_STRIDE]
{%- endif %}

const IN_STRIDE: u32 = {{ in_stride // 4 }}u; // in vec4
const BLOCKS: u32 = {{ width // 32 }}u;
const WORKGROUP: u32 = {{ workgroup }}u;
{%- if norm %}
var<workgroup> partial: array<f32, WORKGROUP>;
{%- endif %}

fn four(x: vec4<f32>, inverse: f32) -> vec4<i32> { return vec4<i32>(round(x * inverse)); }

fn word(codes: vec4<i32>) -> u32 {
    let bytes = vec4<u32>(codes) & vec4<u32>(255u);
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

{%- if halves %}
const SHRINK: f32 = 0.0625;
fn eight_halves(a: vec4<f32>, b: vec4<f32>) -> vec4<u32> {
{%- if order == 4 %}
    return vec4<u32>(
        pack2x16float(vec2<f32>(a.x, b.x)), pack2x16float(vec2<f32>(a.y, b.y)),
        pack2x16float(vec2<f32>(a.z, b.z)), pack2x16float(vec2<f32>(a.w, b.w)));
{%- else %}
    return vec4<u32>(pack2x16float(a.xz), pack2x16float(b.xz), pack2x16float(a.yw), pack2x16float(b.yw));
{%- endif %}
}
{%- endif %}

fn load(at: u32) -> vec4<f32> {
{%- if silu %}
    let gate = input[at];
    return gate / (vec4<f32>(1.0) + exp(-gate)) * input[at + {{ width // 4 }}u];
{%- else %}
    return input[at];
{%- endif %}
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y;
    let begin = {% if gather %}output_row(row){% else %}row{% endif %} * IN_STRIDE;
    var norm = 1.0;
{%- if norm %}
    var squares = 0.0;
    for (var i = lane; i < {{ width // 4 }}u; i += WORKGROUP) {
        let x = input[begin + i];
        squares += dot(x, x);
    }
    partial[lane] = squares;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half { partial[lane] += partial[lane + half]; }
        workgroupBarrier();
    }
    norm = 1.0 / sqrt(partial[0] / {{ width }}.0 + {{ eps }});
    for (var block = lane; block < BLOCKS; block += WORKGROUP) {
{%- else %}
    let block = group.x * WORKGROUP + lane;
    if block < BLOCKS {
{%- endif %}
        // Floats' magnitudes are in the order of their bits, and what is not finite comes last.
        var top = vec4<u32>();
{%- for i in range(8) %}
        let x{{ i }} = load(begin + block * 8u + {{ i }}u){% if norm %} * weight[block * 8u + {{ i }}u]{% endif %};
        top = max(top, bitcast<vec4<u32>>(x{{ i }}) & vec4<u32>(0x7fffffffu));
{%- endfor %}
        let largest = bitcast<f32>(max(max(top.x, top.y), max(top.z, top.w)));
        let finite = bitcast<u32>(largest) < 0x7f800000u;
        let inverse = select(0.0, 127.0 / largest, finite && largest > 1e-30);
        let scale = select(largest, largest / 127.0, finite) * norm;
{%- for i in range(8) %}
        let q{{ i }} = four(x{{ i }}, inverse);
{%- endfor %}
        let low = q0 + q1 + q2 + q3;
        let high = q4 + q5 + q6 + q7;
        let sums = vec2<f32>(f32(low.x + low.y + low.z + low.w), f32(high.x + high.y + high.z + high.w));
        let to = (row * BLOCKS + block) * 3u;
{%- if order == 4 %}
        out[to] = vec4<u32>(
            word(vec4<i32>(q0.xz, q1.xz)), word(vec4<i32>(q0.yw, q1.yw)),
            word(vec4<i32>(q2.xz, q3.xz)), word(vec4<i32>(q2.yw, q3.yw)));
        out[to + 1u] = vec4<u32>(
            word(vec4<i32>(q4.xz, q5.xz)), word(vec4<i32>(q4.yw, q5.yw)),
            word(vec4<i32>(q6.xz, q7.xz)), word(vec4<i32>(q6.yw, q7.yw)));
{%- else %}
        out[to] = vec4<u32>(word(q0), word(q1), word(q2), word(q3));
        out[to + 1u] = vec4<u32>(word(q4), word(q5), word(q6), word(q7));
{%- endif %}
        out[to + 2u] = bitcast<vec4<u32>>(vec4<f32>(scale, scale * sums, 0.0));
{%- if halves %}
{%- for i in range(4) %}
        out_halves[(row * BLOCKS + block) * 4u + {{ i }}u] = eight_halves(x{{ 2 * i }} * (norm * SHRINK), x{{ 2 * i + 1 }} * (norm * SHRINK));
{%- endfor %}
{%- endif %}
    }
}
