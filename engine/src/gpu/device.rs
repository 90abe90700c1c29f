//! Finding a GPU, its limits, and learning of its loss.

use super::ahead::CompileAhead;
use super::ledger::Ledger;
use super::planted::PlantedFault;
use super::profile::{KernelTime, Profiler};
use crate::kernels::{KernelVariant, MatrixUnit};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;
use tilewright_plan::ExecutorError;

/// Which GPU to take.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Only an adapter whose name contains this, in any case; natively only.
    pub adapter: Option<String>,
    /// Whether it is a program that pretends to be a GPU, where the caller knows and `wgpu` does not: in a browser.
    pub software: Option<bool>,
    /// Pretend that no binding may be larger than this, bytes. For tests of splitting.
    pub max_binding_bytes: Option<u64>,
    /// What the device is called, for a caller who watches devices being opened: in a browser.
    pub label: Option<String>,
    /// Ask for nothing beyond the limits that every WebGPU device has. For tests of small devices.
    pub least_limits: bool,
    /// Whether to time every kernel, where the device can; slows steps down.
    pub profile: bool,
    /// Whether products of two rows or more are of 8-bit integers; by default where a device has instructions for them.
    pub integers: Option<bool>,
    /// Whether keys and values are kept as halves; by default on real GPUs. Programs that pretend to be one convert them slowly.
    pub half_cache: Option<bool>,
    /// Pretend that the device has so many bytes of memory. For tests of small devices.
    pub memory_bytes: Option<u64>,
    /// Pretend that the device's compiler refuses kernels of these names, or only those that serve so many rows with a fetch of the
    /// weights: "matvec 4". For tests of falling back.
    pub refuse: Vec<String>,
    /// Faults of single variants. For tests of tuning.
    pub plant: Vec<(KernelVariant, PlantedFault)>,
    /// Pretend that the device has no timestamps. For tests of clocks.
    pub no_timestamps: bool,
    /// Units by which subgroups multiply matrices. For tests of what uses them, which invocations then stand in for.
    pub unit: Option<MatrixUnit>,
}

/// What of a device bounds kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelLimits {
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Invocations of a workgroup.
    pub workgroup_size: u32,
    /// Invocations of the smallest subgroup; 1 without subgroups.
    pub subgroup: u32,
    /// Whether kernels may compute in f16.
    pub halves: bool,
    /// By which subgroups multiply matrices.
    pub unit: Option<MatrixUnit>,
    /// Whether a processor stands in for a GPU, for which there are products of their own.
    pub serial: bool,
}

/// A device that kernels can run on. Clones share it.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    /// Largest binding and buffer, bytes.
    pub(crate) max_binding_bytes: u64,
    info: Arc<wgpu::AdapterInfo>,
    software: bool,
    subgroup: u32,
    unit: Option<MatrixUnit>,
    integers: bool,
    half_cache: bool,
    memory_bytes: Option<u64>,
    pub(super) refuse: Arc<[String]>,
    pub(super) plant: Arc<[(KernelVariant, PlantedFault)]>,
    ahead: Option<CompileAhead>,
    faults: Faults,
    pub(super) profiler: Option<Profiler>,
    pub(super) ledger: Arc<Ledger>,
}

/// What went wrong on the device outside of any call.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Arc<Mutex<Option<GpuError>>>);

