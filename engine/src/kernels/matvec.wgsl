// out[row, n] (+)= dot(weight[n, :], in[row, :]) + bias[n], for few rows: decoding
//
// A row of the weight matrix is shared by THREADS invocations, which stride over its packs; a workgroup holds OUTPUTS such
// teams. Each pack is fetched and unpacked once for COLUMNS rows of the input, so that a small batch costs little more
// than one row: decoding is bound by reading the weights. The teams' sums meet in workgroup memory.
{% include "shared/product.wgsl" %}
const THREADS: u32 = {{ threads }}u;
const OUTPUTS: u32 = {{ outputs }}u;
const COLUMNS: u32 = {{ columns }}u;
{%- if threads > 1 %}
var<workgroup> partial: array<f32, {{ threads * outputs * columns }}>; // [COLUMNS, OUTPUTS, THREADS]
{%- endif %}

@compute @workgroup_size({{ threads * outputs }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let member = lane % THREADS;
    let output = (group.x + group.y * groups.x) * OUTPUTS + lane / THREADS;
    let first = group.z * COLUMNS;
    let count = row_count();
{%- for c in range(columns) %}
    var sum{{ c }} = 0.0;
    let at{{ c }} = min(first + {{ c }}u, count - 1u) * IN_STRIDE;
{%- endfor %}
    if output < PART_ROWS {
        for (var pack = member; pack < PACKS; pack += THREADS) {
            let packed = load_pack(output, pack);
            let k = pack * (PACK / 4u);
{%- for i in range(pack // 4) %}
            let w{{ i }} = unpack{{ i }}(packed);
{%- for c in range(columns) %}
            sum{{ c }} += dot(w{{ i }}, input[at{{ c }} + k + {{ i }}u]);
{%- endfor %}
{%- endfor %}
        }
    }
{%- if threads > 1 %}
{%- for c in range(columns) %}
    partial[{{ c * threads * outputs }}u + lane] = sum{{ c }};
{%- endfor %}
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if member < half {
{%- for c in range(columns) %}
            partial[{{ c * threads * outputs }}u + lane] += partial[{{ c * threads * outputs }}u + lane + half];
{%- endfor %}
        }
        workgroupBarrier();
    }
{%- endif %}
    if member == 0u && output < PART_ROWS {
        let n = PART_START + output;
{%- for c in range(columns) %}
        if first + {{ c }}u < count {
            let at = (first + {{ c }}u) * OUT_STRIDE + n;
            out[at] = {% if threads > 1 %}partial[{{ c * threads * outputs }}u + lane]{% else %}sum{{ c }}{% endif %}
                {%- if bias %} + bias[n]{% endif %}{% if accumulate %} + out[at]{% endif %};
        }
{%- endfor %}
    }
}
