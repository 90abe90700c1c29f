// out[row, n] (+)= dot(weight[n, :], in[row, :]) + bias[n], for many rows: prefill
//
// A workgroup computes a tile of TILE_M rows by TILE_N outputs. It walks over K in steps of 32, brings a slice of the input
// and an unpacked slice of the weights into workgroup memory, and each invocation keeps a block of THREAD_M by THREAD_N
// sums in registers, reading both slices as vec4. Slices are padded by one vec4 so that lanes fall on different banks.
{% include "shared/product.wgsl" %}
{%- set wide = tile_n // thread_n %}
{%- set high = tile_m // thread_m %}
const TILE_M: u32 = {{ tile_m }}u;
const TILE_N: u32 = {{ tile_n }}u;
const STEP_K: u32 = 8u;                       // in vec4
const SLICE: u32 = 9u;                        // STEP_K and the padding
const SLICE_PACKS: u32 = 32u / PACK;
const WORKGROUP: u32 = {{ wide * high }}u;
var<workgroup> input_slice: array<vec4<f32>, {{ tile_m * 9 }}>;  // [TILE_M, SLICE]
var<workgroup> weight_slice: array<vec4<f32>, {{ tile_n * 9 }}>; // [TILE_N, SLICE]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let count = row_count();
    let first_n = group.x * TILE_N;
    let first_m = group.y * TILE_M;
    let x = lane % {{ wide }}u;
    let y = lane / {{ wide }}u;
{%- for m in range(thread_m) %}{% for n in range(thread_n) %}
    var sum_{{ m }}_{{ n }} = 0.0;
{%- endfor %}{% endfor %}

    for (var slice = 0u; slice * SLICE_PACKS < PACKS; slice += 1u) {
        for (var i = lane; i < TILE_M * STEP_K; i += WORKGROUP) {
            let m = i / STEP_K;
            let k = slice * STEP_K + i % STEP_K;
            var value = vec4<f32>();
            if first_m + m < count && k < IN_STRIDE { value = input[(first_m + m) * IN_STRIDE + k]; }
            input_slice[m * SLICE + i % STEP_K] = value;
        }
        for (var i = lane; i < TILE_N * SLICE_PACKS; i += WORKGROUP) {
            let n = i / SLICE_PACKS;
            let pack = slice * SLICE_PACKS + i % SLICE_PACKS;
            let at = n * SLICE + i % SLICE_PACKS * (PACK / 4u);
            if first_n + n < PART_ROWS && pack < PACKS {
                let packed = load_pack(first_n + n, pack);
{%- for i in range(pack // 4) %}
                weight_slice[at + {{ i }}u] = unpack{{ i }}(packed);
{%- endfor %}
            } else {
{%- for i in range(pack // 4) %}
                weight_slice[at + {{ i }}u] = vec4<f32>();
{%- endfor %}
            }
        }
        workgroupBarrier();
        for (var k = 0u; k < STEP_K; k += 1u) {
{%- for m in range(thread_m) %}
            let a{{ m }} = input_slice[(y + {{ m * high }}u) * SLICE + k];
{%- endfor %}
{%- for n in range(thread_n) %}
            let b{{ n }} = weight_slice[(x + {{ n * wide }}u) * SLICE + k];
{%- endfor %}
{%- for m in range(thread_m) %}{% for n in range(thread_n) %}
            sum_{{ m }}_{{ n }} += dot(a{{ m }}, b{{ n }});
{%- endfor %}{% endfor %}
        }
        workgroupBarrier();
    }
{% for m in range(thread_m) %}{% for n in range(thread_n) %}
    if first_m + y + {{ m * high }}u < count && first_n + x + {{ n * wide }}u < PART_ROWS {
        let n = PART_START + first_n + x + {{ n * wide }}u;
        let at = (first_m + y + {{ m * high }}u) * OUT_STRIDE + n;
        out[at] = sum_{{ m }}_{{ n }}{% if bias %} + bias[n]{% endif %}{% if accumulate %} + out[at]{% endif %};
    }
{%- endfor %}{% endfor %}
}
