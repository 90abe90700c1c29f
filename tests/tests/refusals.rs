//! A device whose compiler refuses a kernel goes on with another, and says so.
//!
//! In a binary of its own: whoever falls back here has a listener.

use tilewright_engine::load::load_shape;
use tilewright_engine::model::shapes::Shape;
use tilewright_engine::{Device, GpuOptions, LoadOptions};
use tilewright_plan::SamplingParams;
use tilewright_tests::drive::Driver;
use tilewright_tests::model::{cpu_reference, lavapipe_with};
use tilewright_tests::warnings::with_warnings;

/// Two layers.
const SMALL: Shape = Shape::new("small", [2, 128, 352, 4, 2, 32, 500, 256], 10_000.0, true, true);

fn load(device: Device) -> Driver {
    let loaded = pollster::block_on(load_shape(device, &SMALL, &LoadOptions::default(), &mut |_, _| ()));
    Driver::new(loaded.unwrap().executor)
}

/// With the kernels of a processor that stands in for a GPU, or of real GPUs, but one.
fn without(kernel: &str, software: bool, integers: bool) -> Device {
    lavapipe_with(&GpuOptions {
        software: Some(software),
        integers: Some(integers),
        refuse: vec![kernel.to_owned()],
        half_cache: Some(false),
        ..GpuOptions::default()
    })
}

/// Each kernel that another can stand in for, on a device that begins with it: reading a prompt of many rows and decoding.
#[test]
fn whichever_kernel_is_refused_the_reference_s_tokens_come_and_a_warning_names_it() {
    let prompt: Vec<u32> = (0..60).map(|i| i * 37 % 500).collect();
    let answer = |device| load(device).generate(&prompt, 12, SamplingParams::default());
    let reference = answer(cpu_reference());
    for (kernel, software, integers) in [
        ("attention_split", false, false),
        ("attention_reduce", false, false),
        ("attention_tile", false, false),
        ("matvec", false, false),
        ("matmul", false, false),
        ("attention_serial", true, false),
        ("attention_reduce", true, false),
        ("matvec_serial", true, false),
        // Whichever of these is missing, products are of floats, which don't round.
        ("quantize", false, true),
        ("matvec_packed", false, true),
        ("matmul_packed", false, true),
    ] {
        let (tokens, warnings) = with_warnings(|| answer(without(kernel, software, integers)));
        assert_eq!(tokens, reference, "without {kernel}: {warnings:?}");
        assert!(!warnings.is_empty(), "nothing was said of {kernel}");
        for warning in warnings {
            let (says, reason) = warning.split_once(": ").expect("a reason");
            assert!(says.contains(&format!("refused to compile {kernel}, so it goes on with ")), "{warning}");
            assert!(reason.contains("found \"refused\""), "the compiler's own words: {warning}");
        }
    }
}

/// A refused kernel of attention is no reason to give up products of integers, which round.
#[test]
fn attention_falls_back_by_itself() {
    let text: Vec<u32> = (0..60).map(|i| i * 37 % 500).collect();
    let expected = load(cpu_reference()).logits(&text, 60);
    for kernel in ["attention_split", "attention_tile"] {
        let (mut driver, warnings) = with_warnings(|| load(without(kernel, false, true)));
        assert!(warnings.len() == 1 && warnings[0].contains("goes on with products of integers"), "{warnings:?}");
        for rows in [8, 60] {
            let logits = driver.logits(&text, rows);
            let difference = logits.iter().zip(&expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
            assert!(difference > 1e-3 && difference < 0.3, "{rows} rows without {kernel}: {difference}");
        }
    }
}
