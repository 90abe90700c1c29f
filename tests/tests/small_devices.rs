//! Devices that lack something. One whose compiler refuses a kernel runs the model with other kernels; one that can't is an error
//! that names the kernel. `memory` has those that lack memory.

use tilewright_engine::kernels::MatrixUnit;
use tilewright_engine::load::load_shape;
use tilewright_engine::model::shapes::Shape;
use tilewright_engine::{Device, GpuError, GpuOptions, LoadError, LoadOptions};
use tilewright_tests::drive::Driver;
use tilewright_tests::fixture::assert_close;
use tilewright_tests::model::{cpu_reference, lavapipe_with};

/// Two layers.
const SMALL: Shape = Shape::new("small", [2, 128, 352, 4, 2, 32, 500, 256], 10_000.0, true, true);

fn device(refuse: &[&str]) -> Device {
    lavapipe_with(&GpuOptions {
        software: Some(false),
        half_cache: Some(false),
        refuse: refuse.iter().map(ToString::to_string).collect(),
        ..GpuOptions::default()
    })
}

fn load(device: Device) -> Result<Driver, LoadError> {
    let loaded = pollster::block_on(load_shape(device, &SMALL, &LoadOptions::default(), &mut |_, _| ()))?;
    Ok(Driver::new(loaded.executor))
}

/// Largest difference to the twins' logits, by rows a step.
fn differences(device: Device) -> Vec<f32> {
    differences_by(device, &[1, 8, 64])
}

fn differences_by(device: Device, rows: &[usize]) -> Vec<f32> {
    let text: Vec<u32> = (0..70).map(|i| i * 37 % 500).collect();
    let expected = load(cpu_reference()).unwrap().logits(&text, 64);
    let mut driver = load(device).unwrap();
    let largest = |rows| {
        let logits = driver.logits(&text, rows);
        logits.iter().zip(&expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max)
    };
    rows.iter().copied().map(largest).collect()
}

#[test]
fn whatever_product_a_device_refuses_another_takes_its_place() {
    // Integers round; floats don't.
    let all = differences(device(&[]));
    assert!(all[0] < 1e-3 && all[1] > 1e-3 && all[1] < 0.3 && all[2] > 1e-3 && all[2] < 0.3, "{all:?}");
    for refused in [&["matmul_packed"][..], &["matvec_packed"], &["quantize"], &["matmul_packed", "matmul"]] {
        let floats = differences(device(refused));
        assert!(floats.iter().all(|&difference| difference < 1e-3), "without {refused:?}: {floats:?}");
    }
}

/// Invocations stand in for the units, in the same kernel.
#[test]
fn products_by_matrix_units_round_less_than_those_of_integers_which_stand_in_for_them_when_they_are_refused() {
    let with = |unit: Option<MatrixUnit>, refuse: &[&str]| {
        let refuse = refuse.iter().map(ToString::to_string).collect();
        let options =
            GpuOptions { unit, refuse, software: Some(false), half_cache: Some(false), ..GpuOptions::default() };
        differences_by(lavapipe_with(&options), &[1, 8, 70])
    };
    let pretended = Some(MatrixUnit::PRETENDED);
    let (units, integers) = (with(pretended, &[]), with(None, &[]));
    assert_eq!(units[..2], integers[..2], "few rows are as they were");
    assert!(units[2] > 0.0 && units[2] < integers[2], "{units:?}, {integers:?}");
    assert_eq!(with(pretended, &["subgroup_matmul_packed"]), integers);
}

/// Steps of two to seven rows have kernels of their own, which are compiled when the first such step comes.
#[test]
fn a_kernel_that_is_refused_in_the_middle_of_a_conversation_is_stood_in_for() {
    let rows = [2, 3, 4, 7, 2, 64, 1];
    let late = ["matvec_packed 2", "matvec_packed 4", "matvec 2", "matvec 4"];
    let integers = differences_by(device(&late), &rows);
    assert!(integers.iter().all(|&difference| difference < 0.3), "{integers:?}");
    assert!(integers[0] > 1e-3, "two rows are integers still: {integers:?}");
    let late = ["matvec 2", "matvec 4", "quantize"];
    let floats = differences_by(device(&late), &rows);
    assert!(floats.iter().all(|&difference| difference < 1e-3), "{floats:?}");
}

/// A processor that stands in for a GPU has kernels of its own, and those of any GPU where its compiler refuses them.
#[test]
fn what_a_software_device_refuses_is_stood_in_for_as_well() {
    for refused in [&[][..], &["matvec_serial"], &["attention_serial"], &["matvec_serial 8"]] {
        let refuse = refused.iter().map(ToString::to_string).collect();
        let floats = differences(lavapipe_with(&GpuOptions { refuse, software: Some(true), ..GpuOptions::default() }));
        assert!(floats.iter().all(|&difference| difference < 1e-3), "without {refused:?}: {floats:?}");
    }
    // That it had those of its own to begin with: without any other it still computes.
    let without = |refused: &[&str]| {
        let refuse = refused.iter().map(ToString::to_string).collect();
        load(lavapipe_with(&GpuOptions { refuse, software: Some(true), ..GpuOptions::default() })).map(|_| ())
    };
    assert!(without(&["matvec", "matmul", "attention_split", "attention_tile"]).is_ok());
    let all = ["matvec_serial", "matvec", "matmul"];
    let Err(LoadError::Gpu(error)) = without(&all) else { panic!("it can't be loaded") };
    assert!(matches!(error, GpuError::Refused { kernel: "matmul", .. }), "{error}");
}

#[test]
fn a_software_device_takes_as_many_rows_a_step_as_it_is_allowed_to() {
    let long = Shape::new("long", [1, 64, 64, 2, 1, 32, 100, 2048], 10_000.0, false, true);
    let text: Vec<u32> = (0..1200).map(|i| i * 37 % 100).collect();
    let logits = |device| {
        let options = LoadOptions { max_rows: Some(2048), ..LoadOptions::default() };
        let loaded = pollster::block_on(load_shape(device, &long, &options, &mut |_, _| ())).unwrap();
        Driver::new(loaded.executor).logits(&text, text.len())
    };
    let software = GpuOptions { software: Some(true), half_cache: Some(false), ..GpuOptions::default() };
    assert_close("1200 rows", &logits(lavapipe_with(&software)), &logits(cpu_reference()));
}

#[test]
fn a_device_that_refuses_every_product_is_an_error_that_names_the_kernel() {
    let Err(LoadError::Gpu(error)) = load(device(&["matvec", "matmul"])) else { panic!("it can't be loaded") };
    assert!(matches!(error, GpuError::Refused { kernel: "matmul", .. }), "{error}");
    let words = error.to_string();
    assert!(words.contains("refused to compile matmul") && words.contains("update the graphics driver"), "{words}");
}
