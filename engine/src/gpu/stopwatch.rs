//! How long passes take, by timestamps that the GPU itself writes.
//!
//! What a browser's clock sees of a pass is mostly the way there and back: some milliseconds, whatever the GPU did.
//! Timestamps are coarse (Chromium rounds them to 0.1 ms, against timing attacks), but know nothing of that way; and as nobody
//! waits between passes, many candidates are timed by one submission.

use super::Gpu;

/// Passes that are timed by one submission.
pub(super) const MOST_PASSES: u32 = 64;

/// Times the passes of a submission.
pub(super) struct Stopwatch {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    period_ns: f64,
}

impl Stopwatch {
    /// `None` where a device has no timestamps.
    pub(super) fn new(gpu: &Gpu) -> Option<Self> {
        if !gpu.has_timestamps() {
            return None;
        }
        let buffer = |usage| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: u64::from(MOST_PASSES) * 16,
                usage,
                mapped_at_creation: false,
            })
        };
        Some(Self {
            queries: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: MOST_PASSES * 2,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            staging: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            period_ns: gpu.queue.get_timestamp_period().into(),
        })
    }

    /// What the pass of this number writes.
    pub(super) fn writes(&self, pass: u32) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * pass),
            end_of_pass_write_index: Some(2 * pass + 1),
        }
    }

    /// Ends the encoding of so many passes.
    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder, passes: u32) {
        encoder.resolve_query_set(&self.queries, 0..2 * passes, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, u64::from(passes) * 16);
    }

    /// Microseconds of each pass of what was submitted; empty on a device that failed.
    pub(super) async fn read(&self, gpu: &Gpu, passes: u32) -> Vec<f64> {
        let (sender, mapped) = futures_channel::oneshot::channel();
        self.staging.map_async(wgpu::MapMode::Read, ..u64::from(passes) * 16, move |result| {
            // The receiver is gone when nobody waits any more.
            let _ = sender.send(result);
        });
        gpu.wait();
        if !matches!(mapped.await, Ok(Ok(()))) {
            return Vec::new();
        }
        let times = match self.staging.get_mapped_range(..u64::from(passes) * 16) {
            Ok(view) => {
                let stamps: &[[u64; 2]] = bytemuck::cast_slice(&view);
                let time = |[begin, end]: &[u64; 2]| end.saturating_sub(*begin) as f64 * self.period_ns / 1e3;
                stamps.iter().map(time).collect()
            }
            Err(_) => Vec::new(),
        };
        self.staging.unmap();
        times
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.resolved.destroy();
        self.staging.destroy();
    }
}
