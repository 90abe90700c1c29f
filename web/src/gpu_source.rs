//! The GPU, and another one when it is lost.
//!
//! When the browser's GPU process dies every device dies with it. A new adapter comes at once after the first crash, and
//! after a second within seconds none for at least 8 s (measured, Chromium 156): hence the pauses. Weights are read again
//! through the same files, which by then are in the browser's cache.

use gloo_timers::future::TimeoutFuture;
use std::rc::Rc;
use tilewright_engine::{Device, Gpu, GpuError, GpuOptions, LoadOptions};
use tilewright_host::{LoadError, ModelFiles, ModelLayout, load_weights};
use tilewright_plan::Executor;

/// Waits before each attempt at a new device, in milliseconds. Requests wait meanwhile, so that it ends: the next request
/// begins anew.
const PAUSES_MS: [u32; 4] = [0, 2_000, 10_000, 30_000];

/// The device of a new engine; `software` is what the page knows of the adapter, as `wgpu` learns nothing of it in a browser. It is not waited for: whoever asks hears at once that there is none.
pub(crate) async fn first(software: bool) -> Result<Gpu, GpuError> {
    Gpu::request(&GpuOptions { software: Some(software), ..GpuOptions::default() }).await
}

/// The same model on a new device.
pub(crate) async fn another(
    files: Rc<dyn ModelFiles>,
    layout: ModelLayout,
    software: bool,
) -> Result<Box<dyn Executor>, LoadError> {
    let mut found = Err(GpuError::NoWebGpu);
    for pause in PAUSES_MS {
        TimeoutFuture::new(pause).await;
        found = first(software).await;
        if found.is_ok() {
            break;
        }
    }
    let loaded = load_weights(&*files, layout, Device::Gpu(found?), LoadOptions::default(), &mut |_| ()).await?;
    Ok(loaded.executor)
}
