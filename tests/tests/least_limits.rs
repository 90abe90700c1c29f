//! Quantized models on devices with the limits that every WebGPU device has, and whose bindings are smaller than a matrix, by the kernels
//! of real GPUs: products of floats or of integers, fused where their matrices can be joined and in parts where they can't.

use tilewright_engine::load::load_shape;
use tilewright_engine::model::shapes::Shape;
use tilewright_engine::{Device, GpuOptions, LoadOptions, Loaded};
use tilewright_formats::DType;
use tilewright_plan::SamplingParams;
use tilewright_tests::drive::Driver;
use tilewright_tests::fixture;
use tilewright_tests::model::{cpu_reference, lavapipe_as_hardware, lavapipe_with, lavapipe_with_integers, open_gguf};
use tilewright_tests::twin::as_gguf;

/// A step that decodes, fused, of a layer: query, key and value; attention in parts, joined; output; gate and up; down.
const FUSED_LAYER: u32 = 6;
/// Embedding, head, and the two kernels that draw a token.
const FUSED_REST: u32 = 4;

/// Asserts that no logit is further than `allowed` from the reference's, and that the best token is its best one wherever that can
/// be told. Most often it can.
fn assert_like(what: &str, logits: &[f32], expected: &[f32], vocabulary: usize, allowed: f32) {
    assert_eq!(logits.len(), expected.len(), "{what}");
    let largest = logits.iter().zip(expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
    println!("{what}: off by {largest}");
    assert!(largest < allowed, "{what}: off by {largest}");
    let best = |row: &[f32]| (0..vocabulary).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    let lead = |row: &[f32]| {
        let second = (0..vocabulary).filter(|&token| token != best(row)).map(|token| row[token]);
        row[best(row)] - second.fold(f32::NEG_INFINITY, f32::max)
    };
    let rows = logits.chunks(vocabulary).zip(expected.chunks(vocabulary));
    let clear: Vec<_> = rows.filter(|(_, expected)| lead(expected) > 2.0 * largest).collect();
    assert!(2 * clear.len() * vocabulary > logits.len(), "{what}: {} are clear", clear.len());
    assert!(clear.iter().all(|(row, expected)| best(row) == best(expected)), "{what}");
}

#[test]
fn quantized_models_keep_to_the_least_limits() {
    let text = fixture::expected("llama").prompt_ids;
    for dtype in [DType::Q4_0, DType::Q8_0] {
        let file = as_gguf("llama", dtype, |_, _| ());
        let open = |device| open_gguf(&file, device, LoadOptions::default());
        let mut reference = Driver::new(open(cpu_reference()).executor);
        let expected = reference.logits(&text, 64);
        let answer = reference.generate(&text, 16, SamplingParams::default());
        for (device, rounds) in [(lavapipe_as_hardware(), false), (lavapipe_with_integers(), true)] {
            let Device::Gpu(gpu) = &device else { unreachable!("lavapipe is a GPU to us") };
            let limits = gpu.limits();
            assert_eq!((limits.workgroup_bytes, limits.subgroup, limits.halves), (16_384, 1, false));
            assert_eq!((gpu.multiplies_integers(), gpu.is_software()), (rounds, false));
            let loaded = open(device);
            assert_eq!(loaded.cost.dispatches, 3 * FUSED_LAYER + FUSED_REST);
            let mut driver = Driver::new(loaded.executor);
            for rows in [1, 7, 48] {
                let logits = driver.logits(&text, rows);
                let what = format!("{} by {rows} rows, integers {rounds}", dtype.name());
                assert_like(&what, &logits, &expected, 384, if rounds { 0.1 } else { 1e-3 });
            }
            if !rounds {
                assert_eq!(driver.generate(&text, 16, SamplingParams::default()), answer, "{}", dtype.name());
            }
        }
    }
}

/// Its queries are a binding of 16 KiB, with keys and values they would be 20; gate, up, down and the embedding alone are larger. A block of
/// keys and values takes 4 KiB.
const WIDE: Shape = Shape::new("wide", [2, 128, 352, 8, 1, 32, 500, 64], 10_000.0, false, true);

fn wide(device: Device) -> Loaded {
    pollster::block_on(load_shape(device, &WIDE, &LoadOptions::default(), &mut |_, _| ())).unwrap()
}

#[test]
fn matrices_larger_than_a_binding_are_multiplied_in_parts() {
    let text: Vec<u32> = (0..36).map(|i| i * 37 % 500).collect();
    let mut reference = Driver::new(wide(cpu_reference()).executor);
    let expected = reference.logits(&text, 64);
    let answer = reference.generate(&text, 12, SamplingParams::default());
    for integers in [false, true] {
        let with = |max_binding_bytes| {
            lavapipe_with(&GpuOptions {
                software: Some(false),
                integers: Some(integers),
                half_cache: Some(false),
                least_limits: true,
                max_binding_bytes,
                ..GpuOptions::default()
            })
        };
        let (whole, parts) = (wide(with(None)), wide(with(Some(17_000))));
        assert_eq!(whole.cost.dispatches, 2 * FUSED_LAYER + FUSED_REST);
        // Norm, three products and rotation; attention; output; norm, gate and up in two parts each, activation; down in two parts.
        let layer = 5 + 2 + 1 + (1 + 4 + 1) + 2;
        // The table's rows are in two parts, and so are the head's, whose norm is fused.
        assert_eq!(parts.cost.dispatches, 2 * layer + FUSED_REST + 2);
        assert_eq!(parts.executor.capacity().blocks, 3, "they are smaller than a binding as well");
        let mut driver = Driver::new(parts.executor);
        for rows in [1, 7, 36] {
            let what = format!("{rows} rows, integers {integers}");
            let allowed = if integers && rows > 1 { 0.15 } else { 1e-3 };
            assert_like(&what, &driver.logits(&text, rows), &expected, 500, allowed);
        }
        if !integers {
            assert_eq!(driver.generate(&text, 12, SamplingParams::default()), answer);
        }
    }
}
