//! A step on the GPU.
//!
//! Buffers, bind groups and pipelines outlive the step: issuing one writes the step's data, encodes one compute pass and submits it.
//! Tokens are sampled where the next step reads them; only they come back, and late. Logits come back of rows of which they, or
//! log-probabilities, are asked for.

use super::binder::Binder;
use super::dispatch::{Counts, Dispatch, Kernel};
use super::flight::{Asked, Flight, InFlight, Read, StepResult, output, wanted_rows};
use super::memory::{FEW_ROWS, INTEGER_ROWS, StepMemory, WORDS_AT};
use super::pipelines::Pipelines;
use super::readback::StagingPool;
use super::rung::{Form, Products, Rung};
use super::sampler::Sampler;
use super::sampler_memory::RING;
use super::{Gpu, GpuError, GpuWeights};
use crate::graph::{Activation, KeySplit, Program, StepData};
use crate::kernels::KernelVariant;
use crate::kernels::sample::SampleRecords;
use crate::model::ModelConfig;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::{Rc, Weak};
use tilewright_plan::{Capacity, Chunk, ChunkOutput, Executor, ExecutorError, StepFuture, StepId, StepPlan};

/// Carries out the step program on a GPU.
pub struct GpuExecutor {
    pub(super) gpu: Gpu,
    pub(super) capacity: Capacity,
    pub(super) config: ModelConfig,
    pub(super) frequencies: Vec<f64>,
    memory: StepMemory,
    pub(super) pipelines: Pipelines,
    /// By [`Form`].
    pub(super) bodies: [Vec<Dispatch>; 3],
    pub(super) heads: [Vec<Dispatch>; 3],
    pub(super) sampler: Sampler,
    /// Steps with chunks so far.
    pub(super) issued: u64,
    /// The words of a step, used again and again.
    words: Vec<u32>,
    token_staging: StagingPool,
    logits_staging: StagingPool,
    /// Shared with the futures of steps.
    pub(super) flight: Rc<RefCell<Flight>>,
    /// Steps that served nobody.
    pub(super) rehearsed: Vec<InFlight>,
    /// Kept for the buffers.
    weights: GpuWeights,
}

