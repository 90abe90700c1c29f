//! Every kernel variant against its CPU twin, on random data and odd shapes.
//!
//! The device is Mesa's lavapipe; `TILEWRIGHT_TEST_ADAPTER` names another one. The random numbers are the project's own
//! counter-based generator, so a failure comes again. [`check`](super::check) has what also runs in browsers.

mod products;
mod sampling;
mod suite;

use super::check::Rig;
use super::pipelines::Access;
use super::{Gpu, GpuOptions};
use crate::kernels::KernelVariant;
use crate::kernels::source::KernelShape;
use std::sync::LazyLock;

static GPU: LazyLock<Gpu> = LazyLock::new(|| gpu(&[]));

fn gpu(refuse: &[&str]) -> Gpu {
    let adapter = std::env::var("TILEWRIGHT_TEST_ADAPTER").unwrap_or_else(|_| "llvmpipe".into());
    let refuse = refuse.iter().map(ToString::to_string).collect();
    let options = GpuOptions { adapter: Some(adapter), refuse, ..GpuOptions::default() };
    pollster::block_on(Gpu::request(&options)).expect("a GPU; `cargo xtask setup` installs Mesa's lavapipe")
}

fn rig() -> Rig {
    Rig::new(&GPU)
}

/// Runs one kernel, which has to compile, and reads the bindings back that it writes.
fn run(variant: &KernelVariant, shape: &KernelShape, rows: u32, bindings: &[(u32, Access, Vec<u8>)]) -> Vec<Vec<f32>> {
    let mut rig = rig();
    let written = pollster::block_on(rig.run(variant, shape, rows, bindings)).unwrap();
    assert_eq!(rig.take(), [], "{variant:?} compiles");
    written
}

fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * (1.0 + e.abs()), "{what}: element {index} is {a}, the twin says {e}");
    }
}
