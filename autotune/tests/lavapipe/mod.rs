//! A software device, and a host with nothing else to do.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use std::time::Instant;
use tilewright_autotune::Host;
use tilewright_engine::{Gpu, GpuOptions};

pub(crate) struct Alone(Instant);

impl Alone {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Host for Alone {
    fn clock_us(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1e6
    }

    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + self.0.elapsed().as_millis() as u64
    }

    fn turn(&self) -> LocalBoxFuture<'_, ()> {
        async {}.boxed_local()
    }
}

pub(crate) fn gpu(options: GpuOptions) -> Gpu {
    let options = GpuOptions { adapter: Some("llvmpipe".into()), ..options };
    pollster::block_on(Gpu::request(&options)).expect("Mesa's lavapipe; `cargo xtask setup` installs it")
}
