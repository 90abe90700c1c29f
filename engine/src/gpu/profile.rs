//! Where a step's time goes, by kernel and shape.
//!
//! A profiled step gives every dispatch a pass of its own with a timestamp at either end, and is waited for: the step as a whole is
//! slower than without, what each kernel takes is not. Only natively, and only when [`GpuOptions::profile`](super::GpuOptions)
//! asks for it: passes of their own cost a browser dearly.

use super::Gpu;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Dispatches of a step that are timed; the others are not.
const MOST: u32 = 2048;

/// What the kernels took so far.
#[derive(Clone, Debug)]
pub(super) struct Profiler(Arc<Mutex<Recorded>>);

#[derive(Debug)]
struct Recorded {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    period_ns: f64,
    /// Of the step that is being encoded.
    labels: Vec<String>,
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
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: u64::from(MOST) * 16,
                usage,
                mapped_at_creation: false,
            })
        };
        Self(Arc::new(Mutex::new(Recorded {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: MOST * 2,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            staging: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            period_ns: queue.get_timestamp_period().into(),
            labels: Vec::new(),
            totals: BTreeMap::new(),
        })))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Recorded) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A pass for one dispatch.
    pub(super) fn pass<'a>(&self, encoder: &'a mut wgpu::CommandEncoder, label: String) -> wgpu::ComputePass<'a> {
        self.with(|recorded| {
            let index = recorded.labels.len() as u32;
            let timed = index < MOST;
            if timed {
                recorded.labels.push(label);
            }
            let writes = wgpu::ComputePassTimestampWrites {
                query_set: &recorded.queries,
                beginning_of_pass_write_index: Some(2 * index),
                end_of_pass_write_index: Some(2 * index + 1),
            };
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: timed.then_some(writes) };
            encoder.begin_compute_pass(&descriptor)
        })
    }

    /// Ends a step's encoding.
    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        self.with(|recorded| {
            let count = recorded.labels.len() as u32 * 2;
            encoder.resolve_query_set(&recorded.queries, 0..count, &recorded.resolved, 0);
            encoder.copy_buffer_to_buffer(&recorded.resolved, 0, &recorded.staging, 0, u64::from(count) * 8);
        });
    }

    /// Waits for the submitted step and adds up what it took.
    pub(super) fn collect(&self, gpu: &Gpu) {
        self.with(|recorded| {
            recorded.staging.map_async(wgpu::MapMode::Read, .., |_| ());
            gpu.wait();
            let labels = std::mem::take(&mut recorded.labels);
            if let Ok(view) = recorded.staging.get_mapped_range(..) {
                let stamps: &[u64] = bytemuck::cast_slice(&view);
                for (label, stamps) in labels.into_iter().zip(stamps.chunks_exact(2)) {
                    let time = recorded.totals.entry(label).or_default();
                    time.dispatches += 1;
                    time.total_us += stamps[1].saturating_sub(stamps[0]) as f64 * recorded.period_ns / 1e3;
                }
            }
            recorded.staging.unmap();
        });
    }

    pub(super) fn take(&self) -> BTreeMap<String, KernelTime> {
        self.with(|recorded| std::mem::take(&mut recorded.totals))
    }
}