impl Faults {
    /// Keeps the first fault: later ones follow from it.
    fn report(&self, error: GpuError) {
        // A device that is dropped reports its end too, so this is no warning.
        tracing::info!("{error}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn first(&self) -> Option<GpuError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why a GPU can't be used.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The browser has no `navigator.gpu`.
    #[error(
        "this browser offers no WebGPU here; use a current Chrome, Edge, Safari or Firefox over https or on localhost, and check that \
         hardware acceleration is switched on"
    )]
    NoWebGpu,
    /// No adapter.
    #[error("no usable GPU was found ({reason}); update the graphics driver, or compute on the CPU")]
    NoAdapter {
        /// What the platform said.
        reason: String,
    },
    /// No adapter of the name that was asked for.
    #[error("no GPU is named like \"{wanted}\"; there are: {present}")]
    NoSuchAdapter {
        /// What was asked for.
        wanted: String,
        /// What there is.
        present: String,
    },
    /// The adapter gave no device.
    #[error("{adapter} refused to open a device ({reason}); close other programs that use the GPU and try again")]
    NoDevice {
        /// Its name.
        adapter: String,
        /// What the platform said.
        reason: String,
    },
    /// The device's compiler refused a kernel, and whatever could stand in for it.
    #[error(
        "{adapter} refused to compile {kernel} ({reason}); update the graphics driver or the browser, or compute on the CPU"
    )]
    Refused {
        /// Its name.
        adapter: String,
        /// The kernel.
        kernel: &'static str,
        /// What the compiler said.
        reason: String,
    },
    /// The device has no more memory.
    #[error(
        "{adapter} ran out of memory; use a smaller model or a shorter context, or close other programs that use the GPU"
    )]
    OutOfMemory {
        /// Its name.
        adapter: String,
    },
    /// The device is gone, or answered a call of ours with an error.
    #[error("{adapter} stopped working ({reason}); the model has to be loaded again")]
    Lost {
        /// Its name.
        adapter: String,
        /// What the platform said.
        reason: String,
    },
}

