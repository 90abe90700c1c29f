//! One operation on made-up operands, to try kernel variants on: is the answer right on this device, and how long does it take.
//!
//! A tuner asks both of every candidate, in this order. The operands are as large as the model's, since a kernel's speed depends on
//! its shapes, and there are several copies of what is large, read in turn: in a model each layer has its own, and a copy that
//! stays in the cache would make every variant look fast. Memory for them comes back when the trial ends, and a device that has
//! none refuses the trial, not the model.

mod heads;
mod product_case;
mod products;
mod rows;

use super::check::rig::Random;
use super::dispatch::{Counts, workgroups};
use super::memory::step_buffer;
use super::pipelines::{BindingKinds, Pipelines};
use super::readback::ReadOnce;
use super::stopwatch::Stopwatch;
use super::tuned_op::TunedOp;
use super::weights::storage;
use super::{Gpu, GpuError};
use crate::graph::{RowSet, StepHeader};
use crate::kernels::KernelVariant;
use crate::kernels::source::KernelShape;
use bytemuck::Pod;
use std::any::Any;
use std::collections::HashMap;
use thiserror::Error;

pub use super::tuned_op::{ProductForm, ProductOp};

/// Why a variant was not tried to the end.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TrialError {
    /// The device's compiler refused it.
    #[error("the device refused {variant:?}: {reason}")]
    Refused {
        /// Which.
        variant: KernelVariant,
        /// What the device said.
        reason: String,
    },
    /// The device has no memory left for the operands.
    #[error("the device has no memory for operands to try kernels on")]
    NoMemory,
    /// The device itself failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// Operands of one operation, on a device.
pub struct Trial {
    gpu: Gpu,
    op: TunedOp,
    pipelines: Pipelines,
    /// `None` where a device has no timestamps.
    stopwatch: Option<Stopwatch>,
    /// By what variants differ in that operands depend on; made when first asked for.
    operands: HashMap<u32, Operands>,
    compiled: HashMap<KernelVariant, wgpu::ComputePipeline>,
    /// Keeps what was compiled ahead.
    ahead: Vec<Box<dyn Any>>,
}

/// What one run reads and writes.
struct Operands {
    shape: KernelShape,
    kinds: BindingKinds,
    counts: Counts,
    bind_groups: Vec<wgpu::BindGroup>,
    /// Computes what is compared from what the variant wrote.
    then: Option<Then>,
    written: Vec<Written>,
    /// The largest error of what is compared, one stretch after the other.
    judge: Judge,
    buffers: Vec<wgpu::Buffer>,
}

/// A buffer that is written, and compared.
struct Written {
    buffer: wgpu::Buffer,
    /// What it holds before a check; `None`: zeros.
    before: Option<wgpu::Buffer>,
    /// Stretches that are compared, bytes: begin and length.
    compared: Vec<(u64, u64)>,
}

impl Written {
    fn cleared(buffer: wgpu::Buffer, compared: Vec<(u64, u64)>) -> Self {
        Self { buffer, before: None, compared }
    }
}

type Judge = Box<dyn Fn(&[u32]) -> f32>;

/// A kernel that runs after the one that is tried.
struct Then {
    variant: KernelVariant,
    shape: KernelShape,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
}

impl Drop for Operands {
    fn drop(&mut self) {
        // In a browser memory comes back at once this way, and otherwise when garbage is collected.
        self.buffers.iter().chain(self.written.iter().map(|written| &written.buffer)).for_each(wgpu::Buffer::destroy);
    }
}

impl Trial {
    /// Nothing is made yet.
    pub fn new(gpu: &Gpu, op: impl Into<TunedOp>) -> Self {
        Self {
            gpu: gpu.clone(),
            op: op.into(),
            pipelines: Pipelines::default(),
            stopwatch: Stopwatch::new(&gpu.device, &gpu.queue, MOST_PASSES),
            operands: HashMap::new(),
            compiled: HashMap::new(),
            ahead: Vec::new(),
        }
    }

    /// What is tried.
    pub fn op(&self) -> &TunedOp {
        &self.op
    }

    /// Largest error, relative to one plus the magnitude, that counts as right.
    pub fn tolerance(&self) -> f32 {
        match self.op {
            TunedOp::Product(_) => 2e-3,
            TunedOp::AttentionSplit(_) | TunedOp::AttentionTile(_) | TunedOp::RmsNorm { .. } => 1e-4,
            // A code that lies between two may go either way.
            TunedOp::Quantize(_) => 0.03,
            TunedOp::SampleScan { .. } => 0.0,
        }
    }

    /// Whether the GPU itself can tell the time.
    pub fn has_timestamps(&self) -> bool {
        self.stopwatch.is_some()
    }

