//! Logits as they leave the model, without scheduler and sampler: for comparing what a device computes with a reference.

use tilewright_plan::{
    BlockId, Capacity, Chunk, ChunkOutput, Executor, ExecutorError, OpenSequence, SamplingParams, SequenceId, StepId,
    StepPlan, TokenId, TokenSource,
};

/// An executor of which only logits are wanted.
pub struct Logits {
    executor: Box<dyn Executor>,
    steps: u64,
}

impl Logits {
    /// Over a loaded model's executor.
    pub fn new(executor: Box<dyn Executor>) -> Self {
        Self { executor, steps: 0 }
    }

    /// What the executor can hold.
    pub fn capacity(&self) -> Capacity {
        self.executor.capacity()
    }

    /// What computes, for a person to read.
    pub fn device(&self) -> String {
        self.executor.device()
    }

    /// f32 `[tokens of all prompts, vocabulary]`, one prompt after the other. The prompts share each step, `rows` of every
    /// prompt at a time.
    ///
    /// # Errors
    /// The executor's: ids that the vocabulary lacks, more rows or tokens than it holds.
    pub async fn run(&mut self, prompts: &[Vec<TokenId>], rows: u32) -> Result<Vec<f32>, ExecutorError> {
        let capacity = self.capacity();
        let tables = block_tables(prompts, capacity.block_size);
        let mut logits: Vec<Vec<f32>> = vec![Vec::new(); prompts.len()];
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0) as u32;
        for start in (0..longest).step_by(rows.max(1) as usize) {
            let plan = step(prompts, &tables, start, rows.max(1));
            let sizes: Vec<_> = plan
                .chunks
                .iter()
                .map(|chunk| (chunk.sequence.0 as usize, chunk.tokens.len() * capacity.vocabulary as usize))
                .collect();
            let mut computed = self.issue(plan).await?.into_iter();
            for (prompt, size) in sizes {
                logits[prompt].extend(computed.by_ref().take(size));
            }
        }
        let close = (0..prompts.len() as u64).map(SequenceId).collect();
        self.issue(StepPlan { close, ..StepPlan::default() }).await?;
        Ok(logits.concat())
    }

    async fn issue(&mut self, plan: StepPlan) -> Result<Vec<f32>, ExecutorError> {
        self.steps += 1;
        Ok(self.executor.issue(StepId(self.steps), plan).await?.logits)
    }
}

/// Blocks of their own for each prompt.
fn block_tables(prompts: &[Vec<TokenId>], block_size: u32) -> Vec<Vec<BlockId>> {
    let mut next = 0;
    let table = |prompt: &Vec<TokenId>| {
        let first = next;
        next += (prompt.len() as u32).div_ceil(block_size);
        (first..next).map(BlockId).collect()
    };
    prompts.iter().map(table).collect()
}

/// The next `rows` rows of every prompt that has any at `start`. A prompt's place in the list is its sequence.
fn step(prompts: &[Vec<TokenId>], tables: &[Vec<BlockId>], start: u32, rows: u32) -> StepPlan {
    let mut plan = StepPlan::default();
    for (index, (prompt, table)) in prompts.iter().zip(tables).enumerate() {
        let sequence = SequenceId(index as u64);
        if start == 0 {
            plan.open.push(OpenSequence {
                sequence,
                tokens: prompt.clone(),
                prompt_len: prompt.len() as u32,
                sampling: SamplingParams::default(),
            });
        }
        let tokens: Vec<TokenSource> =
            prompt.iter().skip(start as usize).take(rows as usize).copied().map(TokenSource::Id).collect();
        if !tokens.is_empty() {
            let block_table = table.clone();
            plan.chunks.push(Chunk { sequence, start, tokens, block_table, output: ChunkOutput::AllLogits });
        }
    }
    plan
}
