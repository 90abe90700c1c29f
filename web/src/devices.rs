//! What computes: the GPU, or the CPU where there is none, and another one when it is lost.
//!
//! When the browser's GPU process dies every device dies with it, and each new one needs a new adapter; after a second crash
//! browsers give none for a while. Whoever insists on the GPU waits, for as long as the host says. Everyone else goes on on
//! the CPU at once, while attempts at the GPU are made beside it: the first that succeeds, weights and all, takes over.
//! Weights are read again through the same files, which by then are in the browser's storage.

use crate::device_shim;
use crate::pools::{Opened, Pools};
use crate::tuning::Tuning;
use gloo_timers::future::sleep;
use js_sys::Function;
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tilewright_engine::{Device, Gpu, GpuError, GpuOptions, LoadOptions, MemoryUse};
use tilewright_host::{BackOff, LoadError, ModelFiles, ModelLayout, Progress, Weights, load_weights};
use tilewright_plan::Executor;
use wasm_bindgen::prelude::*;

/// The device of a new engine; `name` and `software` are what the page knows of the adapter, as `wgpu` learns nothing of it in a browser.
/// It is not waited for: whoever asks hears at once that there is none.
pub(crate) async fn first(name: &str, software: bool) -> Result<Gpu, GpuError> {
    // Apple's GPUs have no instruction for four products of bytes.
    let integers = Some(!software && !name.starts_with("Apple"));
    device_shim::open(GpuOptions { software: Some(software), integers, ..GpuOptions::default() }).await
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The GPU, else the CPU.
    Auto,
    Gpu,
    Cpu,
}

impl Choice {
    pub(crate) fn read(text: &str) -> Self {
        match text {
            "gpu" => Self::Gpu,
            "cpu" => Self::Cpu,
            _ => Self::Auto,
        }
    }
}

/// What computes now, as pages are told.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    /// For a person to read.
    pub(crate) name: String,
    pub(crate) on_gpu: bool,
    pub(crate) memory: MemoryUse,
    /// What the user should know of it.
    pub(crate) notice: Option<String>,
}

/// Makes a model's executors.
pub(crate) struct Devices {
    pub(crate) choice: Choice,
    pub(crate) files: Rc<dyn ModelFiles>,
    pub(crate) layout: ModelLayout,
    /// The adapter's name, and whether a program pretends to be it; `None`: there was none at the start.
    pub(crate) adapter: Option<(String, bool)>,
    pub(crate) pools: Pools,
    /// Never goes backwards.
    pub(crate) clock: Box<dyn Fn() -> Duration>,
    pub(crate) back_off: RefCell<BackOff>,
    pub(crate) current: RefCell<Option<Current>>,
    /// A GPU that came back while the CPU computed.
    pub(crate) returned: RefCell<Option<Weights>>,
    /// Somebody waits for the GPU.
    pub(crate) watched: RefCell<bool>,
    /// Is told of every executor.
    pub(crate) tuning: Rc<Tuning>,
    /// Says that the executor is to be replaced, and why.
    pub(crate) replace: Box<dyn Fn(String)>,
    pub(crate) pool_progress: Function,
}

impl Devices {
    /// The first executor of a model.
    pub(crate) async fn open(self: &Rc<Self>, progress: &mut dyn FnMut(Progress)) -> Result<Weights, LoadError> {
        if self.choice == Choice::Cpu || (self.choice == Choice::Auto && self.adapter.is_none()) {
            return self.pool(None).await;
        }
        match self.gpu(progress).await {
            Err(LoadError::Weights(tilewright_engine::LoadError::Gpu(error))) if self.choice == Choice::Auto => {
                self.pool(Some(format!("The GPU could not be used ({error}), so the CPU computes."))).await
            }
            result => result,
        }
    }

    /// The same model on a new device.
    pub(crate) async fn another(self: Rc<Self>) -> Result<Box<dyn Executor>, LoadError> {
        let weights = match self.choice {
            Choice::Cpu => self.pool(None).await,
            Choice::Gpu => self.gpu_in_time().await,
            Choice::Auto if self.adapter.is_none() => self.pool(None).await,
            Choice::Auto => self.best().await,
        };
        Ok(weights?.executor)
    }

