// out[row, :] = table[token of the row, :]
//
// One invocation unpacks one pack of one row. A table that is too large for one binding comes in parts; each part's
// dispatch serves the tokens that it holds and leaves the other rows alone.
{% include "shared/step.wgsl" %}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>; // [rows, OUT_STRIDE]
{% include "shared/weights.wgsl" %}
const OUT_STRIDE: u32 = {{ out_stride // 4 }}u; // in vec4

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    let pack = id.x;
    if pack >= PACKS || row >= step.rows { return; }
    let token = rows[row].token;
    if token < {{ part_start }}u || token >= {{ part_start + part_rows }}u { return; }
    let packed = load_pack(token - {{ part_start }}u, pack);
    let at = row * OUT_STRIDE + pack * (PACK / 4u);
{%- for i in range(pack // 4) %}
    out[at + {{ i }}u] = unpack{{ i }}(packed);
{%- endfor %}
}
