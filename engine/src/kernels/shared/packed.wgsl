// Weights as 8-bit integers for `dot4I8Packed`, and the activations of `quantize`.
//
// A *half* is what one scale of the weights covers: with 4 bits a whole block of 32, with 8 bits 16 of its elements, a pack either way.
// 4-bit codes without minima stand for code - 8 and become signed here, so that they need no offset.
{%- set halves = 32 // pack %}
@group(0) @binding(2) var<storage, read> input: array<vec4<u32>>;   // [rows, BLOCKS, 3]: codes, and scale and sums as bits

const BLOCKS: u32 = {{ in_stride // 32 }}u;

fn dot4(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}
{%- if bits == 4 %}

// The codes of two words as bytes, of each the even elements and then the odd ones.
fn bytes(x: u32, y: u32) -> vec4<u32> {
    let nibbles = vec4<u32>(x, x >> 4u, y, y >> 4u) & vec4<u32>(0x0f0f0f0fu);
{%- if mins %}
    return nibbles;
{%- else %}
    return (nibbles + vec4<u32>(0x78787878u)) ^ vec4<u32>(0x80808080u);
{%- endif %}
}
{%- endif %}
