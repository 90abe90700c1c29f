//! A step on the GPU.
//!
//! Buffers, bind groups and pipelines outlive the step: issuing one writes the step's data, encodes one compute pass and
//! submits. Logits come back as a whole and the CPU samples; one step is in flight at a time.

use super::dispatch::{Binder, Dispatch};
use super::memory::StepMemory;
use super::pipelines::Pipelines;
use super::readback::{PendingRead, StagingPool};
use super::{Gpu, GpuError, GpuWeights};
use crate::executor::Sequences;
use crate::graph::{Activation, Program, RowSet, StepData};
use crate::model::ModelConfig;
use std::cell::RefCell;
use std::rc::Rc;
use tilewright_plan::{Capacity, Executor, ExecutorError, StepFuture, StepId, StepPlan};

/// Carries out the step program on a GPU.
pub struct GpuExecutor {
    gpu: Gpu,
    capacity: Capacity,
    vocabulary: usize,
    logits_stride: usize,
    frequencies: Vec<f64>,
    memory: StepMemory,
    pipelines: Pipelines,
    body: Vec<Dispatch>,
    head: Vec<Dispatch>,
    staging: StagingPool,
    /// Shared with the futures of steps, which sample.
    sequences: Rc<RefCell<Sequences>>,
    /// Kept for the buffers.
    _weights: GpuWeights,
}

impl GpuExecutor {
    /// Over loaded weights.
    pub async fn new(config: &ModelConfig, weights: GpuWeights, capacity: Capacity) -> Result<Self, GpuError> {
        let gpu = weights.gpu().clone();
        let program = Program::new(config);
        let memory = StepMemory::new(&gpu, config, &capacity);
        let mut pipelines = Pipelines::default();
        let mut binder = Binder {
            gpu: &gpu,
            config,
            capacity: &capacity,
            weights: &weights,
            memory: &memory,
            pipelines: &mut pipelines,
        };
        let mut body: Vec<Dispatch> = program.body.iter().flat_map(|op| binder.bind(op)).collect();
        let mut head: Vec<Dispatch> = program.head.iter().flat_map(|op| binder.bind(op)).collect();
        // Decoding one sequence and reading a long prompt should not wait for a compiler.
        for dispatch in &mut body {
            dispatch.prepare(&gpu, &mut pipelines, 1);
            dispatch.prepare(&gpu, &mut pipelines, capacity.max_rows);
        }
        for dispatch in &mut head {
            dispatch.prepare(&gpu, &mut pipelines, 1);
        }
        let logits_stride = Activation::Logits.stride(config) as usize;
        let staging_bytes = u64::from(memory.max_outputs) * logits_stride as u64 * 4;
        weights.flush().await?;
        Ok(Self {
            staging: StagingPool::new(&gpu, staging_bytes),
            gpu,
            capacity,
            vocabulary: config.vocabulary as usize,
            logits_stride,
            frequencies: config.rope.frequencies(),
            memory,
            pipelines,
            body,
            head,
            sequences: Rc::default(),
            _weights: weights,
        })
    }

    /// Bytes of buffers that are neither weights nor KV cache.
    pub fn scratch_bytes(&self) -> u64 {
        self.memory.scratch_bytes
    }

    /// Dispatches of a step that decodes one token.
    pub fn decode_dispatches(&self) -> u32 {
        (self.body.len() + self.head.len()) as u32
    }

    /// Encodes and submits; the logits of each segment of output rows are on their way.
    fn submit(&mut self, step: &StepData) -> Result<Vec<PendingRead>, ExecutorError> {
        self.memory.write(&self.gpu, step);
        let outputs = step.output_rows.len() as u32;
        let mut reads = Vec::new();
        let mut base = 0;
        loop {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let segment = self.memory.write_header(&self.gpu, step, base);
            {
                let mut pass = None;
                let body = if base == 0 { self.body.as_mut_slice() } else { &mut [] };
                let head = if segment > 0 { self.head.as_mut_slice() } else { &mut [] };
                for dispatch in body.iter_mut().chain(head) {
                    let rows = match dispatch.rows {
                        RowSet::Step => step.rows.len() as u32,
                        RowSet::Outputs => segment,
                    };
                    if let Some(profiler) = &self.gpu.profiler {
                        drop(pass.take());
                        pass = Some(profiler.pass(&mut encoder, dispatch.label(rows)).forget_lifetime());
                    }
                    let pass = pass.get_or_insert_with(|| {
                        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime()
                    });
                    dispatch.encode(&self.gpu, &mut self.pipelines, pass, rows);
                }
            }
            if let Some(profiler) = &self.gpu.profiler {
                profiler.resolve(&mut encoder);
            }
            let bytes = u64::from(segment) * self.logits_stride as u64 * 4;
            let staging = (segment > 0).then(|| self.staging.take());
            if let Some(staging) = &staging {
                encoder.copy_buffer_to_buffer(self.memory.activation(Activation::Logits), 0, staging, 0, bytes);
            }
            self.gpu.queue.submit([encoder.finish()]);
            if let Some(profiler) = &self.gpu.profiler {
                profiler.collect(&self.gpu);
            }
            reads.extend(staging.map(|staging| self.staging.read(staging, bytes)));
            base += segment;
            if base >= outputs {
                return Ok(reads);
            }
        }
    }

    fn start(&mut self, plan: &StepPlan) -> Result<Vec<PendingRead>, ExecutorError> {
        self.gpu.check().map_err(|error| ExecutorError::Lost { reason: error.to_string() })?;
        let tokens = self.sequences.borrow_mut().begin(plan, &self.capacity)?;
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let step = StepData::new(&plan.chunks, &tokens, self.capacity.block_size, &self.frequencies);
        self.submit(&step)
    }
}

impl Executor for GpuExecutor {
    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn issue(&mut self, step: StepId, plan: StepPlan) -> StepFuture {
        let reads = match self.start(&plan) {
            Ok(reads) => reads,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let (gpu, sequences) = (self.gpu.clone(), self.sequences.clone());
        let (vocabulary, stride) = (self.vocabulary, self.logits_stride);
        Box::pin(async move {
            if reads.is_empty() {
                gpu.idle().await.map_err(|_| gpu.loss())?;
            }
            let mut padded = Vec::new();
            for read in reads {
                read.append_to(&mut padded).await?;
            }
            gpu.check().map_err(|_| gpu.loss())?;
            let mut logits = if stride == vocabulary {
                padded
            } else {
                padded.chunks_exact(stride).flat_map(|row| &row[..vocabulary]).copied().collect()
            };
            sequences.borrow_mut().finish(step, &plan, &mut logits, vocabulary)
        })
    }

    fn device(&self) -> String {
        self.gpu.name()
    }
}
