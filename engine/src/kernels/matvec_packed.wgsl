// out[row, n] (+)= dot(weight[n, :], in[row, :]) + bias[n], in 8-bit integers, for few rows: decoding of many sequences at once
//
// The same division of work as `matvec`: a team of THREADS invocations strides over the blocks of BLOCK weight rows, and each that it
// fetches and unpacks serves COLUMNS rows of the input. Four products are one `dot4I8Packed`, and 32 elements of the input are three
// loads, so the input needs no staging, and eight rows cost little more than one. Norm and rows of the head were seen to by
// `quantize`; what else is fused is as in `matvec`.
{%- if subgroups and browser %}
enable subgroups;
{%- endif %}
{% include "shared/step.wgsl" %}
{%- if rope %}
{% include "shared/words.wgsl" %}
{%- else %}
@group(0) @binding(0) var<uniform> step: Step;
{%- endif %}
{% include "shared/weights.wgsl" %}
{% include "shared/packed.wgsl" %}
{%- if rope %}
{% include "shared/heads.wgsl" %}
@group(0) @binding(8) var<storage, read_write> cache: array<{% if kv_half %}u32{% else %}f32{% endif %}>;     // [slots, 2, KV_WIDTH]
{% include "shared/cache_write.wgsl" %}
{%- endif %}
@group(0) @binding(6) var<storage, read_write> out: array<f32>;       // [rows, OUT_STRIDE]
{%- if bias %}
@group(0) @binding(7) var<storage, read> vectors: array<vec4<f32>>;   // bias
{%- endif %}
{%- set pairs = gate or rope %}
{%- set size = threads * outputs %}
{%- set halves = 32 // pack %}

const OUT_STRIDE: u32 = {{ out_stride }}u;
const PART_START: u32 = {{ part_start }}u;    // first output of this part of the matrix
const PART_ROWS: u32 = {{ part_rows }}u;
const THREADS: u32 = {{ threads }}u;
const TEAMS: u32 = {{ outputs }}u;
const COLUMNS: u32 = {{ columns }}u;
const SIZE: u32 = {{ size }}u;
{%- if threads > 1 and not subgroups %}
var<workgroup> partial: array<f32, {{ size * block * columns }}>; // [BLOCK, COLUMNS, THREADS, TEAMS]
{%- endif %}

{% include "shared/product.wgsl" %}

@compute @workgroup_size({{ size }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let member = lane % THREADS;
    let first_unit = (group.x + group.y * groups.x) * TEAMS;
    let first = group.z * COLUMNS;
    let count = {% if head %}step.outputs{% else %}step.rows{% endif %};
    {
        let unit = min(first_unit + lane / THREADS, UNITS - 1u);
{%- for r in range(block) %}
        let row{{ r }} = weight_row(unit, {{ r }}u);
{%- endfor %}
{%- for c in range(columns) %}
        let in{{ c }} = min(first + {{ c }}u, count - 1u) * BLOCKS * 3u;
{%- for r in range(block) %}
        var sum{{ r }}_{{ c }} = 0.0;
{%- endfor %}
{%- endfor %}
        for (var at = member; at < BLOCKS; at += THREADS) {
{%- for r in range(block) %}
{%- for h in range(halves) %}
            let pack{{ r }}_{{ h }} = load_pack(row{{ r }}, {% if halves == 2 %}2u * at + {{ h }}u{% else %}at{% endif %});
{%- endfor %}
{%- if bits == 4 %}
            let w{{ r }}_0 = bytes(pack{{ r }}_0.codes.x, pack{{ r }}_0.codes.y);
            let w{{ r }}_1 = bytes(pack{{ r }}_0.codes.z, pack{{ r }}_0.codes.w);
{%- endif %}
{%- endfor %}
{%- for c in range(columns) %}
            {
                let begin = in{{ c }} + at * 3u;
                let x0 = input[begin];
                let x1 = input[begin + 1u];
                let scale = bitcast<vec4<f32>>(input[begin + 2u]);
{%- for r in range(block) %}
{%- if bits == 4 %}
                sum{{ r }}_{{ c }} += scale.x * pack{{ r }}_0.scale * f32(dot4(w{{ r }}_0, x0) + dot4(w{{ r }}_1, x1)){% if mins %} + pack{{ r }}_0.offset * (scale.y + scale.z){% endif %};
{%- else %}
                sum{{ r }}_{{ c }} += scale.x * (pack{{ r }}_0.scale * f32(dot4(pack{{ r }}_0.codes, x0)) + pack{{ r }}_1.scale * f32(dot4(pack{{ r }}_1.codes, x1))){% if mins %}
                    + pack{{ r }}_0.offset * scale.y + pack{{ r }}_1.offset * scale.z{% endif %};
{%- endif %}
{%- endfor %}
            }
{%- endfor %}
        }
{%- if subgroups %}
        // A butterfly: afterwards every invocation of the team has all its sums.
{%- for c in range(columns) %}
{%- for half in [16, 8, 4, 2, 1] if half < threads %}
{%- for r in range(block) %}
        sum{{ r }}_{{ c }} += subgroupShuffleXor(sum{{ r }}_{{ c }}, {{ half }}u);
{%- endfor %}
{%- endfor %}
{%- endfor %}
        if first_unit + lane / THREADS < UNITS {
{%- for c in range(columns) %}
            if member == {{ c % threads }}u && first + {{ c }}u < count {
                finish(unit, first + {{ c }}u{% for r in range(block) %}, sum{{ r }}_{{ c }}{% endfor %}, 0.0);
            }
{%- endfor %}
        }
{%- elif threads > 1 %}
        let at = member * TEAMS + lane / THREADS;
{%- for c in range(columns) %}
{%- for r in range(block) %}
        partial[{{ (r * columns + c) * size }}u + at] = sum{{ r }}_{{ c }};
{%- endfor %}
{%- endfor %}
{%- else %}
        if first_unit + lane < UNITS {
{%- for c in range(columns) %}
            if first + {{ c }}u < count {
                finish(unit, first + {{ c }}u{% for r in range(block) %}, sum{{ r }}_{{ c }}{% endfor %}, 0.0);
            }
{%- endfor %}
        }
{%- endif %}
    }
{%- if threads > 1 and not subgroups %}
    workgroupBarrier();
    for (var item = lane; item < TEAMS * COLUMNS; item += SIZE) {
        let unit = first_unit + item % TEAMS;
        let column = item / TEAMS;
        if unit < UNITS && first + column < count {
{%- for r in range(block) %}
            var s{{ r }} = 0.0;
{%- endfor %}
            for (var t = 0u; t < THREADS; t += 1u) {
                let at = column * SIZE + t * TEAMS + item % TEAMS;
{%- for r in range(block) %}
                s{{ r }} += partial[{{ r * columns * size }}u + at];
{%- endfor %}
            }
            finish(unit, first + column{% for r in range(block) %}, s{{ r }}{% endfor %}, 0.0);
        }
    }
{%- endif %}
}