impl Gpu {
    /// Opens the GPU with all the limits it has: the default ones are too small for a model.
    pub async fn request(options: &GpuOptions) -> Result<Self, GpuError> {
        #[cfg(target_arch = "wasm32")]
        if !wgpu::util::is_browser_webgpu_supported().await {
            return Err(GpuError::NoWebGpu);
        }
        let adapter = request_adapter(options).await?;
        let info = adapter.get_info();
        let limits = if options.least_limits { wgpu::Limits::default() } else { adapter.limits() };
        let timestamps = !options.least_limits
            && !options.no_timestamps
            && adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let profile = options.profile && timestamps;
        let mut features = wgpu::Features::empty();
        features.set(wgpu::Features::TIMESTAMP_QUERY, timestamps);
        let subgroups = !options.least_limits && adapter.features().contains(wgpu::Features::SUBGROUP);
        features.set(wgpu::Features::SUBGROUP, subgroups);
        let halves = !options.least_limits && adapter.features().contains(wgpu::Features::SHADER_F16);
        features.set(wgpu::Features::SHADER_F16, halves);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some(options.label.as_deref().unwrap_or("tilewright")),
            required_features: features,
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| GpuError::NoDevice { adapter: name(&info), reason: error.to_string() })?;
        let largest = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let software = options.software.unwrap_or_else(|| is_software(&info));
        let profiler = if profile { Profiler::new(&device, &queue) } else { None };
        let gpu = Self {
            profiler,
            ledger: Arc::default(),
            device,
            queue,
            max_binding_bytes: options.max_binding_bytes.map_or(largest, |bytes| bytes.min(largest)),
            integers: options.integers.unwrap_or_else(|| !software && has_integer_dot(&info)),
            half_cache: options.half_cache.unwrap_or(!software),
            memory_bytes: options.memory_bytes,
            refuse: options.refuse.clone().into(),
            plant: options.plant.clone().into(),
            ahead: None,
            software,
            subgroup: if subgroups { info.subgroup_min_size } else { 1 },
            unit: None,
            info: Arc::new(info),
            faults: Faults::default(),
        };
        gpu.watch();
        Ok(gpu.with_matrix_unit(options.unit))
    }

    fn watch(&self) {
        let (faults, adapter) = (self.faults.clone(), self.name());
        self.device.set_device_lost_callback(move |_, reason| {
            faults.report(GpuError::Lost { adapter: adapter.clone(), reason });
        });
        let (faults, adapter) = (self.faults.clone(), self.name());
        self.device.on_uncaptured_error(Arc::new(move |error| {
            faults.report(match error {
                wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory { adapter: adapter.clone() },
                other => GpuError::Lost { adapter: adapter.clone(), reason: other.to_string() },
            });
        }));
    }

    /// Its name, for people: "NVIDIA H100 80GB HBM3 (Vulkan)".
    pub fn name(&self) -> String {
        name(&self.info)
    }

    /// Whether it is a program that pretends to be a GPU.
    pub fn is_software(&self) -> bool {
        self.software
    }

    /// Whether products of two rows or more are of 8-bit integers.
    pub fn multiplies_integers(&self) -> bool {
        self.integers
    }

    /// Whether keys and values are kept as halves.
    pub fn halves_cache(&self) -> bool {
        self.half_cache
    }

    /// Whether the device has memory for a buffer. Only a pretended limit is known before it was asked for.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.memory_bytes.is_none_or(|most| self.ledger.held() + bytes <= most)
    }

    /// A buffer of a model's: its memory is written down.
    pub(super) fn buffer(&self, label: &str, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        if !self.has_room(size) {
            self.faults.report(GpuError::OutOfMemory { adapter: self.name() });
        }
        self.ledger.object();
        self.ledger.hold(size);
        let label = Some(label);
        self.device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
    }

    /// Gives the memory of such a buffer back: in a browser it does not come back when the buffer is dropped.
    pub(super) fn release(&self, buffer: &wgpu::Buffer) {
        self.ledger.leave(buffer.size());
        buffer.destroy();
    }

    /// With somebody who compiles kernels beside whatever the device does.
    #[must_use]
    pub fn with_compile_ahead(self, ahead: CompileAhead) -> Self {
        Self { ahead: Some(ahead), ..self }
    }

    pub(super) fn ahead(&self) -> Option<&CompileAhead> {
        self.ahead.as_ref()
    }

    /// Whether kernels are compiled beside what the device does.
    pub fn compiles_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// Whether passes can be timed.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// What bounds kernels.
    pub fn limits(&self) -> KernelLimits {
        let limits = self.device.limits();
        KernelLimits {
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroup_size: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
            subgroup: self.subgroup,
            halves: self.has_halves(),
            unit: self.unit,
            serial: self.software,
        }
    }

    /// Lanes of the vectors of a processor that stands in for a GPU: the invocations of a subgroup, or SwiftShader's four where it is
    /// not known.
    pub(super) fn serial_lanes(&self) -> u32 {
        self.subgroup.clamp(4, 16)
    }

    /// Whether kernels may compute in f16.
    pub fn has_halves(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// What the adapter says of itself.
    pub fn adapter(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// All limits, in words that tell two devices apart.
    pub fn limits_in_words(&self) -> String {
        format!("{:?}", self.device.limits())
    }

    /// Names of the features that are in use.
    pub fn features_in_words(&self) -> Vec<String> {
        self.device.features().iter_names().map(|(name, _)| name.to_lowercase().replace('_', "-")).collect()
    }

    /// Invocations of the smallest subgroup; 1 where kernels can't use subgroups.
    pub fn least_subgroup(&self) -> u32 {
        self.subgroup
    }

    /// Lets kernels use subgroups, none of less than `least` invocations: in a browser, where a device may have them and `wgpu` does not
    /// know.
    #[must_use]
    pub fn with_subgroups(self, least: u32) -> Self {
        Self { subgroup: least, ..self }
    }

    /// By which subgroups multiply matrices.
    pub fn matrix_unit(&self) -> Option<MatrixUnit> {
        self.unit
    }

    /// Lets kernels use matrix units, which `wgpu` knows nothing of either; or none. A device that can't bind what they take has none.
    #[must_use]
    pub fn with_matrix_unit(self, unit: Option<MatrixUnit>) -> Self {
        Self { unit: unit.filter(|_| self.binds_halves()), ..self }
    }

    /// Whether a product of integers can be handed its input as f16 too, beside all else that it may take.
    pub(crate) fn binds_halves(&self) -> bool {
        self.device.limits().max_storage_buffers_per_shader_stage >= 9
    }

    /// Buffers, bind groups and pipelines made so far: no step makes any once it has run before.
    pub fn objects_made(&self) -> u64 {
        self.ledger.objects()
    }

    /// Most bytes that weights, keys and values and the scratch of steps took at a time.
    pub fn peak_bytes(&self) -> u64 {
        self.ledger.peak()
    }

    /// What each kernel took since the last call; empty unless the device was asked to time them.
    pub fn take_profile(&self) -> BTreeMap<String, KernelTime> {
        self.profiler.as_ref().map(Profiler::take).unwrap_or_default()
    }

    /// Gives the device back at once. Whoever still uses it is told that it is lost.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// The first thing that went wrong, if anything did.
    pub fn check(&self) -> Result<(), GpuError> {
        self.faults.first().map_or(Ok(()), Err)
    }

    /// Resolves when the device has done all that it was given.
    pub async fn idle(&self) -> Result<(), GpuError> {
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            // The receiver is gone when nobody waits any more.
            let _ = sender.send(());
        });
        self.wait();
        let _ = receiver.await;
        self.ledger.settle();
        self.check()
    }

    /// Natively callbacks are called from here; a browser calls them from its event loop.
    pub(super) fn wait(&self) {
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            self.faults.report(GpuError::Lost { adapter: self.name(), reason: error.to_string() });
        }
    }

    /// Waits for a submission and calls its callbacks; does nothing in a browser.
    pub(super) fn wait_for(&self, submission: wgpu::SubmissionIndex) {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        if let Err(error) = self.device.poll(wait) {
            self.faults.report(GpuError::Lost { adapter: self.name(), reason: error.to_string() });
        }
    }

    /// Calls the callbacks of what is done already.
    pub(super) fn poll(&self) {
        // What fails here fails again where someone waits.
        let _ = self.device.poll(wgpu::PollType::Poll);
    }

    /// The error of a step that didn't come back.
    pub(super) fn loss(&self) -> ExecutorError {
        let reason = self.faults.first().map_or_else(|| format!("{} gave no reason", self.name()), |e| e.to_string());
        ExecutorError::Lost { reason }
    }
}

