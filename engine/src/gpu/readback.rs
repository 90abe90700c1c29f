//! Bringing what the GPU wrote back: staging buffers that are mapped and copied out of.
//!
//! A step's tokens and logits come back through a pool of them, late, and nobody waits; whoever checks or times kernels waits
//! for what it wants and makes a buffer for it.

use super::{Gpu, GpuError};
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
            self.gpu.buffer("readback", self.bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
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

/// Stretches of buffers, copied side by side to be read once.
#[derive(Debug)]
pub(super) struct ReadOnce(wgpu::Buffer);

impl ReadOnce {
    /// Encodes the copies: buffer, begin and length in bytes.
    pub(super) fn of<'a>(
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        stretches: impl IntoIterator<Item = (&'a wgpu::Buffer, u64, u64)>,
    ) -> Self {
        let stretches: Vec<_> = stretches.into_iter().collect();
        let staging = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read once"),
            size: stretches.iter().map(|(_, _, length)| length).sum(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut at = 0;
        for (buffer, begin, length) in stretches {
            encoder.copy_buffer_to_buffer(buffer, begin, &staging, at, length);
            at += length;
        }
        Self(staging)
    }

    /// What was copied, once the copies were submitted.
    pub(super) async fn words(self, gpu: &Gpu) -> Result<Vec<u32>, GpuError> {
        let (sender, mapped) = futures_channel::oneshot::channel();
        self.0.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone when nobody waits any more.
            let _ = sender.send(result);
        });
        gpu.wait();
        let mapped = matches!(mapped.await, Ok(Ok(())));
        gpu.check()?;
        let words =
            self.0.get_mapped_range(..).ok().filter(|_| mapped).map(|view| bytemuck::cast_slice(&view).to_vec());
        self.0.destroy();
        // A device that fails says so later than what it fails at.
        words.ok_or_else(|| GpuError::Lost { adapter: gpu.name(), reason: "a buffer could not be read".to_owned() })
    }
}
