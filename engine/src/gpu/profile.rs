//! Where a step's time goes, by kernel and shape.
//!
//! A profiled step gives every dispatch a pass of its own with a timestamp at either end, and is waited for: the step as a whole is
//! slower than without, what each kernel takes is not. Only natively, and only when [`GpuOptions::profile`](super::GpuOptions)
//! asks for it: passes of their own cost a browser dearly.

use super::Gpu;
use super::readback::ReadOnce;
use super::stopwatch::Stopwatch;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Dispatches of a step that are timed; the others are not.
const MOST: u32 = 2048;

/// What the kernels took so far.
#[derive(Clone, Debug)]
pub(super) struct Profiler(Arc<Mutex<Recorded>>);

#[derive(Debug)]
struct Recorded {
    stopwatch: Stopwatch,
    /// Of the step that is being encoded.
    labels: Vec<String>,
    stamps: Option<ReadOnce>,
    totals: BTreeMap<String, KernelTime>,
}

/// What one kernel took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KernelTime {
    /// How often it ran.
    pub dispatches: u64,
    /// All of them together.
    pub total_us: f64,
}

impl Profiler {
    /// `None` where a device has no timestamps.
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Option<Self> {
        let stopwatch = Stopwatch::new(device, queue, MOST)?;
        let recorded = Recorded { stopwatch, labels: Vec::new(), stamps: None, totals: BTreeMap::new() };
        Some(Self(Arc::new(Mutex::new(recorded))))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Recorded) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A pass for one dispatch.
    pub(super) fn pass<'a>(&self, encoder: &'a mut wgpu::CommandEncoder, label: String) -> wgpu::ComputePass<'a> {
        self.with(|recorded| {
            let timestamp_writes = recorded.stopwatch.writes(recorded.labels.len() as u32);
            if timestamp_writes.is_some() {
                recorded.labels.push(label);
            }
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes })
        })
    }

    /// Ends a step's encoding.
    pub(super) fn resolve(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) {
        self.with(|recorded| {
            let passes = recorded.labels.len() as u32;
            recorded.stamps = Some(recorded.stopwatch.resolve(gpu, encoder, passes));
        });
    }

    /// Waits for the submitted step and adds up what it took.
    pub(super) fn collect(&self, gpu: &Gpu) {
        self.with(|recorded| {
            let labels = std::mem::take(&mut recorded.labels);
            let Some(stamps) = recorded.stamps.take() else { return };
            // Natively nothing is left to wait for once the device has been asked; a loss is the step's to report.
            let times = pin!(recorded.stopwatch.times_us(gpu, stamps));
            let Poll::Ready(Ok(times)) = times.poll(&mut Context::from_waker(Waker::noop())) else { return };
            for (label, us) in labels.into_iter().zip(times) {
                let time = recorded.totals.entry(label).or_default();
                time.dispatches += 1;
                time.total_us += us;
            }
        });
    }

    pub(super) fn take(&self) -> BTreeMap<String, KernelTime> {
        self.with(|recorded| std::mem::take(&mut recorded.totals))
    }
}
