//! How fast an executor is: prompts read and tokens decoded by a number of sequences at once, with nothing around it.
//!
//! What is timed is the executor alone: no tokenizer, no scheduler, no text. Steps are issued as far ahead as
//! [`Capacity::depth`] allows, each taking its tokens from the step before by [`TokenSource::SampledBy`], as the scheduler
//! does. The clock is the caller's, so that a browser and a terminal share this file; so are the weights, which
//! may be those of a file or made up for a [`Shape`](crate::model::shapes::Shape). A [`Suite`] is several runs of one model, and
//! its [`Report`] the same JSON everywhere.

mod report;

pub use report::{KernelReport, Report, RunReport, Sample, Suite, SuiteError};

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tilewright_plan::{
    BlockId, Capacity, Chunk, ChunkOutput, Executor, ExecutorError, OpenSequence, SamplingParams, SequenceId,
    StepFuture, StepId, StepPlan, TokenId, TokenSource,
};

/// What to time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BenchOptions {
    /// Tokens of each prompt.
    pub prompt: u32,
    /// Tokens that each sequence decodes.
    pub generate: u32,
    /// Sequences at once.
    pub concurrency: u32,
    /// How tokens are drawn.
    pub sampling: Sampling,
}

/// How a benchmark draws tokens: by default the most likely.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// 0: the most likely token.
    pub temperature: f32,
    /// Only so many of the most likely tokens; 0: all.
    pub top_k: u32,
    /// Only the most likely tokens with so much probability.
    pub top_p: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0 }
    }
}

impl Sampling {
    /// Of the sequence of this number.
    fn params(&self, seed: u64) -> SamplingParams {
        let Self { temperature, top_k, top_p } = *self;
        SamplingParams { temperature, top_k, top_p, seed, ..SamplingParams::default() }
    }
}

/// What was timed.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchRun {
    /// As asked for.
    pub options: BenchOptions,
    /// Tokens of all prompts over the time until the last of them was read.
    pub prefill_tokens_per_s: f64,
    /// Tokens of all sequences over the time after that.
    pub decode_tokens_per_s: f64,
    /// Mean time from one decoded step to the next.
    pub decode_step_ms: f64,
    /// The last ids of the first sequence: runs that should agree can be compared.
    pub last_ids: Vec<u32>,
}

/// Times one run. `clock_ms` tells the time in milliseconds. Run it twice: kernels are compiled when they are first used.
///
/// # Errors
/// When a step fails, or the executor has no room for so many tokens.
pub async fn run(
    executor: &mut dyn Executor,
    first_step: u64,
    options: BenchOptions,
    clock_ms: &dyn Fn() -> f64,
) -> Result<(BenchRun, u64), ExecutorError> {
    let capacity = executor.capacity();
    let mut bench = Bench { executor, capacity, options, next_step: first_step, in_flight: VecDeque::new() };
    bench.check()?;
    let started = clock_ms();
    let sampled_by = bench.prefill().await?;
    let prefilled = clock_ms();
    let last_ids = bench.decode(sampled_by).await?;
    let decoded = clock_ms();
    let close = (0..options.concurrency).map(sequence).collect();
    bench.issue(StepPlan { close, ..StepPlan::default() });
    bench.drain(0).await?;
    let (prefill_s, decode_s) = ((prefilled - started) / 1e3, (decoded - prefilled) / 1e3);
    let steps = f64::from(options.generate - 1);
    let run = BenchRun {
        options,
        prefill_tokens_per_s: f64::from(options.prompt) * f64::from(options.concurrency) / prefill_s,
        decode_tokens_per_s: steps * f64::from(options.concurrency) / decode_s,
        decode_step_ms: decode_s * 1e3 / steps,
        last_ids,
    };
    Ok((run, bench.next_step))
}

fn sequence(index: u32) -> SequenceId {
    SequenceId(index.into())
}

struct Bench<'a> {
    executor: &'a mut dyn Executor,
    capacity: Capacity,
    options: BenchOptions,
    next_step: u64,
    /// Steps that were not read back, oldest first.
    in_flight: VecDeque<StepFuture>,
}