    /// Makes the operands that variants need, unless that was done before.
    ///
    /// # Errors
    /// When the device has no memory for them, or fails.
    pub async fn prepare(&mut self, variants: &[KernelVariant]) -> Result<(), TrialError> {
        for variant in variants {
            let key = key(variant);
            if !self.operands.contains_key(&key) {
                let operands = self.make(variant).await?;
                self.operands.insert(key, operands);
            }
        }
        Ok(())
    }

    /// Has variants compiled beside each other, where somebody can; each is still to be asked for, and is then there at once. What
    /// has no operands yet is left out.
    pub async fn compile_ahead(&mut self, variants: &[KernelVariant]) {
        let wanted = variants.iter().filter_map(|variant| {
            let Operands { kinds, shape, .. } = self.operands.get(&key(variant))?;
            Some((kinds, *variant, shape))
        });
        if let Some(compiling) = self.pipelines.compile_ahead(&self.gpu, wanted) {
            self.ahead.push(compiling.await);
        }
    }

    /// The GPU.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Compiles a variant, unless that was done before.
    ///
    /// # Errors
    /// When the device refuses the variant, has no memory for operands, or fails.
    pub async fn compile(&mut self, variant: &KernelVariant) -> Result<(), TrialError> {
        if self.compiled.contains_key(variant) {
            return Ok(());
        }
        self.prepare(&[*variant]).await?;
        let operands = &self.operands[&key(variant)];
        let pipeline = self.pipelines.pipeline(&self.gpu, &operands.kinds, variant, &operands.shape).pipeline;
        if let Some((_, reason)) = self.pipelines.refusal().await {
            return Err(TrialError::Refused { variant: *variant, reason });
        }
        if self.gpu.is_software() {
            self.warm_up(&pipeline, &operands.bind_groups[0]).await?;
        }
        self.compiled.insert(*variant, pipeline);
        Ok(())
    }