fn is_software(info: &wgpu::AdapterInfo) -> bool {
    let named = |name: &str| info.name.to_lowercase().contains(name);
    info.device_type == wgpu::DeviceType::Cpu || named("swiftshader") || named("llvmpipe")
}

/// Apple's GPUs have no instruction for four products of bytes; everybody else's of the last ten years do.
fn has_integer_dot(info: &wgpu::AdapterInfo) -> bool {
    info.backend != wgpu::Backend::Metal
}

fn name(info: &wgpu::AdapterInfo) -> String {
    let name = match (info.name.is_empty(), info.driver.is_empty()) {
        (false, _) => info.name.as_str(),
        (true, false) => info.driver.as_str(),
        (true, true) => "GPU",
    };
    match info.backend {
        wgpu::Backend::BrowserWebGpu => format!("{name} (WebGPU)"),
        backend => format!("{name} ({backend:?})"),
    }
}

async fn request_adapter(options: &GpuOptions) -> Result<wgpu::Adapter, GpuError> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    if let Some(wanted) = &options.adapter {
        let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
        let present = adapters.iter().map(|adapter| name(&adapter.get_info())).collect::<Vec<_>>().join(", ");
        let matches =
            |adapter: &wgpu::Adapter| name(&adapter.get_info()).to_lowercase().contains(&wanted.to_lowercase());
        return match adapters.iter().position(matches) {
            Some(index) => Ok(adapters.swap_remove(index)),
            None => Err(GpuError::NoSuchAdapter { wanted: wanted.clone(), present }),
        };
    }
    let request =
        wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
    instance.request_adapter(&request).await.map_err(|error| GpuError::NoAdapter { reason: error.to_string() })
}
