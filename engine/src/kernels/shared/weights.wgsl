// A weight matrix [rows, cols] in the canonical layout (`weights::layout`), one vec4<u32> at a time.
//
// One load of 16 bytes holds a *pack* of PACK consecutive elements of a row: 4 (f32), 8 (f16, bf16), 16 (8-bit codes) or
// 32 (4-bit codes). `load_pack` fetches it together with its scale and minimum, `unpack0 .. unpackN` give its elements
// four at a time. The functions are unrolled by the template, so that no vector is indexed by a variable. Codes, scales and minima
// are bindings 3 to 5 of every kernel that reads a matrix; it may begin at a row of theirs.
//
// `code0 .. codeN` give the codes as floats: whoever adds up code_scale * sum(code * x) + code_offset * sum(x) needs fewer operations than
// by scaling each element. A 4-bit code becomes a float from 1 to 2 without a conversion, its bits being the highest of the
// mantissa. With 8 bits that would cost too many digits: what is left when the shift is taken off again is a tenth.

@group(0) @binding(3) var<storage, read> weight_codes: array<vec4<u32>>;
{%- if quantized %}
@group(0) @binding(4) var<storage, read> weight_scales: array<u32>;
{%- endif %}
{%- if mins %}
@group(0) @binding(5) var<storage, read> weight_mins: array<u32>;
{%- endif %}

const PACK: u32 = {{ pack }}u;
const PACKS: u32 = {{ packs }}u; // per row
const BASE: u32 = {{ base }}u;   // first row in the buffers

struct Pack {
    codes: vec4<u32>,
{%- if quantized %}
    scale: f32,
    offset: f32, // what code 0 stands for
{%- endif %}
}

fn load_pack(part_row: u32, pack: u32) -> Pack {
    let row = BASE + part_row;
    let codes = weight_codes[row * PACKS + pack];
{%- if quantized %}
    let group = row * {{ scale_stride }}u + pack * PACK / {{ group }}u;
    let scales = unpack2x16float(weight_scales[group >> 1u]);
    let scale = select(scales.x, scales.y, (group & 1u) == 1u);
{%- if mins %}
    let mins = unpack2x16float(weight_mins[group >> 1u]);
    let offset = select(mins.x, mins.y, (group & 1u) == 1u);
{%- elif bits == 4 %}
    let offset = -8.0 * scale;
{%- else %}
    let offset = 0.0;
{%- endif %}
    return Pack(codes, scale, offset);
{%- else %}
    return Pack(codes);
{%- endif %}
}
{%- if quantized %}
// What a code's float is scaled and shifted by: see `code0`.
const CODE_SCALE: f32 = {{ 16.0 if bits == 4 else 1.0 }};
const CODE_SHIFT: f32 = {{ 16.0 if bits == 4 else 0.0 }};
fn code_scale(pack: Pack) -> f32 { return pack.scale * CODE_SCALE; }
fn code_offset(pack: Pack) -> f32 { return pack.offset - pack.scale * CODE_SHIFT; }
{%- endif %}
{% for i in range(pack // 4) %}
fn unpack{{ i }}(pack: Pack) -> vec4<f32> {
{%- if format == "f32" %}
    return bitcast<vec4<f32>>(pack.codes);
{%- elif format == "f16" %}
    return vec4<f32>(unpack2x16float(pack.codes[{{ 2 * i }}]), unpack2x16float(pack.codes[{{ 2 * i + 1 }}]));
{%- elif format == "bf16" %}
    let low = pack.codes[{{ 2 * i }}];
    let high = pack.codes[{{ 2 * i + 1 }}];
    return bitcast<vec4<f32>>(vec4<u32>(low << 16u, low & 0xffff0000u, high << 16u, high & 0xffff0000u));
{%- elif bits == 4 %}
    let word = vec4<u32>(pack.codes[{{ i // 2 }}]) >> vec4<u32>({{ i % 2 * 16 }}u, {{ i % 2 * 16 + 4 }}u, {{ i % 2 * 16 + 8 }}u, {{ i % 2 * 16 + 12 }}u);
    return vec4<f32>(vec4<i32>(word & vec4<u32>(15u))) * pack.scale + vec4<f32>(pack.offset);
{%- else %}
    let word = vec4<i32>(vec4<u32>(pack.codes[{{ i }}]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
    return vec4<f32>(word) * pack.scale + vec4<f32>(pack.offset);
{%- endif %}
}
fn code{{ i }}(pack: Pack) -> vec4<f32> {
{%- if not quantized %}
    return unpack{{ i }}(pack);
{%- elif bits == 4 %}
    let word = pack.codes[{{ i // 2 }}];
{%- if i % 2 == 0 %}
    let bits = vec4<u32>(word) << vec4<u32>(19u, 15u, 11u, 7u);
{%- else %}
    let bits = vec4<u32>(word << 3u, word >> 1u, word >> 5u, word >> 9u);
{%- endif %}
    return bitcast<vec4<f32>>((bits & vec4<u32>(0x00780000u)) | vec4<u32>(0x3f800000u));
{%- else %}
    return vec4<f32>(vec4<i32>(vec4<u32>(pack.codes[{{ i }}]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
{%- endif %}
}
{% endfor %}

// c + a . b as four fused multiply-adds where a device has them: `dot` costs a fifth operation, and the sum waits for it.
fn madd(a: vec4<f32>, b: vec4<f32>, c: f32) -> f32 {
    return a.x * b.x + (a.y * b.y + (a.z * b.z + (a.w * b.w + c)));
}
