//! Steps that were not read back yet, and the sequences they belong to.
//!
//! A step is issued before the one before it was read back, so the CPU runs behind: of a sequence it knows all tokens but those of
//! steps in flight, whose *places* it knows. Read-backs are taken in the order of the steps, whichever future is polled, and
//! also when a step's future was dropped: what a sequence's next token depends on never depends on who waits.

use super::Gpu;
use super::readback::{PendingRead, ReadState};
use crate::executor::plan_check;
use crate::kernels::sample::{Penalizes, SampledRow};
use crate::sampling::{TokenHistory, log_probabilities};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use tilewright_plan::{
    Capacity, Chunk, ChunkOutput, ExecutorError, Sampled, SamplingParams, SequenceId, StepId, StepOutput, StepPlan,
    TokenId,
};

/// Where a step's future finds its output.
pub(super) type StepResult = RefCell<Option<Result<StepOutput, ExecutorError>>>;

/// Those who wait for a read-back, whichever.
#[derive(Clone, Debug, Default)]
pub(super) struct Wakers(Arc<Mutex<Vec<Waker>>>);

impl Wakers {
    pub(super) fn wake(&self) {
        let wakers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().for_each(Waker::wake);
    }

    fn register(&self, waker: &Waker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
    }
}

/// An open sequence.
struct Sequence {
    /// Tells it from one of the same name that was open before.
    generation: u64,
    sampling: Rc<SamplingParams>,
    /// Tokens that the CPU knows, if penalties need them.
    history: TokenHistory,
    /// The step that sampled last, and what it sampled.
    last: Option<(StepId, LastToken)>,
    /// Places of tokens that were not read back, oldest first.
    pending: Vec<u32>,
}

#[derive(Clone, Copy)]
enum LastToken {
    Known(TokenId),
    At(u32),
}

/// A chunk whose output comes back.
pub(super) struct Asked {
    sequence: SequenceId,
    generation: u64,
    output: ChunkOutput,
    /// Output rows.
    rows: usize,
    /// With [`ChunkOutput::Sample`].
    place: u32,
    top_logprobs: Option<u32>,
}

impl Asked {
    /// Whether its logits come back.
    pub(super) fn wants_logits(&self) -> bool {
        self.output != ChunkOutput::Sample || self.top_logprobs.is_some()
    }
}

/// Of a step's output rows, those whose logits come back.
pub(super) fn wanted_rows(asked: &[Asked]) -> Vec<Range<u32>> {
    let mut wanted: Vec<Range<u32>> = Vec::new();
    let mut end = 0;
    for asked in asked {
        let rows = end..end + asked.rows as u32;
        end = rows.end;
        match wanted.last_mut() {
            _ if !asked.wants_logits() => {}
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => wanted.push(rows),
        }
    }
    wanted
}

/// A step in flight.
pub(super) struct InFlight {
    pub(super) step: StepId,
    /// What it was submitted with last; `None` when it needed no device.
    pub(super) submission: Option<wgpu::SubmissionIndex>,
    /// The tokens, then the logits of each segment.
    pub(super) reads: Vec<Read>,
    pub(super) asked: Vec<Asked>,
    pub(super) result: Weak<StepResult>,
}

pub(super) enum Read {
    Pending(PendingRead),
    Done(Vec<u32>),
}

impl Read {
    /// Whether it has not come back yet.
    pub(super) fn is_waiting(&mut self) -> bool {
        match self {
            Self::Pending(read) => matches!(read.poll(), ReadState::Waiting),
            Self::Done(_) => false,
        }
    }
}

/// Sequences and steps.
pub(super) struct Flight {
    gpu: Gpu,
    vocabulary: usize,
    logits_stride: usize,
    open: BTreeMap<SequenceId, Sequence>,
    generations: u64,
    steps: VecDeque<InFlight>,
    pub(super) wakers: Wakers,
}

