//! How long passes take, by timestamps that the GPU itself writes.
//!
//! What a browser's clock sees of a pass is mostly the way there and back: some milliseconds, whatever the GPU did.
//! Timestamps are coarse (Chromium rounds them to 0.1 ms, against timing attacks), but know nothing of that way; and as nobody
//! waits between passes, many candidates are timed by one submission.

use super::readback::ReadOnce;
use super::{Gpu, GpuError};

/// Times the passes of a submission.
#[derive(Debug)]
pub(super) struct Stopwatch {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    most_passes: u32,
    period_ns: f64,
}

impl Stopwatch {
    /// Of so many passes a submission; `None` where a device has no timestamps.
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue, most_passes: u32) -> Option<Self> {
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: most_passes * 2,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: u64::from(most_passes) * 16,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Some(Self { queries, resolved, most_passes, period_ns: queue.get_timestamp_period().into() })
    }

    /// What the pass of this number writes; `None` beyond the last.
    pub(super) fn writes(&self, pass: u32) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        (pass < self.most_passes).then(|| wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * pass),
            end_of_pass_write_index: Some(2 * pass + 1),
        })
    }

    /// Ends the encoding of so many passes.
    pub(super) fn resolve(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, passes: u32) -> ReadOnce {
        encoder.resolve_query_set(&self.queries, 0..2 * passes, &self.resolved, 0);
        ReadOnce::of(gpu, encoder, [(&self.resolved, 0, u64::from(passes) * 16)])
    }

    /// Microseconds of each pass of what was submitted.
    pub(super) async fn times_us(&self, gpu: &Gpu, stamps: ReadOnce) -> Result<Vec<f64>, GpuError> {
        let words = stamps.words(gpu).await?;
        let stamp = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
        let time = |at: usize| stamp(at + 2).saturating_sub(stamp(at)) as f64 * self.period_ns / 1e3;
        Ok((0..words.len() / 4).map(|pass| time(4 * pass)).collect())
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.resolved.destroy();
    }
}
