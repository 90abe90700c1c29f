// What a matrix product for few rows does with its sums: which rows of the matrix a team takes, and where outputs go.
//
// A team computes BLOCK outputs of a unit. In the forms that work on pairs (`gate`, `rope`) the members of a pair, which lie far apart in
// the matrix, come one after the other. `finish` takes the sums of one row of the input.

const UNITS: u32 = (PART_ROWS + {{ block - 1 }}u) / {{ block }}u;

// The weight row of a member of a team's block; pairs come one after the other.
fn weight_row(unit: u32, index: u32) -> u32 {
{%- if gate %}
    return min(unit * {{ block // 2 }}u + index / 2u, PART_ROWS / 2u - 1u) + index % 2u * (PART_ROWS / 2u);
{%- elif rope %}
    let which = min(unit * {{ block // 2 }}u + index / 2u, PART_ROWS / 2u - 1u);
    let head = which / PAIRS;
    let pair = which % PAIRS;
    var at = vec2<u32>(2u * pair, 2u * pair + 1u);
    if head < HEADS + KV_HEADS { at = members(pair); }
    return head * HEAD_DIM + select(at.x, at.y, index % 2u == 1u);
{%- else %}
    return min(unit * {{ block }}u + index, PART_ROWS - 1u);
{%- endif %}
}

{%- if bias %}
fn bias_of(n: u32) -> f32 {
{%- if norm %}
    let at = IN_STRIDE + n / 4u;
{%- else %}
    let at = n / 4u;
{%- endif %}
    return vectors[at][n % 4u];
}
{%- endif %}

{%- if pairs %}

// Writes a pair of outputs, n0 and n1.
fn finish_pair(which: u32, row: u32, n0: u32, n1: u32, x0: f32, x1: f32) {
    if which >= PART_ROWS / 2u { return; }
{%- if gate %}
    out[row * OUT_STRIDE + which] = x0 / (1.0 + exp(-x0)) * x1;
{%- else %}
    let head = which / PAIRS;
    let pair = which % PAIRS;
    if head < HEADS {
        let x = rotate(row, pair, vec2<f32>(x0, x1));
        let at = vec2<u32>(row * OUT_STRIDE + head * HEAD_DIM) + placed(pair);
        out[at.x] = x.x;
        out[at.y] = x.y;
    } else {
        // Keys follow the queries and values the keys, in the matrix as in a slot.
        var x = vec2<f32>(x0, x1);
        var to = vec2<u32>(2u * pair, 2u * pair + 1u);
        if head < HEADS + KV_HEADS {
            x = rotate(row, pair, x);
            to = placed(pair);
        }
        store(row_slot(row) * SLOT + (head - HEADS) * HEAD_DIM, to, x);
    }
{%- endif %}
}
{%- endif %}

// Writes what a team computed for one row.
fn finish(unit: u32, row: u32{% for r in range(block) %}, s{{ r }}: f32{% endfor %}, squares: f32) {
{%- if norm %}
    let scale = 1.0 / sqrt(squares / f32({{ width }}) + {{ eps }});
{%- endif %}
{%- for r in range(block) %}
    let n{{ r }} = weight_row(unit, {{ r }}u);
    let x{{ r }} = s{{ r }}{% if norm %} * scale{% endif %}{% if bias %} + bias_of(PART_START + n{{ r }}){% endif %};
{%- endfor %}
{%- if pairs %}
{%- for p in range(block // 2) %}
    finish_pair(unit * {{ block // 2 }}u + {{ p }}u, row, n{{ 2 * p }}, n{{ 2 * p + 1 }}, x{{ 2 * p }}, x{{ 2 * p + 1 }});
{%- endfor %}
{%- else %}
{%- for r in range(block) %}
    if unit * {{ block }}u + {{ r }}u < PART_ROWS {
        let at = row * OUT_STRIDE + PART_START + n{{ r }};
        out[at] = x{{ r }}{% if accumulate %} + out[at]{% endif %};
    }
{%- endfor %}
{%- endif %}
}
