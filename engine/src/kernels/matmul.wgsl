// out[row, n] (+)= dot(weight[n, :], in[row, :]) + bias[n], for many rows: prefill
//
// A workgroup computes a tile of TILE_M rows by TILE_N outputs. It walks over K in steps of 32, brings a slice of the input
// and an unpacked slice of the weights into workgroup memory, and each invocation keeps a block of THREAD_M by THREAD_N
// sums in registers, reading both slices as vec4. The next slices are under way to registers
// while these are multiplied. Slices are padded by one vec4 so that lanes fall on different banks.
//
// With `halves` slices are f16 and multiplied as such, see `shared/halves.wgsl`: a run is a slice.
{%- if halves %}
enable f16;
{%- endif %}
{% include "shared/step.wgsl" %}
{% include "shared/weights.wgsl" %}
{%- if halves %}
{% include "shared/halves.wgsl" %}
{%- endif %}
{%- set element = "f16" if halves else "f32" %}
{%- set narrow = "vec4<f16>" if halves else "" %}
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;   // [rows, IN_STRIDE]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;     // [rows, OUT_STRIDE]
{%- if bias %}
@group(0) @binding(7) var<storage, read> bias: array<f32>;          // [all outputs]
{%- endif %}

const IN_STRIDE: u32 = {{ in_stride // 4 }}u; // in vec4
const OUT_STRIDE: u32 = {{ out_stride }}u;
const PART_START: u32 = {{ part_start }}u;    // first output of this part of the matrix
const PART_ROWS: u32 = {{ part_rows }}u;
{%- set wide = tile_n // thread_n %}
{%- set high = tile_m // thread_m %}
const TILE_M: u32 = {{ tile_m }}u;
const TILE_N: u32 = {{ tile_n }}u;
const STEP_K: u32 = 8u;                       // in vec4
const SLICE: u32 = 9u;                        // STEP_K and the padding
const SLICE_PACKS: u32 = 32u / PACK;
const SLICES: u32 = (PACKS + SLICE_PACKS - 1u) / SLICE_PACKS;
const WORKGROUP: u32 = {{ wide * high }}u;
var<workgroup> input_slice: array<vec4<{{ element }}>, {{ tile_m * 9 }}>;  // [TILE_M, SLICE]
var<workgroup> weight_slice: array<vec4<{{ element }}>, {{ tile_n * 9 }}>; // [TILE_N, SLICE]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let count = {% if head %}step.outputs{% else %}step.rows{% endif %};
    let first_n = group.x * TILE_N;
    let first_m = group.y * TILE_M;
    let x = lane % {{ wide }}u;
    let y = lane / {{ wide }}u;
{%- for m in range(thread_m) %}{% for n in range(thread_n) %}
    var sum_{{ m }}_{{ n }} = 0.0;
{%- endfor %}{% endfor %}

{%- set size = wide * high %}
{%- set input_loads = (tile_m * 8 + size - 1) // size %}
{%- set slice_packs = 32 // pack %}
{%- set weight_loads = (tile_n * slice_packs + size - 1) // size %}
    // What an invocation brings: of the input so many vec4, of the weights so many packs.
{%- for i in range(input_loads) %}
    var next_input{{ i }} = vec4<f32>();
    let m{{ i }} = (lane + {{ i * size }}u) / STEP_K;
    let input_at{{ i }} = (first_m + m{{ i }}) * IN_STRIDE + lane % STEP_K;
{%- endfor %}
{%- for i in range(weight_loads) %}
    var next_pack{{ i }} = Pack();
    let n{{ i }} = (lane + {{ i * size }}u) / SLICE_PACKS;
{%- endfor %}
    for (var slice = 0u; slice <= SLICES; slice += 1u) {
        // The slice that was fetched during the last round goes to workgroup memory, the next one is fetched during this.
        if slice > 0u {
            workgroupBarrier();
{%- for i in range(input_loads) %}
            if m{{ i }} < TILE_M { input_slice[m{{ i }} * SLICE + lane % STEP_K] = {{ narrow }}(next_input{{ i }}); }
{%- endfor %}
{%- for i in range(weight_loads) %}
            if n{{ i }} < TILE_N {
                let at = n{{ i }} * SLICE + lane % SLICE_PACKS * (PACK / 4u);
{%- for j in range(pack // 4) %}
                weight_slice[at + {{ j }}u] = {{ narrow }}(unpack{{ j }}(next_pack{{ i }}));
{%- endfor %}
            }
{%- endfor %}
            workgroupBarrier();
        }
        if slice < SLICES {
{%- for i in range(input_loads) %}
            next_input{{ i }} = vec4<f32>();
            if m{{ i }} < TILE_M && first_m + m{{ i }} < count && slice * STEP_K + lane % STEP_K < IN_STRIDE {
                next_input{{ i }} = input[input_at{{ i }} + slice * STEP_K];
            }
{%- endfor %}
{%- for i in range(weight_loads) %}
            next_pack{{ i }} = Pack();
            if n{{ i }} < TILE_N && first_n + n{{ i }} < PART_ROWS && slice * SLICE_PACKS + lane % SLICE_PACKS < PACKS {
                next_pack{{ i }} = load_pack(first_n + n{{ i }}, slice * SLICE_PACKS + lane % SLICE_PACKS);
            }
{%- endfor %}
        }
        if slice > 0u {
{%- if halves %}
{%- for m in range(thread_m) %}{% for n in range(thread_n) %}
            var run_{{ m }}_{{ n }} = vec4<f16>();
{%- endfor %}{% endfor %}
{%- endif %}
            for (var k = 0u; k < STEP_K; k += 1u) {
{%- for m in range(thread_m) %}
                let a{{ m }} = input_slice[(y + {{ m * high }}u) * SLICE + k];
{%- endfor %}
{%- for n in range(thread_n) %}
                let b{{ n }} = weight_slice[(x + {{ n * wide }}u) * SLICE + k];
{%- endfor %}
{%- for m in range(thread_m) %}{% for n in range(thread_n) %}
                {% if halves %}run_{{ m }}_{{ n }} += a{{ m }} * b{{ n }};{% else %}sum_{{ m }}_{{ n }} = madd(a{{ m }}, b{{ n }}, sum_{{ m }}_{{ n }});{% endif %}
{%- endfor %}{% endfor %}
            }
{%- if halves %}
{%- for m in range(thread_m) %}{% for n in range(thread_n) %}
            sum_{{ m }}_{{ n }} += total(run_{{ m }}_{{ n }});
{%- endfor %}{% endfor %}
{%- endif %}
        }
    }
{% for m in range(thread_m) %}{% for n in range(thread_n) %}
    if first_m + y + {{ m * high }}u < count && first_n + x + {{ n * wide }}u < PART_ROWS {
        let n = PART_START + first_n + x + {{ n * wide }}u;
        let at = (first_m + y + {{ m * high }}u) * OUT_STRIDE + n;
        out[at] = sum_{{ m }}_{{ n }}{% if bias %} + bias[n]{% endif %}{% if accumulate %} + out[at]{% endif %};
    }
{%- endfor %}{% endfor %}
}
