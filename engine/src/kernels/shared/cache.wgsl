// Keys and values of a slot: the key's KV_WIDTH elements and then the value's, f32 or packed halves.
//
// Halves need no `shader-f16`: packing and unpacking are part of WGSL. Two elements share a word, so a rotated pair, whose members are half a
// head apart in most checkpoints, lies side by side in keys of halves, and in the queries that meet them (`placed`): the order
// of a head's elements is nothing to a dot product.
{%- if kv_half %}
alias Cached = vec2<u32>;
{%- else %}
alias Cached = vec4<f32>;
{%- endif %}

fn four(x: Cached) -> vec4<f32> {
{%- if kv_half %}
    return vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y));
{%- else %}
    return x;
{%- endif %}
}