    async fn best(self: &Rc<Self>) -> Result<Weights, LoadError> {
        if let Some(weights) = self.returned.take() {
            self.note_gpu(&weights);
            return Ok(weights);
        }
        let mut why = "The GPU is busy recovering".to_owned();
        if !*self.watched.borrow() {
            self.back_off.borrow_mut().begin((self.clock)());
            if self.back_off.borrow_mut().pause() == Some(Duration::ZERO) {
                match self.gpu(&mut |_| ()).await {
                    Ok(weights) => {
                        self.back_off.borrow_mut().made((self.clock)());
                        return Ok(weights);
                    }
                    Err(error) if may_pass(&error) => "The GPU was lost".clone_into(&mut why),
                    Err(error) => return Err(error),
                }
            }
            self.watch();
        }
        let notice = format!("{why}; the CPU computes until it is back.");
        match self.pool(Some(notice)).await {
            // No tab can have a pool: then the GPU is all there is to wait for.
            Err(error) if !*self.watched.borrow() => Err(error),
            Err(_) => self.gpu_in_time().await,
            Ok(opened) => {
                // It may have come back meanwhile, when there was nothing to replace.
                let Some(weights) = self.returned.take() else { return Ok(opened) };
                self.note_gpu(&weights);
                Ok(weights)
            }
        }
    }

    /// Waits for the GPU beside whatever computes, for as long as this engine lives.
    fn watch(self: &Rc<Self>) {
        *self.watched.borrow_mut() = true;
        let weak: Weak<Self> = Rc::downgrade(self);
        wasm_bindgen_futures::spawn_local(async move {
            loop {
                let Some(devices) = weak.upgrade() else { return };
                let Some(pause) = devices.back_off.borrow_mut().pause() else {
                    *devices.watched.borrow_mut() = false;
                    return;
                };
                drop(devices);
                sleep(pause).await;
                let Some(devices) = weak.upgrade() else { return };
                if let Ok(weights) = devices.attempt(&mut |_| ()).await {
                    devices.back_off.borrow_mut().made((devices.clock)());
                    *devices.returned.borrow_mut() = Some(weights);
                    *devices.watched.borrow_mut() = false;
                    (devices.replace)("the GPU is there again".to_owned());
                    return;
                }
            }
        });
    }

    /// The GPU, which is waited for. Fails when there has been none for some minutes.
    async fn gpu_in_time(&self) -> Result<Weights, LoadError> {
        self.back_off.borrow_mut().begin((self.clock)());
        let mut failed = GpuError::NoWebGpu.into();
        loop {
            let Some(pause) = self.back_off.borrow_mut().pause() else { return Err(failed) };
            if !pause.is_zero() {
                sleep(pause).await;
            }
            match self.gpu(&mut |_| ()).await {
                Ok(weights) => {
                    self.back_off.borrow_mut().made((self.clock)());
                    return Ok(weights);
                }
                Err(error) if may_pass(&error) => failed = error,
                Err(error) => return Err(error),
            }
        }
    }

    async fn gpu(&self, progress: &mut dyn FnMut(Progress)) -> Result<Weights, LoadError> {
        let weights = self.attempt(progress).await?;
        self.note_gpu(&weights);
        Ok(weights)
    }

    async fn attempt(&self, progress: &mut dyn FnMut(Progress)) -> Result<Weights, LoadError> {
        let (name, software) = self.adapter.clone().unwrap_or_default();
        let device = Device::Gpu(first(&name, software).await?);
        let layout = self.layout.clone();
        Ok(load_weights(&*self.files, layout, device, LoadOptions::default(), progress).await?.into())
    }

    async fn pool(self: &Rc<Self>, why: Option<String>) -> Result<Weights, LoadError> {
        let weak = Rc::downgrade(self);
        let lost = Closure::once_into_js(move |reason: String| {
            if let Some(devices) = weak.upgrade() {
                (devices.replace)(reason);
            }
        });
        let Opened { weights, notice } = self.pools.opened(&self.pool_progress, lost.unchecked_ref()).await?;
        let notice = [why, notice].into_iter().flatten().reduce(|all, next| format!("{all} {next}"));
        self.note(&weights, weights.executor.device(), false, notice);
        Ok(weights)
    }

    fn note_gpu(&self, weights: &Weights) {
        let name = self.adapter.as_ref().map(|(name, _)| name.as_str()).filter(|name| !name.is_empty());
        let name = name.map_or_else(|| weights.executor.device(), |name| format!("{name} (WebGPU)"));
        self.note(weights, name, true, None);
    }

    fn note(&self, weights: &Weights, name: String, on_gpu: bool, notice: Option<String>) {
        self.tuning.attach(weights.tunable.clone());
        *self.current.borrow_mut() = Some(Current { name, on_gpu, memory: weights.memory, notice });
    }
}

/// Whether it may be otherwise after a while: there was no GPU, or it was lost while the weights were read. A browser whose GPU
/// process just died gives no adapter, which `wgpu` takes for a browser without WebGPU; this one had it before.
fn may_pass(error: &LoadError) -> bool {
    let LoadError::Weights(tilewright_engine::LoadError::Gpu(error)) = error else { return false };
    matches!(error, GpuError::NoWebGpu | GpuError::NoAdapter { .. } | GpuError::NoDevice { .. } | GpuError::Lost { .. })
}