impl GpuExecutor {
    /// Over loaded weights, whose matrices are joined, and memory that has keys and values.
    pub(crate) async fn new(
        config: &ModelConfig,
        mut weights: GpuWeights,
        capacity: Capacity,
        memory: StepMemory,
    ) -> Result<Self, GpuError> {
        let mut gpu = weights.gpu().clone();
        let fused = Program::new(config).fused();
        let mut rung = Rung::new(&gpu, config);
        let mut pipelines = Pipelines::default();
        let (mut bodies, mut heads, mut sampler);
        loop {
            let mut binder = Binder {
                gpu: &gpu,
                config,
                capacity: &capacity,
                weights: &mut weights,
                memory: &memory,
                pipelines: &mut pipelines,
                form: Form::Few,
                rung: &rung,
                split: rung.split(&gpu, config),
                gate_is_joined: false,
            };
            [bodies, heads] = [&fused.body, &fused.head].map(|ops| {
                [Form::Few, Form::Integers, Form::Many].map(|form| {
                    binder.form = form;
                    ops.iter().flat_map(|op| binder.bind(op)).collect::<Vec<_>>()
                })
            });
            sampler = Sampler::new(&mut binder, capacity.max_chunks);
            // Decoding one sequence or several and reading a long prompt should not wait for a compiler, and what it refuses should be
            // known before anybody waits for a token. Other numbers of rows are compiled when they come; these stand in until then.
            let forms = [
                (Form::Few, 1, 1),
                (Form::Integers, FEW_ROWS, FEW_ROWS),
                (Form::Many, capacity.max_rows, memory.max_outputs),
            ];
            let of = |(form, rows, outputs): (Form, u32, u32)| {
                let bodies = bodies[form as usize].iter().map(move |dispatch| (dispatch, rows));
                bodies.chain(heads[form as usize].iter().map(move |dispatch| (dispatch, outputs)))
            };
            let all = forms.into_iter().flat_map(of).chain(sampler.all().map(|dispatch| (&*dispatch, 1)));
            let ahead =
                pipelines.compile_ahead(&gpu, all.map(|(dispatch, rows)| dispatch.wanted(&gpu, &pipelines, rows)));
            // Kept until all are made.
            let _ahead = match ahead {
                Some(compiling) => Some(compiling.await),
                None => None,
            };
            for (form, rows, outputs) in forms {
                for (dispatches, rows) in [(&mut bodies, rows), (&mut heads, outputs)] {
                    for dispatch in &mut dispatches[form as usize] {
                        dispatch.prepare(&gpu, &mut pipelines, rows);
                    }
                }
            }
            sampler.prepare(&gpu, &mut pipelines);
            let Some((kernel, reason)) = pipelines.refusal().await else { break };
            let Some(next) = rung.next(kernel) else {
                return Err(GpuError::Refused { adapter: gpu.name(), kernel, reason });
            };
            tracing::warn!("{} refused to compile {kernel}, so it goes on with {next}: {reason}", gpu.name());
            if next.products != Products::Units {
                gpu = gpu.with_matrix_unit(None);
            }
            (rung, pipelines) = (next, Pipelines::default());
        }
        let logits_stride = Activation::Logits.stride(config) as usize;
        let logits_bytes = u64::from(memory.max_outputs) * logits_stride as u64 * 4;
        weights.flush().await?;
        Ok(Self {
            token_staging: StagingPool::new(&gpu, u64::from(capacity.max_chunks) * 8),
            logits_staging: StagingPool::new(&gpu, logits_bytes),
            flight: Rc::new(RefCell::new(Flight::new(gpu.clone(), config.vocabulary as usize, logits_stride))),
            gpu,
            capacity,
            config: config.clone(),
            frequencies: config.rope.frequencies(),
            memory,
            pipelines,
            bodies,
            heads,
            sampler,
            issued: 0,
            words: Vec::new(),
            rehearsed: Vec::new(),
            weights,
        })
    }

    /// Bytes of buffers that are neither weights nor KV cache.
    pub fn scratch_bytes(&self) -> u64 {
        self.memory.scratch_bytes + self.weights.copied_bytes()
    }

    /// Dispatches of a step that decodes one token.
    pub fn decode_dispatches(&self) -> u32 {
        (self.bodies[0].len() + self.heads[0].len()) as u32 + Sampler::DISPATCHES
    }

    /// Begins a step; it is in flight afterwards.
    fn start(&mut self, step: StepId, plan: &StepPlan, result: Weak<StepResult>) -> Result<(), ExecutorError> {
        self.gpu.check().map_err(|error| ExecutorError::Lost { reason: error.to_string() })?;
        self.make_room()?;
        let tokens = self.flight.borrow_mut().begin(plan, &self.capacity)?;
        if tokens.is_empty() {
            let closed = InFlight { step, submission: None, reads: Vec::new(), asked: Vec::new(), result };
            self.flight.borrow_mut().push(closed);
            return Ok(());
        }
        let first_place = self.sampler.first_place(self.issued);
        self.issued += 1;
        let data = StepData::new(&plan.chunks, &tokens, self.capacity.block_size, &self.frequencies);
        let (asked, records) = {
            let flight = self.flight.borrow();
            let rows = flight.sampled_rows(plan, first_place);
            (flight.asked(&plan.chunks, first_place), SampleRecords::new(&rows, self.config.vocabulary))
        };
        let in_flight = self.submit(step, &data, &plan.chunks, asked, &records, first_place, result);
        self.flight.borrow_mut().push(in_flight);
        Ok(())
    }

