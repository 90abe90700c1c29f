//! Bringing logits back: staging buffers that are mapped, copied out of and used again.

use super::Gpu;
use std::cell::RefCell;
use std::rc::Rc;
use tilewright_plan::ExecutorError;

/// Staging buffers of one size that no read is using.
#[derive(Clone)]
pub(super) struct StagingPool {
    gpu: Gpu,
    bytes: u64,
    idle: Rc<RefCell<Vec<wgpu::Buffer>>>,
}

/// A staging buffer that a submitted copy fills.
pub(super) struct PendingRead {
    pool: StagingPool,
    buffer: wgpu::Buffer,
    bytes: u64,
    mapped: futures_channel::oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl StagingPool {
    pub(super) fn new(gpu: &Gpu, bytes: u64) -> Self {
        Self { gpu: gpu.clone(), bytes, idle: Rc::default() }
    }

    /// A buffer to copy into.
    pub(super) fn take(&self) -> wgpu::Buffer {
        self.idle.borrow_mut().pop().unwrap_or_else(|| {
            self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("logits readback"),
                size: self.bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }

    /// Asks for the first `bytes` of a buffer, once the copy into it was submitted.
    pub(super) fn read(&self, buffer: wgpu::Buffer, bytes: u64) -> PendingRead {
        let (sender, mapped) = futures_channel::oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, ..bytes, move |result| {
            // The receiver is gone when nobody waits for this step any more.
            let _ = sender.send(result);
        });
        PendingRead { pool: self.clone(), buffer, bytes, mapped }
    }
}

impl PendingRead {
    /// Appends what was read to `out`.
    pub(super) async fn append_to(self, out: &mut Vec<f32>) -> Result<(), ExecutorError> {
        let gpu = &self.pool.gpu;
        gpu.wait();
        match self.mapped.await {
            Ok(Ok(())) => {}
            _ => return Err(gpu.loss()),
        }
        {
            let view = self.buffer.get_mapped_range(..self.bytes).map_err(|_| gpu.loss())?;
            out.extend_from_slice(bytemuck::cast_slice(&view));
        }
        self.buffer.unmap();
        self.pool.idle.borrow_mut().push(self.buffer);
        Ok(())
    }
}
