//! Open sequences: the sampler's state, and the last token each of them sampled.

use super::plan_check;
use crate::sampling::{TokenHistory, sample};
use std::collections::BTreeMap;
use tilewright_plan::{
    Capacity, ChunkOutput, ExecutorError, OpenSequence, Sampled, SamplingParams, SequenceId, StepId, StepOutput,
    StepPlan, TokenId,
};

/// The sequences that are open.
#[derive(Debug, Default)]
pub struct Sequences {
    open: BTreeMap<SequenceId, Sequence>,
}

#[derive(Debug)]
struct Sequence {
    sampling: SamplingParams,
    history: TokenHistory,
    last_sampled: Option<(StepId, TokenId)>,
}

impl Sequence {
    fn new(open: &OpenSequence) -> Self {
        Self {
            sampling: open.sampling.clone(),
            history: TokenHistory::new(&open.tokens, open.prompt_len as usize),
            last_sampled: None,
        }
    }
}

impl Sequences {
    /// Checks a plan, then closes and opens what it says, and gives each row's token. On an error nothing has changed.
    pub fn begin(&mut self, plan: &StepPlan, capacity: &Capacity) -> Result<Vec<u32>, ExecutorError> {
        plan_check::check(plan, capacity)?;
        let tokens = plan_check::tokens(plan, &self.open, |sequence, step| {
            sequence.last_sampled.filter(|(last, _)| *last == step).map(|(_, token)| token.0)
        })?;
        for sequence in &plan.close {
            self.open.remove(sequence);
        }
        for open in &plan.open {
            self.open.insert(open.sequence, Sequence::new(open));
        }
        Ok(tokens)
    }

    /// Samples and hands out what the plan asks for. `logits` is f32 `[outputs, vocabulary]` in the plan's order. On an
    /// error no sequence has advanced.
    pub fn finish(
        &mut self,
        step: StepId,
        plan: &StepPlan,
        logits: &mut [f32],
        vocabulary: usize,
    ) -> Result<StepOutput, ExecutorError> {
        let mut output = StepOutput::default();
        let mut rows = logits.chunks_exact_mut(vocabulary);
        let mut drawn = Vec::new();
        for chunk in &plan.chunks {
            for logits in rows.by_ref().take(chunk.outputs()) {
                if chunk.output != ChunkOutput::Sample {
                    output.logits.extend_from_slice(logits);
                    continue;
                }
                // Without an early end the compiler has vectors for it.
                if !logits.iter().fold(true, |finite, logit| finite & logit.is_finite()) {
                    return Err(ExecutorError::NotFinite(chunk.sequence));
                }
                // A sequence that a later plan closed while this step was in flight has no use for its token.
                let Some(sequence) = self.open.get(&chunk.sequence) else { continue };
                let mask = plan.mask(chunk.sequence);
                let position = chunk.start + chunk.tokens.len() as u32;
                drawn.push((chunk.sequence, sample(logits, &sequence.sampling, &sequence.history, mask, position)));
            }
        }
        for (id, drawn) in drawn {
            if let Some(sequence) = self.open.get_mut(&id) {
                sequence.history.push(drawn.token);
                sequence.last_sampled = Some((step, drawn.token));
            }
            output.sampled.push(Sampled {
                sequence: id,
                token: drawn.token,
                logprob: drawn.logprob,
                top_logprobs: drawn.top_logprobs,
            });
        }
        Ok(output)
    }
}