    /// The ring of places holds only so many steps; a place is used again when its step was read back.
    fn make_room(&self) -> Result<(), ExecutorError> {
        self.gpu.poll();
        let mut flight = self.flight.borrow_mut();
        flight.progress();
        while flight.len() >= RING as usize {
            if cfg!(target_arch = "wasm32") {
                return Err(ExecutorError::InvalidPlan(format!(
                    "{RING} steps are in flight; read some back before the next is issued"
                )));
            }
            flight.wait_for_oldest();
            flight.progress();
        }
        Ok(())
    }

    /// How the attention of so many rows, in the variant chosen, wants keys split, and how many queries it takes at a time.
    fn attention_tiles(&self, form: Form, rows: u32) -> (KeySplit, u32) {
        let of = |dispatch: &Dispatch| matches!(dispatch.kernel, Kernel::Split(_) | Kernel::Tile(_));
        let dispatch = self.bodies[form as usize].iter().find(|dispatch| of(dispatch));
        match dispatch.map(|dispatch| dispatch.variant(&self.gpu, &self.pipelines, rows)) {
            Some(split @ (KernelVariant::AttentionSplit { .. } | KernelVariant::AttentionSerial { .. })) => {
                (split.key_split(self.memory.split.most_parts), u32::MAX)
            }
            Some(KernelVariant::AttentionTile { queries, .. }) => (self.memory.split, queries),
            _ => (self.memory.split, u32::MAX),
        }
    }

    /// Encodes and submits, the outputs in segments of as many rows as the logits buffer has.
    #[expect(clippy::too_many_arguments, reason = "a step's parts, each made by another")]
    pub(super) fn submit(
        &mut self,
        step: StepId,
        data: &StepData,
        chunks: &[Chunk],
        asked: Vec<Asked>,
        records: &SampleRecords,
        first_place: u32,
        result: Weak<StepResult>,
    ) -> InFlight {
        let rows = data.rows.len() as u32;
        let form = form_of(rows);
        let (split, queries) = self.attention_tiles(form, rows);
        let tiles = data.tiles(queries);
        let room = (WORDS_AT / 4) as usize;
        let mut header = data.pack(&tiles, &records.words, split, room, &mut self.words);
        self.sampler.write(&self.gpu, &mut self.pipelines, &mut self.memory, records);
        let outputs = header.outputs;
        let wanted = wanted_rows(&asked);
        let sampled = chunks.iter().filter(|chunk| chunk.output == ChunkOutput::Sample).count() as u64;
        let mut reads = Vec::new();
        let mut counts = Counts { rows: header.rows, tiles: tiles.len() as u32, splits: header.splits, outputs: 0 };
        loop {
            counts.outputs = (outputs - header.output_base).min(self.memory.max_outputs);
            header.outputs = counts.outputs;
            let first = header.output_base == 0;
            if first {
                self.memory.write(&self.gpu, &header, bytemuck::cast_slice_mut(&mut self.words));
            } else {
                self.memory.write_header(&self.gpu, &header);
            }
            let last = header.output_base + counts.outputs >= outputs;
            let (encoder, logits) =
                self.encode(form, first, &counts, &within(&wanted, header.output_base, counts.outputs), records);
            let mut encoder = encoder;
            let staging = last.then(|| {
                let staging = self.token_staging.take();
                let bytes = sampled.max(1) * 8;
                encoder.copy_buffer_to_buffer(
                    &self.memory.sampler.sampled,
                    u64::from(first_place) * 8,
                    &staging,
                    0,
                    bytes,
                );
                (staging, bytes)
            });
            let submission = self.gpu.queue.submit([encoder.finish()]);
            if let Some(profiler) = &self.gpu.profiler {
                profiler.collect(&self.gpu);
            }
            let wakers = &self.flight.borrow().wakers;
            let read = |pool: &StagingPool, staging, bytes| {
                let wakers = wakers.clone();
                Read::Pending(pool.read(staging, bytes, move || wakers.wake()))
            };
            reads.extend(logits.map(|(staging, bytes)| read(&self.logits_staging, staging, bytes)));
            if let Some((staging, bytes)) = staging {
                // Tokens are the first of the reads.
                reads.insert(0, read(&self.token_staging, staging, bytes));
                return InFlight { step, submission: Some(submission), reads, asked, result };
            }
            header.output_base += counts.outputs;
        }
    }

