// out[row, n] (+)= dot(weight[n, :], in[row, :]) + bias[n], for devices that are a processor in disguise
//
// SwiftShader, which stands in for a GPU in Chromium, runs four invocations in the lanes of a vector, workgroup after workgroup, with
// a compiler that moves nothing out of a loop and keeps little in registers (Subzero). What was measured there (two cores, Zen 4, by
// samples of its machine code), and what follows:
//
// - Whatever is loaded is gathered lane by lane through the stack, some 80 instructions for a word of each lane, and some 40 before to
//   find and bound it. So an invocation reads its input once for BLOCK outputs, and a scale's word for both its groups; and arrays
//   have sizes, whose bounds are constants and not divisions.
// - A shift, even by a constant, is taken apart into lanes, some 24 instructions. So codes are not shifted: `word & (15 << 4j)` becomes the
//   float code * 16^j as it is, exactly, and meets an input that was multiplied by 16^-j when it was read.
// - Straight-line code larger than the processor's instruction cache is bound by fetching it: unrolled for eight outputs the product
//   took 0.59 ms for [1536, 576], with outputs in a loop 0.40, although that keeps their sums in memory. It compiles in 65 ms and not
//   300. `matvec.wgsl` takes 1.4 ms.
//
// Sign bits: the highest code of a word is in the sign's place, so it is counted from its middle; and bytes are signed, of which three
// are not in the sign's place, so these are counted from -128. Both ways the difference is a sum of inputs, which does not depend on
// the output: sums begin with it (`start`).
//
// A turn is SPAN packs. There is no workgroup memory and no barrier: at a barrier such a device switches between invocations.
{% include "shared/step.wgsl" %}
{%- set elements = span * pack %}
{%- set quads = elements // 4 %}
{%- set turn_groups = elements // group if quantized else 1 %}
{%- set group_quads = quads // turn_groups %}
{%- set whole_words = turn_groups % 2 == 0 %}
{%- set rows_bound = base + part_rows %}
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>; // [rows, IN_STRIDE]
@group(0) @binding(3) var<storage, read> weight_codes: array<vec4<u32>, {{ rows_bound * packs }}>;
{%- if quantized %}
@group(0) @binding(4) var<storage, read> weight_scales: array<u32, {{ rows_bound * scale_stride // 2 }}>;
{%- endif %}
{%- if mins %}
@group(0) @binding(5) var<storage, read> weight_mins: array<u32, {{ rows_bound * scale_stride // 2 }}>;
{%- endif %}
@group(0) @binding(6) var<storage, read_write> out: array<f32>;   // [rows, OUT_STRIDE]
{%- if bias %}
@group(0) @binding(7) var<storage, read> bias: array<f32>;
{%- endif %}

const LANES: u32 = {{ lanes }}u;
const BLOCK: u32 = {{ block }}u;
const COLUMNS: u32 = {{ columns }}u;
const IN_STRIDE: u32 = {{ in_stride // 4 }}u; // in vec4
const OUT_STRIDE: u32 = {{ out_stride }}u;
const PART_START: u32 = {{ part_start }}u;    // first output of this part of the matrix
const PART_ROWS: u32 = {{ part_rows }}u;
const BASE: u32 = {{ base }}u;                // its row in the buffers
const PACKS: u32 = {{ packs }}u;              // per row
const SPAN: u32 = {{ span }}u;                // packs of a turn; divides PACKS
{%- if quantized %}
const WORDS: u32 = {{ scale_stride // 2 }}u;  // of scales per row, two groups each
{%- endif %}

// What a code is worth, by its place in a word: multiplied by it, the code's float is the code.
{%- if quantized and bits == 4 %}
const LOW = vec4<f32>(1.0, 0x1p-4, 0x1p-8, 0x1p-12);
const HIGH = vec4<f32>(0x1p-16, 0x1p-20, 0x1p-24, 0x1p-28);
{%- elif quantized %}
const BYTES = vec4<f32>(1.0, 0x1p-8, 0x1p-16, 0x1p-24);
{%- endif %}

{%- if quantized %}
fn sum_of(x: vec4<f32>) -> f32 { return (x.x + x.y) + (x.z + x.w); }
{%- endif %}

@compute @workgroup_size({{ lanes }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * LANES + lane) * BLOCK;
    let block = min(BLOCK, PART_ROWS - min(first, PART_ROWS));
    let first_row = group.z * COLUMNS;
    let count = {% if head %}step.outputs{% else %}step.rows{% endif %};
{%- for c in range(columns) %}
    let in{{ c }} = min(first_row + {{ c }}u, count - 1u) * IN_STRIDE;
{%- endfor %}
    var sums: array<f32, BLOCK * COLUMNS>;
{%- if quantized and whole_words %}
    var words_at = 0u; // of this turn's scales in a row's
{%- endif %}
    for (var pack = 0u; pack < PACKS; pack += SPAN) {
{%- for c in range(columns) %}
{%- for i in range(quads) %}
        let x{{ c }}_{{ i }} = input[in{{ c }} + pack * {{ pack // 4 }}u + {{ i }}u];
{%- if quantized and bits == 4 %}
        let y{{ c }}_{{ i }} = x{{ c }}_{{ i }} * {{ ["LOW", "HIGH"][i % 2] }};
{%- elif quantized %}
        let y{{ c }}_{{ i }} = x{{ c }}_{{ i }} * BYTES;
{%- else %}
        let y{{ c }}_{{ i }} = x{{ c }}_{{ i }};
{%- endif %}
{%- endfor %}
{%- for g in range(turn_groups) %}
{%- set at = g * group_quads %}
{%- if quantized %}
        let quad{{ c }}_{{ g }} = x{{ c }}_{{ at }}{% for i in range(1, group_quads) %} + x{{ c }}_{{ at + i }}{% endfor %};
        let all{{ c }}_{{ g }} = sum_of(quad{{ c }}_{{ g }});
{%- endif %}
{%- if not quantized %}
        let start{{ c }}_{{ g }} = 0.0;
{%- elif bits == 4 %}
        let start{{ c }}_{{ g }} = 8.0 * ({% for i in range(1, group_quads, 2) %}{{ " + " if i > 1 }}x{{ c }}_{{ at + i }}.w{% endfor %}){% if not mins %} - 8.0 * all{{ c }}_{{ g }}{% endif %};
{%- else %}
        let start{{ c }}_{{ g }} = -128.0 * ((quad{{ c }}_{{ g }}.x + quad{{ c }}_{{ g }}.y) + quad{{ c }}_{{ g }}.z);
{%- endif %}
{%- endfor %}
{%- endfor %}
{%- if quantized and not whole_words %}
        let odd = (pack / SPAN) % 2u == 1u;
        let words_at = pack / SPAN / 2u;
{%- endif %}
        for (var r = 0u; r < block; r += 1u) {
            let row = BASE + first + r;
{%- if quantized %}
{%- for w in range((turn_groups + 1) // 2) %}
            let scales{{ w }} = unpack2x16float(weight_scales[row * WORDS + words_at + {{ w }}u]);
{%- if mins %}
            let mins{{ w }} = unpack2x16float(weight_mins[row * WORDS + words_at + {{ w }}u]);
{%- endif %}
{%- endfor %}
{%- for g in range(turn_groups) %}
            let scale{{ g }} = {% if whole_words %}scales{{ g // 2 }}.{{ "xy"[g % 2] }}{% else %}select(scales0.x, scales0.y, odd){% endif %};
{%- if mins %}
            let minimum{{ g }} = {% if whole_words %}mins{{ g // 2 }}.{{ "xy"[g % 2] }}{% else %}select(mins0.x, mins0.y, odd){% endif %};
{%- endif %}
{%- endfor %}
{%- endif %}
{%- for c in range(columns) %}
            var sum{{ c }} = sums[r * COLUMNS + {{ c }}u];
{%- endfor %}
{%- for g in range(turn_groups) %}
            {
{%- for c in range(columns) %}
                var dot{{ c }} = start{{ c }}_{{ g }};
{%- endfor %}
{%- for p in range(span // turn_groups) %}
{%- set which = g * (span // turn_groups) + p %}
                {
                let codes = weight_codes[row * PACKS + pack + {{ which }}u];
{%- for w in range(4) %}
                {
{%- if not quantized or bits == 4 %}
                    let word = codes.{{ "xyzw"[w] }};
{%- else %}
                    let word = codes.{{ "xyzw"[w] }} ^ 0x00808080u;
{%- endif %}
{%- for j in range(pack // 4) %}
{%- set k = which * pack + w * (pack // 4) + j %}
{%- set float %}
{%- if not quantized %}
{%- if format == "f32" %}bitcast<f32>(word)
{%- elif format == "f16" %}unpack2x16float(word).{{ "xy"[j] }}
{%- else %}bitcast<f32>({{ ["word * 65536u", "word & 0xffff0000u"][j] }})
{%- endif %}
{%- elif bits == 8 %}f32(i32(word & {{ ["0x000000ffu", "0x0000ff00u", "0x00ff0000u", "0xff000000u"][j] }}))
{%- elif j == 7 %}f32(i32((word ^ 0x80000000u) & 0xf0000000u))
{%- else %}f32(i32(word & {{ ["0x0000000fu", "0x000000f0u", "0x00000f00u", "0x0000f000u", "0x000f0000u", "0x00f00000u", "0x0f000000u"][j] }}))
{%- endif %}
{%- endset %}
                    let code{{ j }} = {{ float }};
{%- for c in range(columns) %}
                    dot{{ c }} += code{{ j }} * y{{ c }}_{{ k // 4 }}.{{ "xyzw"[k % 4] }};
{%- endfor %}
{%- endfor %}
                }
{%- endfor %}
                }
{%- endfor %}
{%- for c in range(columns) %}
{%- if quantized %}
                sum{{ c }} += scale{{ g }} * dot{{ c }}{% if mins %} + minimum{{ g }} * all{{ c }}_{{ g }}{% endif %};
{%- else %}
                sum{{ c }} += dot{{ c }};
{%- endif %}
{%- endfor %}
            }
{%- endfor %}
{%- for c in range(columns) %}
            sums[r * COLUMNS + {{ c }}u] = sum{{ c }};
{%- endfor %}
        }
{%- if quantized and whole_words %}
        words_at += {{ turn_groups // 2 }}u;
{%- endif %}
    }
    for (var r = 0u; r < block; r += 1u) {
        let n = PART_START + first + r;
{%- for c in range(columns) %}
        if first_row + {{ c }}u < count {
            let at = (first_row + {{ c }}u) * OUT_STRIDE + n;
            out[at] = sums[r * COLUMNS + {{ c }}u]{% if bias %} + bias[n]{% endif %}{% if accumulate %} + out[at]{% endif %};
        }
{%- endfor %}
    }
}
