//! What a model takes of a GPU's memory: what it says, and little more while it is loaded. A device with less memory keeps fewer
//! keys and values; one that has not enough for the model is an error that names the numbers.

use tilewright_engine::load::load_shape;
use tilewright_engine::model::shapes::Shape;
use tilewright_engine::{Device, Gpu, GpuOptions, LoadError, LoadOptions, Loaded};

/// Two layers; a token's keys and values are a KiB as floats.
const SMALL: Shape = Shape::new("small", [2, 128, 352, 4, 2, 32, 500, 256], 10_000.0, true, true);

fn gpu(options: GpuOptions) -> Gpu {
    let options = GpuOptions { adapter: Some("llvmpipe".into()), ..options };
    pollster::block_on(Gpu::request(&options)).expect("Mesa's lavapipe; `cargo xtask setup` installs it")
}

fn load(gpu: &Gpu, shape: &Shape, options: &LoadOptions) -> Result<Loaded, LoadError> {
    pollster::block_on(load_shape(Device::Gpu(gpu.clone()), shape, options, &mut |_, _| ()))
}

fn with_kv(kv_bytes: u64) -> LoadOptions {
    LoadOptions { kv_bytes: Some(kv_bytes), ..LoadOptions::default() }
}

#[test]
fn a_model_takes_what_it_says_and_a_twentieth_of_its_weights_more_at_most() {
    // Joined matrices are there twice for a while, if anything is: so there is little else.
    let shape = Shape::named("smollm2-135m").unwrap();
    let options = LoadOptions { max_rows: Some(2), ..with_kv(1 << 20) };
    for integers in [true, false] {
        let gpu = gpu(GpuOptions { software: Some(false), integers: Some(integers), ..GpuOptions::default() });
        let Loaded { memory, cost, .. } = load(&gpu, &shape, &options).unwrap();
        let said = memory.weights_bytes + memory.kv_bytes + memory.scratch_bytes;
        let most = said + memory.weights_bytes / 20;
        assert!(memory.weights_bytes > 70 << 20 && memory.scratch_bytes < 10 << 20, "{memory:?}");
        assert!((said..=most).contains(&gpu.peak_bytes()), "{} of {most}: {memory:?}", gpu.peak_bytes());
        // Norm, queries, keys and values; attention and the joining of its parts; output; norm, gate and up; down. Then embedding, norm
        // and head, and the sampler's two.
        assert_eq!(cost.dispatches, 6 * 30 + 4);
    }
}

#[test]
fn keys_and_values_take_what_memory_there_is_and_halves_take_half_of_it() {
    let mib = with_kv(1 << 20);
    let load = |options: GpuOptions| {
        let loaded = load(&gpu(options), &SMALL, &mib);
        loaded.map(|loaded| (loaded.executor.capacity().blocks, loaded.memory))
    };
    let (blocks, memory) = load(GpuOptions::default()).unwrap();
    assert_eq!((blocks, memory.kv_bytes), (64, 1 << 20));
    let (blocks, halves) = load(GpuOptions { half_cache: Some(true), ..GpuOptions::default() }).unwrap();
    assert_eq!((blocks, halves.kv_bytes), (128, 1 << 20));
    let but_cache = memory.weights_bytes + memory.scratch_bytes;
    let beside = |bytes: u64| load(GpuOptions { memory_bytes: Some(but_cache + bytes), ..GpuOptions::default() });
    // What is there is between a quarter of what was wanted and half of it.
    let (blocks, memory) = beside(300 << 10).unwrap();
    assert_eq!((blocks, memory.kv_bytes), (16, 256 << 10));
    let error = beside(100 << 10).unwrap_err();
    assert!(matches!(error, LoadError::NoMemoryForKv { tokens: 256, kv_bytes: 0x40000, .. }), "{error}");
    assert!(error.to_string().contains("keys and values of 256 tokens were refused"), "{error}");
}

#[test]
fn a_device_without_room_for_a_model_is_an_error_that_names_the_numbers() {
    let shape = Shape::named("smollm2-135m").unwrap();
    let memory = load(&gpu(GpuOptions::default()), &shape, &with_kv(1 << 20)).unwrap().memory;
    let with = |bytes: u64| {
        let memory_bytes = Some(bytes);
        load(&gpu(GpuOptions { memory_bytes, ..GpuOptions::default() }), &shape, &with_kv(1 << 20)).err().unwrap()
    };
    let error = with(memory.weights_bytes / 2);
    let LoadError::NoMemoryForWeights { weights_bytes, .. } = error else { panic!("{error}") };
    assert!(weights_bytes > memory.weights_bytes / 2, "{error}");
    let words = error.to_string();
    assert!(
        words.contains("llvmpipe") && words.contains(&format!("{} MiB", weights_bytes.div_ceil(1 << 20))),
        "{words}"
    );
    let error = with(memory.weights_bytes + memory.scratch_bytes / 2);
    let LoadError::NoMemoryForSteps { scratch_bytes, weights_bytes, .. } = error else { panic!("{error}") };
    assert!(scratch_bytes > memory.scratch_bytes / 2 && weights_bytes == memory.weights_bytes, "{error}");
    assert!(error.to_string().contains(&format!("the weights take {} MiB", weights_bytes >> 20)), "{error}");
}
