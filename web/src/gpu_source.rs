//! The GPU, and another one when it is lost.
//!
//! When the browser's GPU process dies every device dies with it, and each new one needs a new adapter. The host says how
//! long to wait between attempts. Weights are read again through the same files, which by then are in the browser's cache.

use gloo_timers::future::sleep;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tilewright_engine::{Device, Gpu, GpuError, GpuOptions, LoadOptions};
use tilewright_host::{BackOff, LoadError, ModelFiles, ModelLayout, load_weights};
use tilewright_plan::Executor;

/// The device of a new engine; `software` is what the page knows of the adapter, as `wgpu` learns nothing of it in a browser.
/// It is not waited for: whoever asks hears at once that there is none.
pub(crate) async fn first(software: bool) -> Result<Gpu, GpuError> {
    Gpu::request(&GpuOptions { software: Some(software), ..GpuOptions::default() }).await
}

/// Makes a model's executors after the first.
pub(crate) struct GpuSource {
    pub(crate) files: Rc<dyn ModelFiles>,
    pub(crate) layout: ModelLayout,
    pub(crate) software: bool,
    /// Never goes backwards.
    pub(crate) clock: Box<dyn Fn() -> Duration>,
    pub(crate) back_off: RefCell<BackOff>,
}

impl GpuSource {
    /// The same model on a new device. Fails when there has been none for some minutes.
    pub(crate) async fn another(self: Rc<Self>) -> Result<Box<dyn Executor>, LoadError> {
        self.back_off.borrow_mut().begin((self.clock)());
        let mut failed = GpuError::NoWebGpu.into();
        loop {
            let Some(pause) = self.back_off.borrow_mut().pause() else { return Err(failed) };
            if !pause.is_zero() {
                sleep(pause).await;
            }
            match self.attempt().await {
                Ok(executor) => {
                    self.back_off.borrow_mut().made((self.clock)());
                    return Ok(executor);
                }
                Err(error) if may_pass(&error) => failed = error,
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(&self) -> Result<Box<dyn Executor>, LoadError> {
        let device = Device::Gpu(first(self.software).await?);
        let loaded =
            load_weights(&*self.files, self.layout.clone(), device, LoadOptions::default(), &mut |_| ()).await?;
        Ok(loaded.executor)
    }
}

/// Whether it may be otherwise after a while: there was no GPU, or it was lost while the weights were read.
fn may_pass(error: &LoadError) -> bool {
    let LoadError::Weights(tilewright_engine::LoadError::Gpu(error)) = error else { return false };
    matches!(error, GpuError::NoAdapter { .. } | GpuError::NoDevice { .. } | GpuError::Lost { .. })
}
