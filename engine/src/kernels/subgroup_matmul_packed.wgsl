// out[row, n] (+)= dot(weight[n, :], in[row, :]) + bias[n], by the matrix units of subgroups: from some sixteen rows on
//
// Where a device has them (`chromium_experimental_subgroup_matrix`), a subgroup multiplies two matrices of f16 in one operation and adds
// up in f32: on an H100 ten times what `dot4I8Packed` does. A workgroup has a tile of TILE_M rows by TILE_N outputs, and goes through the
// columns a few blocks of 32 at a time: all invocations bring weights and input, as f16, to workgroup memory, then each
// subgroup multiplies its TEAM_M rows by TEAM_N outputs, or with PARTS > 1 its share of the columns of those, for matrices so small
// that there are too few tiles to keep a GPU busy. The units take integers too, but then every block's sums
// have to pass through workgroup memory to be scaled: 163 us for [28672, 4096] and 32 rows, where this takes 82 and `dot4I8Packed` 134.
//
// The input is what `quantize` leaves as f16 beside the integers, sixteenths of activations, which sums are made up for. Which column is
// which is up to us as long as input and weights agree: bytes 0 and 2 of a word, which share an instruction, come before bytes 1 and 3.
// A row in workgroup memory is a vec4 longer than its columns, so that eight rows lie in different banks.
//
// Without UNITS the invocations do what the units would: for devices that have none, where all but those is checked.
{%- if units %}
diagnostic(off, chromium.subgroup_matrix_uniformity); // which part of the tile a subgroup has is the same for all of it, but not for all of the workgroup
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
{%- endif %}
{%- set pairs = gate or rope %}
{%- set block = 2 if pairs else 1 %}
{% include "shared/step.wgsl" %}
{%- if rope %}
{% include "shared/words.wgsl" %}
{%- else %}
@group(0) @binding(0) var<uniform> step: Step;
{%- endif %}
{% include "shared/weights.wgsl" %}
@group(0) @binding(9) var<storage, read> input: array<vec4<u32>>;     // [rows, BLOCKS, 4]: f16, as `quantize` orders them
{%- if rope %}
{% include "shared/heads.wgsl" %}
@group(0) @binding(8) var<storage, read_write> cache: array<{% if kv_half %}u32{% else %}f32{% endif %}>;     // [slots, 2, KV_WIDTH]
{% include "shared/cache_write.wgsl" %}
{%- endif %}
@group(0) @binding(6) var<storage, read_write> out: array<f32>;       // [rows, OUT_STRIDE]
{%- if bias %}
@group(0) @binding(7) var<storage, read> vectors: array<vec4<f32>>;   // bias
{%- endif %}
{%- set across_m = tile_m // team_m %}
{%- set across_n = tile_n // team_n %}
{%- set teams = across_m * across_n %}
{%- set size = lanes * teams * parts %}
{%- set row_packs = blocks * (32 // pack) %}
{%- set input_loads = (tile_m * blocks * 4 + size - 1) // size %}
{%- set whole = in_stride // 32 % blocks == 0 %}
{%- set weight_loads = (tile_n * row_packs + size - 1) // size %}
{%- set steps = blocks * 32 // unit_k // parts %}
{%- set team_units = team_n // block %}

const BLOCKS: u32 = {{ in_stride // 32 }}u;
const OUT_STRIDE: u32 = {{ out_stride }}u;
const PART_START: u32 = {{ part_start }}u;    // first output of this part of the matrix
const PART_ROWS: u32 = {{ part_rows }}u;
const TILE_M: u32 = {{ tile_m }}u;
const TILE_N: u32 = {{ tile_n }}u;
const TEAM_M: u32 = {{ team_m }}u;
const TEAM_N: u32 = {{ team_n }}u;
const TEAM_UNITS: u32 = {{ team_units }}u;    // outputs of a team, or pairs of them
const TEAMS: u32 = {{ teams }}u;              // that a tile is shared among
const PARTS: u32 = {{ parts }}u;              // of the columns, each with its own teams
const SLICES: u32 = (BLOCKS + {{ blocks - 1 }}u) / {{ blocks }}u;
const SIZE: u32 = {{ size }}u;
const STRIDE: u32 = {{ blocks * 4 + 1 }}u;    // vec4 of a row in workgroup memory, eight columns each
const SUM_STRIDE: u32 = {{ team_n + 4 }}u;
const STRETCH: f32 = 16.0;
var<workgroup> input_slice: array<vec4<u32>, {{ tile_m * (blocks * 4 + 1) }}>;  // [TILE_M, STRIDE]
var<workgroup> weight_slice: array<vec4<u32>, {{ tile_n * (blocks * 4 + 1) }}>; // [TILE_N, STRIDE]
var<workgroup> sums: array<f32, {{ teams * parts * unit_m * (team_n + 4) }}>;   // [PARTS, TEAMS, {{ unit_m }}, SUM_STRIDE]

{% include "shared/product.wgsl" %}

{%- if bits == 8 %}

// Bytes 0 and 2 of a word, as f16.
fn halves_of_bytes(word: u32, scale: f32, offset: f32) -> u32 {
    // 1024 + 128 + byte: the lowest bit of such an f16 is 1.
    let bytes = unpack2x16float(((word & 0x00ff00ffu) ^ 0x00800080u) | 0x64006400u) - vec2<f32>(1152.0);
    return pack2x16float(bytes * scale + offset);
}

fn eight_bytes(x: u32, y: u32, scale: f32, offset: f32) -> vec4<u32> {
    return vec4<u32>(
        halves_of_bytes(x, scale, offset),
        halves_of_bytes(y, scale, offset),
        halves_of_bytes(x >> 8u, scale, offset),
        halves_of_bytes(y >> 8u, scale, offset),
    );
}
{%- else %}

// The lower nibbles of bytes 0 and 2.
{%- if units %}
fn halves_of_nibbles(word: u32, scale: f16, offset: f16) -> u32 {
    let nibbles = bitcast<vec2<f16>>((word & 0x000f000fu) | 0x64006400u) - vec2<f16>(1024.0h);
    return bitcast<u32>(nibbles * scale + offset);
}
{%- else %}
fn halves_of_nibbles(word: u32, scale: f32, offset: f32) -> u32 {
    let nibbles = unpack2x16float((word & 0x000f000fu) | 0x64006400u) - vec2<f32>(1024.0);
    return pack2x16float(nibbles * scale + offset);
}
{%- endif %}

fn eight_nibbles(word: u32, pack: Pack) -> vec4<u32> {
{%- if units %}
    let scale = f16(pack.scale);
    let offset = f16(pack.offset);
{%- else %}
    let scale = pack.scale;
    let offset = pack.offset;
{%- endif %}
    return vec4<u32>(
        halves_of_nibbles(word, scale, offset),
        halves_of_nibbles(word >> 4u, scale, offset),
        halves_of_nibbles(word >> 8u, scale, offset),
        halves_of_nibbles(word >> 12u, scale, offset),
    );
}
{%- endif %}

// The row of the matrix that a row of the tile is; of pairs a team has the first members, then the second.
fn tile_row(first_unit: u32, index: u32) -> u32 {
    let team = index / TEAM_N;
    let member = index % TEAM_N;
    return weight_row(first_unit + team * TEAM_UNITS + member % TEAM_UNITS, member / TEAM_UNITS);
}

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let count = {% if head %}step.outputs{% else %}step.rows{% endif %};
    let first_unit = group.x * {{ tile_n // block }}u;
    let first_m = group.y * TILE_M;
    let team = lane / {{ lanes }}u;
    let part = team / TEAMS;
    let team_m = team / {{ across_n }}u % {{ across_m }}u * TEAM_M;
    let team_n = team % {{ across_n }}u * TEAM_N;
{%- if units %}
{%- for m in range(team_m // unit_m) %}{% for n in range(team_n // unit_n) %}
    var sum_{{ m }}_{{ n }} = subgroup_matrix_result<f32, {{ unit_n }}, {{ unit_m }}>(0.0);
{%- endfor %}{% endfor %}
{%- else %}
{%- for i in range(team_m * team_n // lanes) %}
    var sum_{{ i }} = 0.0;
{%- endfor %}
{%- endif %}

    // What an invocation brings: of the input so many vec4, eight columns each, of the weights so many packs. Rows past the end are read
    // as the last, blocks past the end as nothing.
{%- for i in range(input_loads) %}
    var next_input{{ i }} = vec4<u32>();
    let m{{ i }} = (lane + {{ i * size }}u) / {{ blocks * 4 }}u;
    let eight{{ i }} = (lane + {{ i * size }}u) % {{ blocks * 4 }}u;
    let input_row{{ i }} = min(first_m + m{{ i }}, count - 1u) * (BLOCKS * 4u) + eight{{ i }};
{%- endfor %}
{%- for i in range(weight_loads) %}
    var next_pack{{ i }} = Pack();
    let n{{ i }} = (lane + {{ i * size }}u) / {{ row_packs }}u;
    let pack{{ i }} = (lane + {{ i * size }}u) % {{ row_packs }}u;
    let weight_row{{ i }} = tile_row(first_unit, min(n{{ i }}, TILE_N - 1u));
{%- endfor %}
{%- macro fetch(slice) %}
{%- for i in range(input_loads) %}
{%- if whole %}
            next_input{{ i }} = input[input_row{{ i }} + {{ slice }} * {{ blocks * 4 }}u];
{%- else %}
            next_input{{ i }} = vec4<u32>();
            if {{ slice }} * {{ blocks * 4 }}u + eight{{ i }} < BLOCKS * 4u {
                next_input{{ i }} = input[input_row{{ i }} + {{ slice }} * {{ blocks * 4 }}u];
            }
{%- endif %}
{%- endfor %}
{%- for i in range(weight_loads) %}
            next_pack{{ i }} = load_pack(weight_row{{ i }}, {% if whole %}{{ slice }} * {{ row_packs }}u + pack{{ i }}{% else %}min({{ slice }} * {{ row_packs }}u + pack{{ i }}, PACKS - 1u){% endif %});
{%- endfor %}
{%- endmacro %}
{%- if ahead %}
    {
        {
            {{- fetch("0u") }}
        }
    }
{%- endif %}
    for (var slice = 0u; slice < SLICES; slice += 1u) {
{%- if not ahead %}
        {
            {{- fetch("slice") }}
        }
{%- endif %}
        workgroupBarrier();
{%- for i in range(input_loads) %}
        {% if (i + 1) * size > tile_m * blocks * 4 %}if m{{ i }} < TILE_M {% endif %}{
            input_slice[m{{ i }} * STRIDE + eight{{ i }}] = next_input{{ i }};
        }
{%- endfor %}
{%- for i in range(weight_loads) %}
        {% if (i + 1) * size > tile_n * row_packs %}if n{{ i }} < TILE_N {% endif %}{
            let at = n{{ i }} * STRIDE + pack{{ i }} * {{ pack // 8 }}u;
            let codes = next_pack{{ i }}.codes;
{%- if bits == 4 %}
{%- for j in range(4) %}
            weight_slice[at + {{ j }}u] = eight_nibbles(codes[{{ j }}], next_pack{{ i }});
{%- endfor %}
{%- else %}
            weight_slice[at] = eight_bytes(codes.x, codes.y, next_pack{{ i }}.scale, next_pack{{ i }}.offset);
            weight_slice[at + 1u] = eight_bytes(codes.z, codes.w, next_pack{{ i }}.scale, next_pack{{ i }}.offset);
{%- endif %}
        }
{%- endfor %}
{%- if ahead %}
        if slice + 1u < SLICES {
            let next = slice + 1u;
            {{- fetch("next") }}
        }
{%- endif %}
        workgroupBarrier();
{%- if units %}
{%- for step in range(steps) %}
        {
            let column = (part * {{ steps }}u + {{ step }}u) * {{ unit_k // 8 }}u;
{%- for m in range(team_m // unit_m) %}
            let a{{ m }} = subgroupMatrixLoad<subgroup_matrix_left<f16, {{ unit_k }}, {{ unit_m }}>, row_major>(&input_slice, (team_m + {{ m * unit_m }}u) * STRIDE + column, STRIDE);
{%- endfor %}
{%- for n in range(team_n // unit_n) %}
            let b{{ n }} = subgroupMatrixLoad<subgroup_matrix_right<f16, {{ unit_n }}, {{ unit_k }}>, col_major>(&weight_slice, (team_n + {{ n * unit_n }}u) * STRIDE + column, STRIDE);
{%- endfor %}
{%- for m in range(team_m // unit_m) %}{% for n in range(team_n // unit_n) %}
            sum_{{ m }}_{{ n }} = subgroupMatrixMultiplyAccumulate(a{{ m }}, b{{ n }}, sum_{{ m }}_{{ n }});
{%- endfor %}{% endfor %}
        }
{%- endfor %}
{%- else %}
        for (var column = part * {{ blocks * 4 // parts }}u; column < (part + 1u) * {{ blocks * 4 // parts }}u; column += 1u) {
{%- for i in range(team_m * team_n // lanes) %}
            {
                let element = lane % {{ lanes }}u + {{ i * lanes }}u;
                let a = input_slice[(team_m + element / TEAM_N) * STRIDE + column];
                let b = weight_slice[(team_n + element % TEAM_N) * STRIDE + column];
                sum_{{ i }} += dot(unpack2x16float(a.x), unpack2x16float(b.x)) + dot(unpack2x16float(a.y), unpack2x16float(b.y))
                    + dot(unpack2x16float(a.z), unpack2x16float(b.z)) + dot(unpack2x16float(a.w), unpack2x16float(b.w));
            }
{%- endfor %}
        }
{%- endif %}
    }
{%- for m in range(team_m // unit_m) %}

    // {{ unit_m }} rows of each team: the parts' sums meet, and become outputs.
{%- if m > 0 %}
    workgroupBarrier();
{%- endif %}
{%- if units %}
{%- for n in range(team_n // unit_n) %}
    subgroupMatrixStore<row_major>(&sums, team * {{ unit_m * (team_n + 4) }}u + {{ n * unit_n }}u, sum_{{ m }}_{{ n }}, SUM_STRIDE);
{%- endfor %}
{%- else %}
{%- set each = unit_m * team_n // lanes %}
{%- for i in range(each) %}
    {
        let element = lane % {{ lanes }}u + {{ i * lanes }}u;
        sums[team * {{ unit_m * (team_n + 4) }}u + element / TEAM_N * SUM_STRIDE + element % TEAM_N] = sum_{{ m * each + i }};
    }
{%- endfor %}
{%- endif %}
    workgroupBarrier();
    for (var item = lane; item < TEAMS * {{ unit_m * team_units }}u; item += SIZE) {
        let of_team = item / {{ unit_m * team_units }}u;
        let of_row = item / TEAM_UNITS % {{ unit_m }}u;
        let of_unit = item % TEAM_UNITS;
        let row = first_m + of_team / {{ across_n }}u * TEAM_M + {{ m * unit_m }}u + of_row;
        let unit = first_unit + of_team % {{ across_n }}u * TEAM_UNITS + of_unit;
{%- for r in range(block) %}
        var total{{ r }} = 0.0;
{%- endfor %}
        for (var p = 0u; p < PARTS; p += 1u) {
            let at = (p * TEAMS + of_team) * {{ unit_m * (team_n + 4) }}u + of_row * SUM_STRIDE + of_unit;
{%- for r in range(block) %}
            total{{ r }} += sums[at + {{ r * team_units }}u];
{%- endfor %}
        }
        if unit < UNITS && row < count {
            finish(unit, row{% for r in range(block) %}, STRETCH * total{{ r }}{% endfor %}, 0.0);
        }
    }
{%- endfor %}
}