    /// One segment: the body if it is the first, the head, and the sampler. Also returns where the logits of `wanted` are copied to.
    fn encode(
        &mut self,
        form: Form,
        first: bool,
        counts: &Counts,
        wanted: &[Range<u32>],
        records: &SampleRecords,
    ) -> (wgpu::CommandEncoder, Option<(wgpu::Buffer, u64)>) {
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let body = if first { self.bodies[form as usize].as_mut_slice() } else { &mut [] };
        let head_form = form_of(counts.outputs);
        let head = if counts.outputs > 0 { self.heads[head_form as usize].as_mut_slice() } else { &mut [] };
        let mut pass = Pass { gpu: &self.gpu, pipelines: &mut self.pipelines, open: None };
        for dispatch in body.iter_mut().chain(head) {
            pass.run(&mut encoder, dispatch, counts);
        }
        let mut logits = None;
        if !wanted.is_empty() {
            // Before biases and penalties change them.
            pass.open = None;
            let row_bytes = u64::from(Activation::Logits.stride(&self.config)) * 4;
            let staging = self.logits_staging.take();
            let mut at = 0;
            for rows in wanted {
                let (from, bytes) = (u64::from(rows.start) * row_bytes, rows.len() as u64 * row_bytes);
                encoder.copy_buffer_to_buffer(self.memory.activation(Activation::Logits), from, &staging, at, bytes);
                at += bytes;
            }
            logits = Some((staging, at));
        }
        if counts.outputs > 0 {
            for dispatch in self.sampler.dispatches(records) {
                pass.run(&mut encoder, dispatch, counts);
            }
        }
        drop(pass);
        if let Some(profiler) = &self.gpu.profiler {
            profiler.resolve(&self.gpu, &mut encoder);
        }
        (encoder, logits)
    }
}

/// What of rows is among the `count` from `base` on, counted from there.
fn within(rows: &[Range<u32>], base: u32, count: u32) -> Vec<Range<u32>> {
    let own = |rows: &Range<u32>| rows.start.max(base) - base..rows.end.min(base + count).max(base) - base;
    rows.iter().map(own).filter(|rows| !rows.is_empty()).collect()
}

/// Which form so many rows take.
pub(super) fn form_of(rows: u32) -> Form {
    match rows {
        0..INTEGER_ROWS => Form::Few,
        INTEGER_ROWS..=FEW_ROWS => Form::Integers,
        _ => Form::Many,
    }
}

/// The compute pass that dispatches go to; when kernels are timed, one for each.
struct Pass<'a> {
    gpu: &'a Gpu,
    pipelines: &'a mut Pipelines,
    open: Option<wgpu::ComputePass<'static>>,
}

impl Pass<'_> {
    fn run(&mut self, encoder: &mut wgpu::CommandEncoder, dispatch: &mut Dispatch, counts: &Counts) {
        if let Some(profiler) = &self.gpu.profiler {
            self.open = None;
            self.open = Some(profiler.pass(encoder, dispatch.label(counts)).forget_lifetime());
        }
        let begin = || encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime();
        let pass = self.open.get_or_insert_with(begin);
        dispatch.encode(self.gpu, self.pipelines, pass, counts);
    }
}

impl Executor for GpuExecutor {
    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn issue(&mut self, step: StepId, plan: StepPlan) -> StepFuture {
        let result: Rc<StepResult> = Rc::default();
        match self.start(step, &plan, Rc::downgrade(&result)) {
            Ok(()) => Box::pin(output(self.flight.clone(), result)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn device(&self) -> String {
        self.gpu.name()
    }
}