    /// Runs no workgroup of a kernel. lavapipe makes machine code when a kernel first runs, for up to some seconds, and who times
    /// that run would take the kernel for one that hangs.
    async fn warm_up(&self, pipeline: &wgpu::ComputePipeline, bind_group: &wgpu::BindGroup) -> Result<(), TrialError> {
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(0, 0, 0);
        }
        self.gpu.queue.submit([encoder.finish()]);
        Ok(self.gpu.idle().await?)
    }

    /// Operands, of which fewer copies are made where memory is short.
    async fn make(&mut self, variant: &KernelVariant) -> Result<Operands, TrialError> {
        for cold_bytes in [COLD_BYTES, 0] {
            let scope = self.gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            let operands = match self.op {
                TunedOp::Product(op) => self.product(&op, variant.is_packed(), cold_bytes),
                TunedOp::AttentionSplit(op) | TunedOp::AttentionTile(op) => self.attention(&op, variant),
                TunedOp::Quantize(op) => self.quantize(&op),
                TunedOp::RmsNorm { width, rows } => self.rms_norm(width, rows),
                TunedOp::SampleScan { vocabulary, rows } => self.scan(vocabulary, rows, variant),
            };
            if scope.pop().await.is_none() {
                return Ok(operands);
            }
        }
        Err(TrialError::NoMemory)
    }

    /// Runs a variant once and compares what it wrote with the twin: the largest error, relative to one plus the magnitude.
    ///
    /// # Errors
    /// When the device refuses the variant, has no memory for operands, or fails.
    pub async fn check(&mut self, variant: &KernelVariant) -> Result<f32, TrialError> {
        self.compile(variant).await?;
        let operands = &self.operands[&key(variant)];
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for Written { buffer, before, .. } in &operands.written {
            match before {
                Some(before) => encoder.copy_buffer_to_buffer(before, 0, buffer, 0, buffer.size()),
                None => encoder.clear_buffer(buffer, 0, None),
            }
        }
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            self.dispatch(&mut pass, variant, 1);
            if let Some(then) = &operands.then {
                let [x, y, z] = workgroups(&then.variant, &then.shape, RowSet::Step, &operands.counts);
                pass.set_pipeline(&then.pipeline);
                pass.set_bind_group(0, &then.bind_group, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
        let compared = operands.written.iter().flat_map(|Written { buffer, compared, .. }| {
            compared.iter().map(move |&(begin, length)| (buffer, begin, length))
        });
        let written = ReadOnce::of(&self.gpu, &mut encoder, compared);
        self.gpu.queue.submit([encoder.finish()]);
        Ok((operands.judge)(&written.words(&self.gpu).await?))
    }

    /// Runs a variant so many times, one after the other in one pass, and waits until that is done.
    ///
    /// # Errors
    /// When the device refuses the variant, has no memory for operands, or fails.
    pub async fn run(&mut self, variant: &KernelVariant, times: u32) -> Result<(), TrialError> {
        self.compile(variant).await?;
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.dispatch(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()), variant, times);
        self.gpu.queue.submit([encoder.finish()]);
        Ok(self.gpu.idle().await?)
    }

    /// Runs variants, each so many times in a pass of its own, by one submission; microseconds of each pass by the GPU's own
    /// clock. Fewer where there are too many, or none where the device has no such clock.
    ///
    /// # Errors
    /// When the device refuses a variant, has no memory for operands, or fails.
    pub async fn time(&mut self, runs: &[(KernelVariant, u32)]) -> Result<Vec<f64>, TrialError> {
        let runs = &runs[..runs.len().min(MOST_PASSES as usize)];
        for (variant, _) in runs {
            self.compile(variant).await?;
        }
        let Some(stopwatch) = &self.stopwatch else { return Ok(Vec::new()) };
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (index, (variant, times)) in (0_u32..).zip(runs) {
            let timestamp_writes = stopwatch.writes(index);
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            self.dispatch(&mut encoder.begin_compute_pass(&descriptor), variant, *times);
        }
        let stamps = stopwatch.resolve(&self.gpu, &mut encoder, runs.len() as u32);
        self.gpu.queue.submit([encoder.finish()]);
        Ok(stopwatch.times_us(&self.gpu, stamps).await?)
    }

    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, variant: &KernelVariant, times: u32) {
        let (Some(operands), Some(pipeline)) = (self.operands.get(&key(variant)), self.compiled.get(variant)) else {
            return;
        };
        let [x, y, z] = workgroups(variant, &operands.shape, RowSet::Step, &operands.counts);
        pass.set_pipeline(pipeline);
        for bind_group in operands.bind_groups.iter().cycle().take(times as usize) {
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
    }

    /// A step's buffer: its header, and all that its words say.
    fn step(&self, header: &StepHeader, words: &mut [u32]) -> wgpu::Buffer {
        words[..size_of::<StepHeader>() / 4].copy_from_slice(bytemuck::cast_slice(bytemuck::bytes_of(header)));
        let step = step_buffer(&self.gpu, "trial", words.len() as u64 * 4);
        self.gpu.queue.write_buffer(&step, 0, bytemuck::cast_slice(words));
        step
    }

    /// A buffer of these elements.
    fn filled<T: Pod>(&self, data: &[T]) -> wgpu::Buffer {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let buffer = storage(&self.gpu, "trial", (bytes.len() as u64).max(16));
        self.gpu.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    /// Compiles what comes after the variant that is tried.
    fn then(
        &mut self,
        variant: KernelVariant,
        shape: KernelShape,
        kinds: &BindingKinds,
        bind_group: wgpu::BindGroup,
    ) -> Then {
        let pipeline = self.pipelines.pipeline(&self.gpu, kinds, &variant, &shape).pipeline;
        Then { variant, shape, pipeline, bind_group }
    }
}

/// Passes that are timed by one submission.
const MOST_PASSES: u32 = 64;

/// Copies are made until they are so large, bytes: more than caches hold.
const COLD_BYTES: u64 = 192 << 20;
const MOST_COPIES: u64 = 16;

/// Added to the mean square of a normalized row.
const EPS: f32 = 1e-5;

/// What of a variant its operands depend on: whether they are integers, how keys are split or queries taken together, or how many
/// parts a row has.
fn key(variant: &KernelVariant) -> u32 {
    match *variant {
        KernelVariant::AttentionSplit { tile, .. } => tile,
        KernelVariant::AttentionTile { queries, .. } => queries,
        KernelVariant::SampleScan { chunks, .. } => chunks,
        _ => variant.is_packed().into(),
    }
}

/// The largest error of floats.
fn close(expected: Vec<f32>) -> Judge {
    Box::new(move |words| {
        let error = |(word, e): (&u32, &f32)| (f32::from_bits(*word) - e).abs() / (1.0 + e.abs());
        // What is not a number is as wrong as can be.
        let worse = |worst: f32, error: f32| if error.is_nan() { f32::INFINITY } else { worst.max(error) };
        match words.get(..expected.len()) {
            Some(words) => words.iter().zip(&expected).map(error).fold(0.0, worse),
            None => f32::INFINITY,
        }
    })
}

/// Rows that are compared: all, or of many some at every place that a tile has.
fn compared_rows(rows: u32) -> Vec<u32> {
    const MOST: u32 = 72;
    if rows <= MOST {
        return (0..rows).collect();
    }
    let mut some: Vec<u32> = (0..MOST - 1).map(|i| (i * rows / MOST).max(i)).chain([rows - 1]).collect();
    some.dedup();
    some
}
