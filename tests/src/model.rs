//! A model on a device.

use crate::fixture;
use std::fs;
use std::path::PathBuf;
use tilewright_engine::{Device, Gpu, GpuOptions, LoadOptions, Loaded, Loader, WeightFiles};

/// The processor, as fast as it can.
pub fn cpu() -> Device {
    Device::Cpu
}

/// The CPU twins.
pub fn cpu_reference() -> Device {
    Device::CpuReference
}

/// Mesa's software Vulkan driver, which `cargo xtask setup` installs. A test that needs it fails without it.
pub fn lavapipe() -> Device {
    lavapipe_with(&GpuOptions::default())
}

/// Lavapipe with bindings of at most `bytes`.
pub fn lavapipe_with_bindings_of(bytes: u64) -> Device {
    lavapipe_with(&GpuOptions { max_binding_bytes: Some(bytes), ..GpuOptions::default() })
}

/// Lavapipe with the limits that every WebGPU device has: bindings of 128 MiB, 16 KiB of workgroup memory, 8 storage buffers.
pub fn lavapipe_with_least_limits() -> Device {
    lavapipe_with(&GpuOptions { least_limits: true, ..GpuOptions::default() })
}

/// Lavapipe with the kernels of a real GPU that multiplies floats.
pub fn lavapipe_as_hardware() -> Device {
    let options = GpuOptions {
        software: Some(false),
        integers: Some(false),
        half_cache: Some(false),
        least_limits: true,
        ..GpuOptions::default()
    };
    lavapipe_with(&options)
}

/// Lavapipe with the kernels of a real GPU that multiplies 8-bit integers.
pub fn lavapipe_with_integers() -> Device {
    lavapipe_with(&GpuOptions { software: Some(false), least_limits: true, ..GpuOptions::default() })
}

/// Lavapipe, pretending.
pub fn lavapipe_with(options: &GpuOptions) -> Device {
    let options = GpuOptions { adapter: Some("llvmpipe".into()), ..options.clone() };
    Device::Gpu(pollster::block_on(Gpu::request(&options)).expect("Mesa's lavapipe; `cargo xtask setup` installs it"))
}

/// A checkpoint of `tests/fixtures`.
pub fn open_fixture(name: &str, device: Device, options: LoadOptions) -> Loaded {
    let folder = fixture::folder(name);
    let config_json = fs::read_to_string(folder.join("config.json")).expect("the fixture is in the repository");
    let mut loader = Loader::new(device, WeightFiles::HuggingFace { config_json }, options).expect("it is supported");
    let bytes = fs::read(folder.join("model.safetensors")).expect("the fixture is in the repository");
    loader.begin_file("model.safetensors", Some(bytes.len() as u64)).unwrap();
    // In cuts that fall into the middle of rows.
    for cut in bytes.chunks(1009) {
        loader.push(cut).unwrap();
    }
    loader.end_file().unwrap();
    pollster::block_on(loader.finish()).expect("it loads")
}

/// Where `cargo xtask setup` keeps SmolLM2-135M-Instruct.
pub fn smollm2_path() -> PathBuf {
    let folder = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let cache = folder("TILEWRIGHT_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|base| base.join("tilewright")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/tilewright")))
        .expect("a home folder");
    cache.join("models").join("SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// SmolLM2-135M-Instruct, which `cargo xtask setup` fetches. A test that needs it fails without it.
pub fn open_smollm2(device: Device, options: LoadOptions) -> Loaded {
    let bytes = fs::read(smollm2_path()).expect("SmolLM2 in the cache folder; `cargo xtask setup` fetches it");
    open_gguf(&bytes, device, options)
}

/// The bytes of a GGUF.
pub fn open_gguf(bytes: &[u8], device: Device, options: LoadOptions) -> Loaded {
    let mut loader = Loader::new(device, WeightFiles::Gguf, options).unwrap();
    loader.begin_file("model.gguf", Some(bytes.len() as u64)).unwrap();
    for cut in bytes.chunks(8 << 20) {
        loader.push(cut).unwrap();
    }
    loader.end_file().unwrap();
    pollster::block_on(loader.finish()).expect("it loads")
}
