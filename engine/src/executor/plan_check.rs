//! Every rule of [`StepPlan`] that can be checked without knowing earlier steps. A plan that passes indexes nothing out of
//! bounds, on the CPU or on a GPU.

use std::collections::{BTreeMap, BTreeSet};
use tilewright_plan::{
    Capacity, Chunk, ChunkOutput, ExecutorError, OpenSequence, SequenceId, StepId, StepPlan, TokenId, TokenMask,
    TokenSource,
};

/// Checks `plan` against what the executor can hold.
pub fn check(plan: &StepPlan, capacity: &Capacity) -> Result<(), ExecutorError> {
    let invalid = |message: String| Err(ExecutorError::InvalidPlan(message));
    if plan.rows() > capacity.max_rows as usize {
        return invalid(format!("it has {} rows, the executor takes {}", plan.rows(), capacity.max_rows));
    }
    if plan.chunks.len() > capacity.max_chunks as usize {
        return invalid(format!("it has {} chunks, the executor takes {}", plan.chunks.len(), capacity.max_chunks));
    }
    for open in &plan.open {
        check_open(open, capacity)?;
    }
    let mut sequences = BTreeSet::new();
    let mut slots = BTreeSet::new();
    for chunk in &plan.chunks {
        if !sequences.insert(chunk.sequence) {
            return invalid(format!("sequence {} has two chunks", chunk.sequence));
        }
        check_chunk(chunk, capacity)?;
        for position in chunk.start..chunk.start + chunk.tokens.len() as u32 {
            let block = chunk.block_table[(position / capacity.block_size) as usize];
            if !slots.insert((block, position % capacity.block_size)) {
                return invalid(format!("two rows write position {position} of block {block}"));
            }
        }
    }
    let mut masked = BTreeSet::new();
    for mask in &plan.masks {
        let samples = |chunk: &Chunk| chunk.sequence == mask.sequence && chunk.output == ChunkOutput::Sample;
        if !plan.chunks.iter().any(samples) {
            return invalid(format!("sequence {} has a mask and samples nothing", mask.sequence));
        }
        if !masked.insert(mask.sequence) {
            return invalid(format!("sequence {} has two masks", mask.sequence));
        }
        check_mask(mask, capacity)?;
    }
    Ok(())
}

/// Each row's token, by `sampled` those that a sequence drew in an earlier step: its id, or where the executor finds it.
///
/// # Errors
/// When a chunk's sequence is neither open nor opened by the plan, or drew no token in the step that it names.
pub fn tokens<S>(
    plan: &StepPlan,
    open: &BTreeMap<SequenceId, S>,
    sampled: impl Fn(&S, StepId) -> Option<u32>,
) -> Result<Vec<u32>, ExecutorError> {
    let mut tokens = Vec::with_capacity(plan.rows());
    for chunk in &plan.chunks {
        let opens = plan.open.iter().any(|open| open.sequence == chunk.sequence);
        let kept = open.get(&chunk.sequence).filter(|_| !opens && !plan.close.contains(&chunk.sequence));
        if !opens && kept.is_none() {
            return Err(ExecutorError::UnknownSequence(chunk.sequence));
        }
        for source in &chunk.tokens {
            tokens.push(match *source {
                TokenSource::Id(token) => token.0,
                TokenSource::SampledBy(step) => kept.and_then(|sequence| sampled(sequence, step)).ok_or_else(|| {
                    let sequence = chunk.sequence;
                    ExecutorError::InvalidPlan(format!(
                        "sequence {sequence} sampled no token in step {step}, or a later one since; name the step that sampled last"
                    ))
                })?,
            });
        }
    }
    Ok(tokens)
}

fn check_open(open: &OpenSequence, capacity: &Capacity) -> Result<(), ExecutorError> {
    let sequence = open.sequence;
    if open.prompt_len as usize > open.tokens.len() {
        return Err(ExecutorError::InvalidPlan(format!(
            "sequence {sequence} opens with {} tokens, of which {} are its prompt",
            open.tokens.len(),
            open.prompt_len
        )));
    }
    open.tokens.iter().try_for_each(|&token| check_token(token, capacity))
}

fn check_chunk(chunk: &Chunk, capacity: &Capacity) -> Result<(), ExecutorError> {
    let invalid = |message: String| Err(ExecutorError::InvalidPlan(message));
    let sequence = chunk.sequence;
    if chunk.tokens.is_empty() {
        return invalid(format!("the chunk of sequence {sequence} has no rows"));
    }
    let end = u64::from(chunk.start) + chunk.tokens.len() as u64;
    if end > u64::from(capacity.max_context) {
        return invalid(format!("sequence {sequence} reaches position {end}, the context is {}", capacity.max_context));
    }
    let covered = chunk.block_table.len() as u64 * u64::from(capacity.block_size);
    if end > covered {
        return invalid(format!("the block table of sequence {sequence} covers {covered} positions of {end}"));
    }
    if let Some(block) = chunk.block_table.iter().find(|block| block.0 >= capacity.blocks) {
        return invalid(format!("sequence {sequence} names block {block} of {}", capacity.blocks));
    }
    chunk.tokens.iter().try_for_each(|source| match source {
        TokenSource::Id(token) => check_token(*token, capacity),
        TokenSource::SampledBy(_) => Ok(()),
    })
}

fn check_mask(mask: &TokenMask, capacity: &Capacity) -> Result<(), ExecutorError> {
    let invalid = |message: String| Err(ExecutorError::InvalidPlan(message));
    let TokenMask { sequence, allowed } = mask;
    let (words, rest) = (capacity.vocabulary.div_ceil(32) as usize, capacity.vocabulary % 32);
    if allowed.len() != words {
        return invalid(format!("the mask of sequence {sequence} has {} words, the vocabulary {words}", allowed.len()));
    }
    // Bits past the vocabulary stand for nothing.
    let known = if rest == 0 { u32::MAX } else { (1 << rest) - 1 };
    let (last, others) = allowed.split_last().map_or((0, &[][..]), |(last, others)| (last & known, others));
    if last == 0 && others.iter().all(|&word| word == 0) {
        return invalid(format!("the mask of sequence {sequence} allows no token"));
    }
    Ok(())
}

fn check_token(token: TokenId, capacity: &Capacity) -> Result<(), ExecutorError> {
    if token.0 < capacity.vocabulary {
        return Ok(());
    }
    Err(ExecutorError::InvalidPlan(format!("token {token} is past the vocabulary of {}", capacity.vocabulary)))
}
