//! Prompts as step plans, run one after the other on an executor: what the scheduler does, without its policy.

use tilewright_plan::{
    BlockId, Chunk, ChunkOutput, Executor, ExecutorError, OpenSequence, SamplingParams, SequenceId, StepId, StepOutput,
    StepPlan, TokenId, TokenSource,
};

/// Issues steps and waits for each.
pub struct Driver {
    executor: Box<dyn Executor>,
    next_step: u64,
}

/// A sequence with blocks of its own.
#[derive(Clone)]
pub struct Sequence {
    id: SequenceId,
    blocks: Vec<BlockId>,
    computed: u32,
    opened: bool,
    sampling: SamplingParams,
}

impl Driver {
    /// On an executor.
    pub fn new(executor: Box<dyn Executor>) -> Self {
        Self { executor, next_step: 0 }
    }

    /// A sequence of up to `tokens` tokens in blocks from `first_block` on, in falling order: a table's order is its own.
    pub fn sequence(&self, id: u64, first_block: u32, tokens: u32, sampling: SamplingParams) -> Sequence {
        let count = tokens.div_ceil(self.executor.capacity().block_size);
        let blocks = (first_block..first_block + count).rev().map(BlockId).collect();
        Sequence { id: SequenceId(id), blocks, computed: 0, opened: false, sampling }
    }

    /// One step with the next tokens of several sequences.
    pub fn step(&mut self, parts: &mut [(&mut Sequence, &[u32], ChunkOutput)]) -> Result<StepOutput, ExecutorError> {
        let mut plan = StepPlan::default();
        for (sequence, tokens, output) in parts {
            if !sequence.opened {
                plan.open.push(OpenSequence {
                    sequence: sequence.id,
                    tokens: tokens.iter().map(|&token| TokenId(token)).collect(),
                    prompt_len: tokens.len() as u32,
                    sampling: sequence.sampling.clone(),
                });
                sequence.opened = true;
            }
            plan.chunks.push(Chunk {
                sequence: sequence.id,
                start: sequence.computed,
                tokens: tokens.iter().map(|&token| TokenSource::Id(TokenId(token))).collect(),
                block_table: sequence.blocks.clone(),
                output: *output,
            });
            sequence.computed += tokens.len() as u32;
        }
        self.issue(plan)
    }

    /// A plan as it is.
    pub fn issue(&mut self, plan: StepPlan) -> Result<StepOutput, ExecutorError> {
        let step = StepId(self.next_step);
        self.next_step += 1;
        pollster::block_on(self.executor.issue(step, plan))
    }

    /// Logits f32 `[tokens, vocabulary]` of a prompt that is computed in chunks of `chunk` rows.
    pub fn logits(&mut self, tokens: &[u32], chunk: usize) -> Vec<f32> {
        let mut sequence = self.sequence(0, 0, tokens.len() as u32, SamplingParams::default());
        let mut logits = Vec::new();
        for chunk in tokens.chunks(chunk) {
            let output = self.step(&mut [(&mut sequence, chunk, ChunkOutput::AllLogits)]).unwrap();
            logits.extend(output.logits);
        }
        self.issue(StepPlan { close: vec![sequence.id], ..StepPlan::default() }).unwrap();
        logits
    }

    /// `count` tokens sampled after a prompt.
    pub fn generate(&mut self, prompt: &[u32], count: usize, sampling: SamplingParams) -> Vec<u32> {
        let mut sequence = self.sequence(0, 0, (prompt.len() + count) as u32, sampling);
        let mut tokens = Vec::new();
        let mut next = prompt.to_vec();
        while tokens.len() < count {
            let output = self.step(&mut [(&mut sequence, &next, ChunkOutput::Sample)]).unwrap();
            next = vec![output.sampled[0].token.0];
            tokens.extend(&next);
        }
        self.issue(StepPlan { close: vec![sequence.id], ..StepPlan::default() }).unwrap();
        tokens
    }
}
