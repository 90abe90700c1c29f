// Products in f16, for devices that do two of them at a time or keep them in half the registers.
//
// Four sums of f16 run side by side over a short run of columns, a pack or 32, and are then added to a sum of f32. With n products to
// each (8 at most), u = 2^-11 and both operands rounded once, a result is off by at most (n + 2) u times the sum of the products'
// magnitudes, 0.5 %; the errors are of either sign and mostly cancel. Codes are brought to [-1, 1), which is exact, and scaled in
// f32 after the run, so that a run overflows only by inputs beyond 65504 / n. Inputs that are still to be normalized may be that large in
// some models: they go in as a sixteenth.

{%- if norm is defined and norm %}
const SHRINK: f32 = 0.0625;
const STRETCH: f32 = 16.0;
{%- else %}
const SHRINK: f32 = 1.0;
const STRETCH: f32 = 1.0;
{%- endif %}

fn narrow(x: vec4<f32>) -> vec4<f16> { return vec4<f16>(x * SHRINK); }

// What a run adds up to.
fn total(run: vec4<f16>) -> f32 {
    let x = vec4<f32>(run);
    return ((x.x + x.y) + (x.z + x.w)) * STRETCH;
}
{%- if quantized %}
// What a code of `half` is scaled and shifted by.
{%- if bits == 4 %}
fn half_scale(pack: Pack) -> f32 { return pack.scale * 8.0; }
fn half_offset(pack: Pack) -> f32 { return pack.offset + 8.0 * pack.scale; }
{%- else %}
fn half_scale(pack: Pack) -> f32 { return pack.scale * 128.0; }
fn half_offset(pack: Pack) -> f32 { return pack.offset; }
{%- endif %}
{%- endif %}
{% for i in range(pack // 4) %}
fn half{{ i }}(pack: Pack) -> vec4<f16> {
{%- if not quantized %}
    return vec4<f16>(unpack{{ i }}(pack));
{%- elif bits == 4 %}
    let word = vec4<u32>(pack.codes[{{ i // 2 }}]) >> vec4<u32>({{ i % 2 * 16 }}u, {{ i % 2 * 16 + 4 }}u, {{ i % 2 * 16 + 8 }}u, {{ i % 2 * 16 + 12 }}u);
    return vec4<f16>(vec4<i32>(word & vec4<u32>(15u)) - vec4<i32>(8)) * 0.125h;
{%- else %}
    let word = vec4<i32>(vec4<u32>(pack.codes[{{ i }}]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
    return vec4<f16>(word) * 0.0078125h;
{%- endif %}
}
{% endfor %}