impl Flight {
    pub(super) fn new(gpu: Gpu, vocabulary: usize, logits_stride: usize) -> Self {
        Self {
            gpu,
            vocabulary,
            logits_stride,
            open: BTreeMap::new(),
            generations: 0,
            steps: VecDeque::new(),
            wakers: Wakers::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Checks a plan, then closes and opens what it says, and gives each row's token or, with
    /// [`SAMPLED`](crate::graph::SAMPLED), its place. On an error nothing has changed.
    pub(super) fn begin(&mut self, plan: &StepPlan, capacity: &Capacity) -> Result<Vec<u32>, ExecutorError> {
        plan_check::check(plan, capacity)?;
        let tokens = plan_check::tokens(plan, &self.open, |sequence, step| match sequence.last {
            Some((last, LastToken::Known(token))) if last == step => Some(token.0),
            Some((last, LastToken::At(place))) if last == step => Some(place | crate::graph::SAMPLED),
            _ => None,
        })?;
        for sequence in &plan.close {
            self.open.remove(sequence);
        }
        for open in &plan.open {
            self.generations += 1;
            let penalizes = open.sampling.penalizes();
            let tokens = if penalizes { open.tokens.as_slice() } else { &[] };
            let sequence = Sequence {
                generation: self.generations,
                sampling: Rc::new(open.sampling.clone()),
                history: TokenHistory::new(tokens, open.prompt_len as usize),
                last: None,
                pending: Vec::new(),
            };
            self.open.insert(open.sequence, sequence);
        }
        Ok(tokens)
    }

    /// How each output row of a plan that was begun is sampled; its tokens go to places from `first_place` on.
    pub(super) fn sampled_rows<'a>(&'a self, plan: &'a StepPlan, first_place: u32) -> Vec<Option<SampledRow<'a>>> {
        let mut rows = Vec::new();
        let mut place = first_place;
        for chunk in &plan.chunks {
            match (chunk.output, self.open.get(&chunk.sequence)) {
                (ChunkOutput::Sample, Some(sequence)) => {
                    rows.push(Some(SampledRow {
                        params: &sequence.sampling,
                        history: &sequence.history,
                        position: chunk.start + chunk.tokens.len() as u32,
                        place,
                        pending: &sequence.pending,
                        mask: plan.mask(chunk.sequence),
                    }));
                    place += 1;
                }
                _ => rows.resize_with(rows.len() + chunk.outputs(), || None),
            }
        }
        rows
    }

    /// What a plan that was begun asks for, in its order.
    pub(super) fn asked(&self, chunks: &[Chunk], first_place: u32) -> Vec<Asked> {
        let mut place = first_place;
        let asked = |chunk: &Chunk| {
            let sequence = self.open.get(&chunk.sequence)?;
            let asked = Asked {
                sequence: chunk.sequence,
                generation: sequence.generation,
                output: chunk.output,
                rows: chunk.outputs(),
                place,
                top_logprobs: sequence.sampling.top_logprobs,
            };
            place += u32::from(chunk.output == ChunkOutput::Sample);
            Some(asked)
        };
        chunks.iter().filter(|chunk| chunk.output != ChunkOutput::None).filter_map(asked).collect()
    }

    /// A step is on its way: its tokens may be named.
    pub(super) fn push(&mut self, step: InFlight) {
        for asked in step.asked.iter().filter(|asked| asked.output == ChunkOutput::Sample) {
            if let Some(sequence) = self.open.get_mut(&asked.sequence) {
                sequence.last = Some((step.step, LastToken::At(asked.place)));
                sequence.pending.push(asked.place);
            }
        }
        self.steps.push_back(step);
    }

    /// Takes the read-backs that are there, in the order of the steps.
    pub(super) fn progress(&mut self) {
        while let Some(front) = self.steps.front_mut() {
            for read in &mut front.reads {
                if let Read::Pending(pending) = read {
                    match pending.poll() {
                        ReadState::Waiting => return,
                        ReadState::Done(words) => *read = Read::Done(words),
                        ReadState::Failed => {
                            let loss = self.gpu.loss();
                            return self.fail_all(&loss);
                        }
                    }
                }
            }
            let Some(step) = self.steps.pop_front() else { return };
            let output = match self.gpu.check() {
                Ok(()) => self.complete(&step),
                Err(_) => Err(self.gpu.loss()),
            };
            if let Some(result) = step.result.upgrade() {
                *result.borrow_mut() = Some(output);
            }
            self.wakers.wake();
        }
    }

    /// Waits for the oldest step, where that is possible: in a browser it isn't.
    pub(super) fn wait_for_oldest(&self) {
        if let Some(submission) = self.steps.front().and_then(|step| step.submission.clone()) {
            self.gpu.wait_for(submission);
        }
    }

    fn fail_all(&mut self, error: &ExecutorError) {
        for step in self.steps.drain(..) {
            if let Some(result) = step.result.upgrade() {
                *result.borrow_mut() = Some(Err(error.clone()));
            }
        }
        self.wakers.wake();
    }

    /// Hands a step's output out and has its sequences advance; if a sequence's logits are not finite, neither.
    fn complete(&mut self, step: &InFlight) -> Result<StepOutput, ExecutorError> {
        let mut reads = step.reads.iter().filter_map(|read| match read {
            Read::Done(words) => Some(words.as_slice()),
            Read::Pending(_) => None,
        });
        let tokens = reads.next().unwrap_or_default();
        let logits: Vec<f32> = reads.flatten().map(|&bits| f32::from_bits(bits)).collect();
        let mut logits = logits.chunks_exact(self.logits_stride).map(|row| &row[..self.vocabulary]);
        let failed = step
            .asked
            .iter()
            .filter(|asked| asked.output == ChunkOutput::Sample)
            .zip(tokens.chunks_exact(2))
            .find_map(|(asked, token)| (token[1] == 0).then_some(asked.sequence));
        let mut output = StepOutput::default();
        let mut sampled = tokens.chunks_exact(2);
        for asked in &step.asked {
            let rows: Vec<&[f32]> =
                if asked.wants_logits() { logits.by_ref().take(asked.rows).collect() } else { Vec::new() };
            if asked.output != ChunkOutput::Sample {
                output.logits.extend(rows.into_iter().flatten());
                continue;
            }
            let Some(&[token, _]) = sampled.next() else { break };
            let token = TokenId(token);
            if let Some(sequence) = self.open.get_mut(&asked.sequence).filter(|s| s.generation == asked.generation) {
                sequence.pending.retain(|&place| place != asked.place);
                if sequence.last.is_some_and(|(last, _)| last == step.step) {
                    sequence.last = failed.is_none().then_some((step.step, LastToken::Known(token)));
                }
                if failed.is_none() && sequence.sampling.penalizes() {
                    sequence.history.push(token);
                }
            }
            let natural = match (asked.top_logprobs, rows.first()) {
                (Some(count), Some(row)) if failed.is_none() => Some(log_probabilities(row, token, count)),
                _ => None,
            };
            let (logprob, top_logprobs) = natural.map_or((None, Vec::new()), |(own, top)| (Some(own), top));
            output.sampled.push(Sampled { sequence: asked.sequence, token, logprob, top_logprobs });
        }
        failed.map_or(Ok(output), |sequence| Err(ExecutorError::NotFinite(sequence)))
    }
}

/// Resolves when the step was read back.
pub(super) async fn output(flight: Rc<RefCell<Flight>>, result: Rc<StepResult>) -> Result<StepOutput, ExecutorError> {
    std::future::poll_fn(|context| {
        flight.borrow().wakers.register(context.waker());
        loop {
            flight.borrow_mut().progress();
            if let Some(output) = result.borrow_mut().take() {
                return Poll::Ready(output);
            }
            if cfg!(target_arch = "wasm32") {
                return Poll::Pending;
            }
            flight.borrow().wait_for_oldest();
        }
    })
    .await
}
