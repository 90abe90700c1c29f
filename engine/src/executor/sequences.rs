//! Open sequences: the sampler's state, and the last token each of them sampled.

use super::plan_check;
use crate::sampling::{TokenHistory, sample};
use std::collections::BTreeMap;
use tilewright_plan::{
    Capacity, ChunkOutput, ExecutorError, OpenSequence, Sampled, SamplingParams, SequenceId, StepId, StepOutput,
    StepPlan, TokenId, TokenSource,
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
        let mut tokens = Vec::with_capacity(plan.rows());
        for chunk in &plan.chunks {
            let opens = plan.open.iter().any(|open| open.sequence == chunk.sequence);
            let kept = self.open.get(&chunk.sequence).filter(|_| !opens && !plan.close.contains(&chunk.sequence));
            if !opens && kept.is_none() {
                return Err(ExecutorError::UnknownSequence(chunk.sequence));
            }
            for source in &chunk.tokens {
                tokens.push(match *source {
                    TokenSource::Id(token) => token.0,
                    TokenSource::SampledBy(step) => match kept.and_then(|sequence| sequence.last_sampled) {
                        Some((last, token)) if last == step => token.0,
                        _ => {
                            return Err(ExecutorError::InvalidPlan(format!(
                                "sequence {} has no token of step {step} yet; this executor samples one step at a time",
                                chunk.sequence
                            )));
                        }
                    },
                });
            }
        }
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
            let count = match chunk.output {
                ChunkOutput::None => 0,
                ChunkOutput::Sample | ChunkOutput::LastLogits => 1,
                ChunkOutput::AllLogits => chunk.tokens.len(),
            };
            for logits in rows.by_ref().take(count) {
                if chunk.output != ChunkOutput::Sample {
                    output.logits.extend_from_slice(logits);
                    continue;
                }
                if !logits.iter().all(|logit| logit.is_finite()) {
                    return Err(ExecutorError::NotFinite(chunk.sequence));
                }
                // A sequence that a later plan closed while this step was in flight has no use for its token.
                let Some(sequence) = self.open.get(&chunk.sequence) else { continue };
                let position = chunk.start + chunk.tokens.len() as u32;
                drawn.push((chunk.sequence, sample(logits, &sequence.sampling, &sequence.history, position)));
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
