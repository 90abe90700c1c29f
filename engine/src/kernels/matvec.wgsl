// out[row, n] (+)= dot(weight[n, :], in[row, :]) + bias[n], for few rows: decoding
//
// A team of THREADS invocations strides over the packs of BLOCK weight rows; a workgroup holds TEAMS of them. Each pack is fetched and
// unpacked once for COLUMNS rows of the input, and each input once for BLOCK weight rows: a small batch costs little
// more than one row. The team's sums meet in workgroup memory at one barrier.
//
// An invocation multiplies a pack of 32 consecutive elements, so neighbours read the input 128 bytes apart, which costs a GPU a cache
// line each. With STAGE the workgroup brings the input to workgroup memory first, STAGE packs at a time and transposed, where neighbours
// read side by side; BLOCK is then 4. Without (STAGE 0) there is no barrier for it: software adapters.
//
// What is fused, so that a layer takes few dispatches:
//
// - `norm`: the input is normalized on its way in (Zhang & Sennrich 2019). Whoever reads the whole row anyhow adds up its squares,
//   and the sums are scaled at the end: no pass of its own.
// - `gate`: a team takes row n of both halves of the matrix, gate and up, and writes silu(gate) * up (SwiGLU, Shazeer 2020).
// - `rope`: a team takes both members of a rotary pair, rotates them, and writes queries to `out` and keys and values to the cache.
// - `gather`: input rows are those whose logits are asked for.
//
// With `subgroups` the team's sums meet by shuffles, without workgroup memory and its barrier; a team is then no larger than the least
// subgroup, and invocations fill subgroups in the order of their indices.
//
// With `halves` packs are multiplied in f16, see `shared/halves.wgsl`. Sums from pack to pack, squares and the team's sums are f32.
{%- if subgroups and browser %}
enable subgroups;
{%- endif %}
{%- if halves %}
enable f16;
{%- endif %}
{% include "shared/step.wgsl" %}
{%- if rope or gather %}
{% include "shared/words.wgsl" %}
{%- else %}
@group(0) @binding(0) var<uniform> step: Step;
{%- endif %}
{% include "shared/weights.wgsl" %}
{%- if halves %}
{% include "shared/halves.wgsl" %}
{%- endif %}
{%- if rope %}
{% include "shared/heads.wgsl" %}
@group(0) @binding(8) var<storage, read_write> cache: array<{% if kv_half %}u32{% else %}f32{% endif %}>;     // [slots, 2, KV_WIDTH]
{% include "shared/cache_write.wgsl" %}
{%- endif %}
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;     // [rows, IN_STRIDE]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;       // [rows, OUT_STRIDE]
{%- if bias or norm %}
@group(0) @binding(7) var<storage, read> vectors: array<vec4<f32>>;   // norm's weights [IN_STRIDE], then bias
{%- endif %}
{%- set pairs = gate or rope %}
{%- set size = threads * outputs %}
{%- set quads = pack // 4 %}
{%- set staged = stage > 0 and threads > 1 %}
{%- set teamed = threads > 1 and not subgroups %}

const IN_STRIDE: u32 = {{ in_stride // 4 }}u; // in vec4
const OUT_STRIDE: u32 = {{ out_stride }}u;
const PART_START: u32 = {{ part_start }}u;    // first output of this part of the matrix
const PART_ROWS: u32 = {{ part_rows }}u;
const THREADS: u32 = {{ threads }}u;
const TEAMS: u32 = {{ outputs }}u;
const COLUMNS: u32 = {{ columns }}u;
const SIZE: u32 = {{ size }}u;
{%- if teamed and not staged %}
var<workgroup> partial: array<f32, {{ size * block * columns }}>; // [BLOCK, COLUMNS, THREADS, TEAMS]
{%- endif %}
{%- if norm and (teamed or staged) %}
var<workgroup> all_squares: array<f32, {{ (outputs if subgroups else size) * columns }}>; // [COLUMNS, SIZE], by subgroups [COLUMNS, TEAMS]
{%- endif %}
{%- if staged %}
const STAGE: u32 = {{ stage }}u;    // packs
const LANES: u32 = STAGE + 1u;      // and padding, so that writes fall on different banks
// The input [COLUMNS, PACK / 4, LANES], and afterwards four sums of each invocation [COLUMNS, THREADS, TEAMS].
{%- set room = columns * quads * (stage + 1) %}
{%- set sums = columns * size if teamed else 0 %}
{%- if halves %}
var<workgroup> stage: array<vec4<f16>, {{ room }}>;
{%- if teamed %}
var<workgroup> partial: array<vec4<f32>, {{ sums }}>;
{%- endif %}
{%- else %}
var<workgroup> stage: array<vec4<f32>, {{ room if room > sums else sums }}>;
{%- endif %}
{%- endif %}
{%- set narrow = "narrow" if halves else "" %}

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
        let in{{ c }} = {% if gather %}output_row(min(first + {{ c }}u, count - 1u)){% else %}min(first + {{ c }}u, count - 1u){% endif %} * IN_STRIDE;
        var squares{{ c }} = 0.0;
{%- for r in range(block) %}
        var sum{{ r }}_{{ c }} = 0.0;
{%- endfor %}
{%- endfor %}
{%- if staged %}
        for (var base = 0u; base < PACKS; base += STAGE) {
            let width = min(STAGE, PACKS - base);
            for (var i = lane; i < width * (PACK / 4u); i += SIZE) {
                let to = i % (PACK / 4u) * LANES + i / (PACK / 4u);
                let source = base * (PACK / 4u) + i;
{%- if norm %}
                let norm = vectors[source];
{%- endif %}
{%- for c in range(columns) %}
{%- if norm %}
                let raw{{ c }} = input[in{{ c }} + source];
                squares{{ c }} = madd(raw{{ c }}, raw{{ c }}, squares{{ c }});
                stage[{{ c * quads }}u * LANES + to] = {{ narrow }}(raw{{ c }} * norm);
{%- else %}
                stage[{{ c * quads }}u * LANES + to] = {{ narrow }}(input[in{{ c }} + source]);
{%- endif %}
{%- endfor %}
            }
            workgroupBarrier();
        for (var place = member; place < width; place += THREADS) {
            let pack = base + place;
{%- else %}
        for (var pack = member; pack < PACKS; pack += THREADS) {
            let k = pack * (PACK / 4u);
{%- endif %}
{%- for r in range(block) %}
            let pack{{ r }} = load_pack(row{{ r }}, pack);
{%- endfor %}
{%- if halves %}
{%- for c in range(columns) %}
            var all{{ c }} = vec4<f16>();
{%- for r in range(block) %}
            var run{{ r }}_{{ c }} = vec4<f16>();
{%- endfor %}
{%- endfor %}
{%- elif quantized %}
{%- for c in range(columns) %}
            var all{{ c }} = 0.0;
{%- for r in range(block) %}
            var dot{{ r }}_{{ c }} = 0.0;
{%- endfor %}
{%- endfor %}
{%- endif %}
{%- for i in range(pack // 4) %}
            {
{%- for r in range(block) %}
                let w{{ r }} = {{ "half" if halves else "code" }}{{ i }}(pack{{ r }});
{%- endfor %}
{%- if norm and not staged %}
                let norm = vectors[k + {{ i }}u];
{%- endif %}
{%- for c in range(columns) %}
{%- if staged %}
                let x{{ c }} = stage[{{ c * quads + i }}u * LANES + place];
{%- elif norm %}
                let raw{{ c }} = input[in{{ c }} + k + {{ i }}u];
                squares{{ c }} = madd(raw{{ c }}, raw{{ c }}, squares{{ c }});
                let x{{ c }} = {{ narrow }}(raw{{ c }} * norm);
{%- else %}
                let x{{ c }} = {{ narrow }}(input[in{{ c }} + k + {{ i }}u]);
{%- endif %}
{%- if halves %}
{%- if mins %}
                all{{ c }} += x{{ c }};
{%- endif %}
{%- for r in range(block) %}
                run{{ r }}_{{ c }} += w{{ r }} * x{{ c }};
{%- endfor %}
{%- elif quantized %}
{%- if mins or bits == 4 %}
                all{{ c }} += (x{{ c }}.x + x{{ c }}.y) + (x{{ c }}.z + x{{ c }}.w);
{%- endif %}
{%- for r in range(block) %}
                dot{{ r }}_{{ c }} = madd(w{{ r }}, x{{ c }}, dot{{ r }}_{{ c }});
{%- endfor %}
{%- else %}
{%- for r in range(block) %}
                sum{{ r }}_{{ c }} = madd(w{{ r }}, x{{ c }}, sum{{ r }}_{{ c }});
{%- endfor %}
{%- endif %}
{%- endfor %}
            }
{%- endfor %}
{%- if halves %}
{%- for c in range(columns) %}
{%- for r in range(block) %}
            sum{{ r }}_{{ c }} += {% if quantized %}half_scale(pack{{ r }}) * {% endif %}total(run{{ r }}_{{ c }}){% if mins %} + half_offset(pack{{ r }}) * total(all{{ c }}){% endif %};
{%- endfor %}
{%- endfor %}
{%- elif quantized %}
{%- for c in range(columns) %}
{%- for r in range(block) %}
            sum{{ r }}_{{ c }} += code_scale(pack{{ r }}) * dot{{ r }}_{{ c }}{% if mins or bits == 4 %} + code_offset(pack{{ r }}) * all{{ c }}{% endif %};
{%- endfor %}
{%- endfor %}
{%- endif %}
        }
{%- if staged %}
            workgroupBarrier();
        }
{%- endif %}
{%- if subgroups %}
        // A butterfly: afterwards every invocation of the team has all its sums.
{%- for c in range(columns) %}
{%- for half in [16, 8, 4, 2, 1] if half < threads %}
{%- for r in range(block) %}
        sum{{ r }}_{{ c }} += subgroupShuffleXor(sum{{ r }}_{{ c }}, {{ half }}u);
{%- endfor %}
{%- if norm %}
        squares{{ c }} += subgroupShuffleXor(squares{{ c }}, {{ half }}u);
{%- endif %}
{%- endfor %}
{%- endfor %}
{%- if norm and staged %}
        // The whole workgroup read the input, so its squares are in all teams.
{%- for c in range(columns) %}
        if member == 0u { all_squares[{{ c }}u * TEAMS + lane / THREADS] = squares{{ c }}; }
{%- endfor %}
        workgroupBarrier();
{%- for c in range(columns) %}
        squares{{ c }} = 0.0;
        for (var t = 0u; t < TEAMS; t += 1u) { squares{{ c }} += all_squares[{{ c }}u * TEAMS + t]; }
{%- endfor %}
{%- endif %}
        if first_unit + lane / THREADS < UNITS {
{%- for c in range(columns) %}
            if member == {{ c % threads }}u && first + {{ c }}u < count {
                finish(unit, first + {{ c }}u{% for r in range(block) %}, sum{{ r }}_{{ c }}{% endfor %}, squares{{ c }});
            }
{%- endfor %}
        }
{%- elif threads > 1 %}
        let at = member * TEAMS + lane / THREADS;
{%- for c in range(columns) %}
{%- if staged %}
        {{ "partial" if halves else "stage" }}[{{ c * size }}u + at] = vec4<f32>(sum0_{{ c }}, sum1_{{ c }}, sum2_{{ c }}, sum3_{{ c }});
{%- else %}
{%- for r in range(block) %}
        partial[{{ (r * columns + c) * size }}u + at] = sum{{ r }}_{{ c }};
{%- endfor %}
{%- endif %}
{%- if norm %}
        all_squares[{{ c * size }}u + at] = squares{{ c }};
{%- endif %}
{%- endfor %}
{%- else %}
        if first_unit + lane < UNITS {
{%- for c in range(columns) %}
            if first + {{ c }}u < count {
                finish(unit, first + {{ c }}u{% for r in range(block) %}, sum{{ r }}_{{ c }}{% endfor %}, squares{{ c }});
            }
{%- endfor %}
        }
{%- endif %}
    }
{%- if teamed %}
    workgroupBarrier();
{%- if norm and staged %}
    // Squares were added up by the whole workgroup: first THREADS sums of what TEAMS hold.
    for (var item = lane; item < THREADS * COLUMNS; item += SIZE) {
        let first_square = item / THREADS * SIZE + item % THREADS * TEAMS;
        var squares = 0.0;
        for (var t = 0u; t < TEAMS; t += 1u) { squares += all_squares[first_square + t]; }
        all_squares[first_square] = squares;
    }
    workgroupBarrier();
{%- endif %}
    for (var item = lane; item < TEAMS * COLUMNS; item += SIZE) {
        let unit = first_unit + item % TEAMS;
        let column = item / TEAMS;
        if unit < UNITS && first + column < count {
{%- if staged %}
            var sums = vec4<f32>();
{%- else %}
{%- for r in range(block) %}
            var s{{ r }} = 0.0;
{%- endfor %}
{%- endif %}
            var squares = 0.0;
            for (var t = 0u; t < THREADS; t += 1u) {
                let at = column * SIZE + t * TEAMS + item % TEAMS;
{%- if staged %}
                sums += {{ "partial" if halves else "stage" }}[at];
{%- else %}
{%- for r in range(block) %}
                s{{ r }} += partial[{{ r * columns * size }}u + at];
{%- endfor %}
{%- endif %}
{%- if norm %}
                squares += all_squares[{% if staged %}column * SIZE + t * TEAMS{% else %}at{% endif %}];
{%- endif %}
            }
            finish(unit, first + column{% for r in range(block) %}, {{ "sums." ~ "xyzw"[r] if staged else "s" ~ r }}{% endfor %}, squares);
        }
    }
{%- endif %}
}