impl Bench<'_> {
    fn blocks_per_sequence(&self) -> u32 {
        self.options.prompt.saturating_add(self.options.generate).div_ceil(self.capacity.block_size)
    }

    fn check(&self) -> Result<(), ExecutorError> {
        let BenchOptions { prompt, generate, concurrency, .. } = self.options;
        // The first token comes with the prompt, so that one alone has no time.
        if prompt == 0 || generate < 2 || concurrency == 0 || concurrency > self.capacity.max_chunks {
            return Err(ExecutorError::InvalidPlan(format!(
                "a benchmark needs a prompt, 2 tokens to decode or more, and 1 to {} sequences at once",
                self.capacity.max_chunks
            )));
        }
        let (needed, length) =
            (u64::from(self.blocks_per_sequence()) * u64::from(concurrency), prompt.saturating_add(generate));
        if needed > self.capacity.blocks.into() || length > self.capacity.max_context {
            return Err(ExecutorError::InvalidPlan(format!(
                "{concurrency} sequences of {length} tokens need {needed} KV blocks and a context of {length}; there are {} \
                 and {}: allow more memory for keys and values",
                self.capacity.blocks, self.capacity.max_context
            )));
        }
        Ok(())
    }

    fn issue(&mut self, plan: StepPlan) -> StepId {
        let step = StepId(self.next_step);
        self.next_step += 1;
        let future = self.executor.issue(step, plan);
        self.in_flight.push_back(future);
        step
    }

    /// Reads steps back until at most `left` are in flight; returns what the first sequence sampled meanwhile.
    async fn drain(&mut self, left: usize) -> Result<Vec<u32>, ExecutorError> {
        let mut ids = Vec::new();
        while self.in_flight.len() > left {
            let Some(future) = self.in_flight.pop_front() else { break };
            let output = future.await?;
            ids.extend(output.sampled.iter().filter(|s| s.sequence == sequence(0)).map(|s| s.token.0));
        }
        Ok(ids)
    }

    fn block_table(&self, index: u32) -> Vec<BlockId> {
        let count = self.blocks_per_sequence();
        (index * count..(index + 1) * count).map(BlockId).collect()
    }

    /// Reads all prompts, as many rows a step as it takes; returns the step that sampled each sequence's first token.
    async fn prefill(&mut self) -> Result<Vec<StepId>, ExecutorError> {
        let BenchOptions { prompt, concurrency, sampling, .. } = self.options;
        // Any ids will do; each sequence has its own.
        let token = |index: u32, i: u32| {
            TokenId((index.wrapping_mul(7919).wrapping_add(i.wrapping_mul(104_729)) + 11) % self.capacity.vocabulary)
        };
        let prompts: Vec<Vec<TokenId>> =
            (0..concurrency).map(|index| (0..prompt).map(|i| token(index, i)).collect()).collect();
        let mut sampled_by = vec![StepId(0); concurrency as usize];
        let (mut index, mut start) = (0, 0);
        while index < concurrency {
            let mut plan = StepPlan::default();
            let mut room = self.capacity.max_rows;
            let mut ended = Vec::new();
            while index < concurrency && room > 0 {
                let tokens = &prompts[index as usize];
                if start == 0 {
                    plan.open.push(OpenSequence {
                        sequence: sequence(index),
                        tokens: tokens.clone(),
                        prompt_len: prompt,
                        sampling: sampling.params(index.into()),
                    });
                }
                let end = prompt.min(start + room);
                plan.chunks.push(Chunk {
                    sequence: sequence(index),
                    start,
                    tokens: tokens[start as usize..end as usize].iter().map(|&id| TokenSource::Id(id)).collect(),
                    block_table: self.block_table(index),
                    output: if end == prompt { ChunkOutput::Sample } else { ChunkOutput::None },
                });
                room -= end - start;
                start = end;
                if end == prompt {
                    ended.push(index);
                    (index, start) = (index + 1, 0);
                }
            }
            let step = self.issue(plan);
            for index in ended {
                sampled_by[index as usize] = step;
            }
            self.drain(self.capacity.depth as usize - 1).await?;
        }
        self.drain(0).await?;
        Ok(sampled_by)
    }

    async fn decode(&mut self, mut sampled_by: Vec<StepId>) -> Result<Vec<u32>, ExecutorError> {
        let mut ids = Vec::new();
        for position in self.options.prompt..self.options.prompt + self.options.generate - 1 {
            let chunk = |index: u32| Chunk {
                sequence: sequence(index),
                start: position,
                tokens: vec![TokenSource::SampledBy(sampled_by[index as usize])],
                block_table: self.block_table(index),
                output: ChunkOutput::Sample,
            };
            let chunks = (0..self.options.concurrency).map(chunk).collect();
            let step = self.issue(StepPlan { chunks, ..StepPlan::default() });
            sampled_by.fill(step);
            ids.extend(self.drain(self.capacity.depth as usize - 1).await?);
        }
        ids.extend(self.drain(0).await?);
        Ok(ids.split_off(ids.len().saturating_sub(8)))
    }
}
