// out[row, i] = in[row, i] / sqrt(mean(in[row, :]^2) + eps) * weight[i]        (Zhang & Sennrich 2019)
//
// One workgroup per row; the sum of squares is reduced by a tree in workgroup memory.
{% include "shared/step.wgsl" %}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> input: array<f32>;       // [rows, STRIDE]
@group(0) @binding(2) var<storage, read> weight: array<f32>;      // [WIDTH]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;   // [rows, STRIDE]

const WIDTH: u32 = {{ width }}u;
const STRIDE: u32 = {{ stride }}u;
const WORKGROUP: u32 = {{ workgroup }}u;
var<workgroup> partial: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.x * STRIDE;
    var sum = 0.0;
    for (var i = lane; i < WIDTH; i += WORKGROUP) {
        let x = input[base + i];
        sum += x * x;
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half { partial[lane] += partial[lane + half]; }
        workgroupBarrier();
    }
    let scale = 1.0 / sqrt(partial[0] / f32(WIDTH) + {{ eps }});
    for (var i = lane; i < WIDTH; i += WORKGROUP) {
        out[base + i] = input[base + i] * scale * weight[i];
    }
}
