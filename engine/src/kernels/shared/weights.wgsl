// A weight matrix [rows, cols] in the canonical layout (`weights::layout`), one vec4<u32> at a time.
//
// One load of 16 bytes holds a *pack* of PACK consecutive elements of a row: 4 (f32), 8 (f16, bf16), 16 (8-bit codes) or
// 32 (4-bit codes). `load_pack` fetches it together with its scale and minimum, `unpack0 .. unpackN` give its elements
// four at a time. The functions are unrolled by the template, so that no vector is indexed by a variable. Codes, scales and minima
// are bindings 3 to 5 of every kernel that reads a matrix.

@group(0) @binding(3) var<storage, read> weight_codes: array<vec4<u32>>;
{%- if quantized %}
@group(0) @binding(4) var<storage, read> weight_scales: array<u32>;
{%- endif %}
{%- if mins %}
@group(0) @binding(5) var<storage, read> weight_mins: array<u32>;
{%- endif %}

const PACK: u32 = {{ pack }}u;
const PACKS: u32 = {{ packs }}u; // per row

struct Pack {
    codes: vec4<u32>,
{%- if quantized %}
    scale: f32,
    offset: f32, // what code 0 stands for
{%- endif %}
}

fn load_pack(row: u32, pack: u32) -> Pack {
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
    return vec4<f32>(word & vec4<u32>(15u)) * pack.scale + vec4<f32>(pack.offset);
{%- else %}
    let word = vec4<i32>(vec4<u32>(pack.codes[{{ i }}]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
    return vec4<f32>(word) * pack.scale + vec4<f32>(pack.offset);
{%- endif %}
}
{% endfor %}
