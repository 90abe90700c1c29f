//! Bringing tokens and logits back: staging buffers that are mapped, copied out of and used again.

use super::Gpu;
use std::cell::RefCell;
use std::rc::Rc;

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

/// Where a read stands.
pub(super) enum ReadState {
    Waiting,
    Done(Vec<u32>),
    Failed,
}

impl StagingPool {
    pub(super) fn new(gpu: &Gpu, bytes: u64) -> Self {
        Self { gpu: gpu.clone(), bytes, idle: Rc::default() }
    }

    /// A buffer to copy into.
    pub(super) fn take(&self) -> wgpu::Buffer {
        self.idle.borrow_mut().pop().unwrap_or_else(|| {
            self.gpu.count_object();
            self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size: self.bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }

    /// Asks for the first `bytes` of a buffer, once the copy into it was submitted. `done` is called when they can be had.
    pub(super) fn read(
        &self,
        buffer: wgpu::Buffer,
        bytes: u64,
        done: impl FnOnce() + wgpu::WasmNotSend + 'static,
    ) -> PendingRead {
        let (sender, mapped) = futures_channel::oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, ..bytes, move |result| {
            // The receiver is gone when the executor is.
            let _ = sender.send(result);
            done();
        });
        PendingRead { pool: self.clone(), buffer, bytes, mapped }
    }
}

impl PendingRead {
    /// Takes what was read, if it is there.
    pub(super) fn poll(&mut self) -> ReadState {
        match self.mapped.try_recv() {
            Ok(None) => return ReadState::Waiting,
            Ok(Some(Ok(()))) => {}
            _ => return ReadState::Failed,
        }
        let words = match self.buffer.get_mapped_range(..self.bytes) {
            Ok(view) => bytemuck::cast_slice(&view).to_vec(),
            Err(_) => return ReadState::Failed,
        };
        self.buffer.unmap();
        self.pool.idle.borrow_mut().push(self.buffer.clone());
        ReadState::Done(words)
    }
}
