// out[row, n] (+)= dot(weight[n, :], in[row, :]) + bias[n], in 8-bit integers, for many rows: prefill
//
// As `matmul`: a tile of TILE_M rows by TILE_N outputs per workgroup, a block of THREAD_M by THREAD_N sums in the registers of each invocation, the
// next slices under way while these are multiplied. A slice is one block of 32 elements: 32 bytes of a row of the input and
// 32 bytes of a weight row, a quarter of what floats take, and four products are one `dot4I8Packed`. Slices lie in workgroup memory
// one vec4 of all rows after the other, so that neighbours read side by side.
{% include "shared/step.wgsl" %}
{% include "shared/weights.wgsl" %}
{% include "shared/packed.wgsl" %}
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;     // [rows, OUT_STRIDE]
{%- if bias %}
@group(0) @binding(7) var<storage, read> bias: array<f32>;          // [all outputs]
{%- endif %}
{%- set wide = tile_n // thread_n %}
{%- set high = tile_m // thread_m %}
{%- set size = wide * high %}
{%- set halves = 32 // pack %}
{%- set input_loads = (tile_m * 3 + size - 1) // size %}
{%- set weight_loads = (tile_n * halves + size - 1) // size %}

const OUT_STRIDE: u32 = {{ out_stride }}u;
const PART_START: u32 = {{ part_start }}u;    // first output of this part of the matrix
const PART_ROWS: u32 = {{ part_rows }}u;
const TILE_M: u32 = {{ tile_m }}u;
const TILE_N: u32 = {{ tile_n }}u;
const WORKGROUP: u32 = {{ size }}u;
var<workgroup> input_slice: array<vec4<u32>, {{ tile_m * 3 }}>;      // [3, TILE_M]
var<workgroup> weight_slice: array<vec4<u32>, {{ tile_n * 2 }}>;     // [2, TILE_N]
var<workgroup> scale_slice: array<vec2<f32>, {{ tile_n * halves }}>; // [halves, TILE_N]: scale, offset

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

    // What an invocation brings: of the input so many vec4, of the weights so many packs. Rows past the end are read as the last.
{%- for i in range(input_loads) %}
    var next_input{{ i }} = vec4<u32>();
    let m{{ i }} = (lane + {{ i * size }}u) / 3u;
    let part{{ i }} = (lane + {{ i * size }}u) % 3u;
    let input_at{{ i }} = min(first_m + m{{ i }}, count - 1u) * BLOCKS * 3u + part{{ i }};
{%- endfor %}
{%- for i in range(weight_loads) %}
    var next_pack{{ i }} = Pack();
    let n{{ i }} = (lane + {{ i * size }}u) / {{ halves }}u;
    let half{{ i }} = (lane + {{ i * size }}u) % {{ halves }}u;
    let weight_row{{ i }} = min(first_n + n{{ i }}, PART_ROWS - 1u);
{%- endfor %}
    for (var slice = 0u; slice <= BLOCKS; slice += 1u) {
        // The slice that was fetched during the last round goes to workgroup memory, the next one is fetched during this.
        if slice > 0u {
            workgroupBarrier();
{%- for i in range(input_loads) %}
            {% if (i + 1) * size > tile_m * 3 %}if m{{ i }} < TILE_M {% endif %}{ input_slice[part{{ i }} * TILE_M + m{{ i }}] = next_input{{ i }}; }
{%- endfor %}
{%- for i in range(weight_loads) %}
            {% if (i + 1) * size > tile_n * halves %}if n{{ i }} < TILE_N {% endif %}{
{%- if bits == 4 %}
                weight_slice[n{{ i }}] = bytes(next_pack{{ i }}.codes.x, next_pack{{ i }}.codes.y);
                weight_slice[TILE_N + n{{ i }}] = bytes(next_pack{{ i }}.codes.z, next_pack{{ i }}.codes.w);
{%- else %}
                weight_slice[half{{ i }} * TILE_N + n{{ i }}] = next_pack{{ i }}.codes;
{%- endif %}
                scale_slice[half{{ i }} * TILE_N + n{{ i }}] = vec2<f32>(next_pack{{ i }}.scale, next_pack{{ i }}.offset);
            }
{%- endfor %}
            workgroupBarrier();
        }
        if slice < BLOCKS {
{%- for i in range(input_loads) %}
            next_input{{ i }} = input[input_at{{ i }} + slice * 3u];
{%- endfor %}
{%- for i in range(weight_loads) %}
            next_pack{{ i }} = load_pack(weight_row{{ i }}, slice * {{ halves }}u + half{{ i }});
{%- endfor %}
        }
        if slice > 0u {
{%- for m in range(thread_m) %}
            let a{{ m }}_0 = input_slice[y + {{ m * high }}u];
            let a{{ m }}_1 = input_slice[TILE_M + y + {{ m * high }}u];
            let scale{{ m }} = bitcast<vec4<f32>>(input_slice[2u * TILE_M + y + {{ m * high }}u]);
{%- endfor %}
{%- for n in range(thread_n) %}
            {
                let b0 = weight_slice[x + {{ n * wide }}u];
                let b1 = weight_slice[TILE_N + x + {{ n * wide }}u];
                let c0 = scale_slice[x + {{ n * wide }}u];
{%- if halves == 2 %}
                let c1 = scale_slice[TILE_N + x + {{ n * wide }}u];
{%- endif %}
{%- for m in range(thread_m) %}
{%- set sum = "sum_" ~ m ~ "_" ~ n %}
{%- if halves == 1 %}
                {{ sum }} += scale{{ m }}.x * c0.x * f32(dot4(a{{ m }}_0, b0) + dot4(a{{ m }}_1, b1)){% if mins %} + c0.y * (scale{{ m }}.y + scale{{ m }}.z){% endif %};
{%- else %}
                {{ sum }} += scale{{ m }}.x * (c0.x * f32(dot4(a{{ m }}_0, b0)) + c1.x * f32(dot4(a{{ m }}_1, b1))){% if mins %} + c0.y * scale{{ m }}.y + c1.y * scale{{ m }}.z{% endif %};
{%- endif %}
{%- endfor %}
            }
{%- endfor %}
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
