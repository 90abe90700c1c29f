// out[row, :] = table[token of the row, :]
//
// One invocation unpacks one pack of one row. A token is known, or was sampled by an earlier step and never left the GPU: then
// the row says where that step wrote it. A table that is too large for one binding comes in parts; each part's
// dispatch serves the tokens that it holds and leaves the other rows alone.
{% include "shared/step.wgsl" %}
{% include "shared/words.wgsl" %}
{% include "shared/weights.wgsl" %}
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>; // [rows, OUT_STRIDE]
@group(0) @binding(6) var<storage, read> sampled: array<u32>;         // two words each: token, and whether its logits were finite

const OUT_STRIDE: u32 = {{ out_stride // 4 }}u; // in vec4

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    let pack = id.x;
    if pack >= PACKS || row >= step.rows { return; }
    var token = row_token(row);
    if token >= 0x80000000u { token = sampled[2u * (token & 0x7fffffffu)]; }
    if token < {{ part_start }}u || token >= {{ part_start + part_rows }}u { return; }
    let packed = load_pack(token - {{ part_start }}u, pack);
    let at = row * OUT_STRIDE + pack * (PACK / 4u);
{%- for i in range(pack // 4) %}
    out[at + {{ i }}u] = unpack{{ i }}(packed);
{%- endfor %}
}
