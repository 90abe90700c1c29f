//! A model that is quick, deterministic, and trusts nobody.
//!
//! Its next token is a hash of all tokens so far. It reads those tokens back from its KV slots through the block table
//! of the plan, so a plan that names a wrong block, writes a slot twice or reads one before it was written gives
//! another answer than the request run alone, if it isn't caught by one of the checks first: they are the rules in the
//! documentation of `tilewright_plan::step`.

#![allow(dead_code, unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use tilewright_plan::{BlockId, Capacity, ChunkOutput, Sampled, SequenceId, StepId, StepPlan, TokenId, TokenSource};

/// What the model says after `tokens`.
pub fn next_token(tokens: &[TokenId], vocabulary: u32) -> TokenId {
    next_after(hashes(tokens).last().copied().unwrap_or_default(), vocabulary)
}

fn next_after(hash: u64, vocabulary: u32) -> TokenId {
    TokenId(((hash ^ (hash >> 32)) % u64::from(vocabulary)) as u32)
}

/// For each position a hash of the tokens up to it.
fn hashes(tokens: &[TokenId]) -> Vec<u64> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let next = |token: &TokenId| {
        hash = (hash ^ u64::from(token.0 + 1)).wrapping_mul(0x0100_0000_01b3);
        hash ^= hash >> 29;
        hash
    };
    tokens.iter().map(next).collect()
}

#[derive(Clone)]
pub struct FakeModel {
    pub capacity: Capacity,
    /// What stands in a slot: the position, and a hash of all tokens up to it, as keys and values depend on them all.
    slots: BTreeMap<(BlockId, usize), (usize, u64)>,
    /// All tokens of each open sequence, those sampled included.
    pub open: BTreeMap<SequenceId, Vec<TokenId>>,
    sampled: BTreeMap<(StepId, SequenceId), TokenId>,
    last_step: Option<StepId>,
    /// Blocks named by steps that were not reported done yet.
    unfinished: BTreeMap<StepId, BTreeMap<BlockId, BTreeSet<SequenceId>>>,
}

impl FakeModel {
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            slots: BTreeMap::new(),
            open: BTreeMap::new(),
            sampled: BTreeMap::new(),
            last_step: None,
            unfinished: BTreeMap::new(),
        }
    }

    /// The outputs of all steps before this one, or of all there are, are now known outside.
    pub fn finish_before(&mut self, oldest: Option<StepId>) {
        self.unfinished.retain(|step, _| oldest.is_some_and(|oldest| *step >= oldest));
    }

    /// Blocks at or above the new number lose what they hold.
    pub fn resize(&mut self, blocks: u32) {
        self.capacity.blocks = blocks;
        self.slots.retain(|(block, _), _| block.0 < blocks);
    }

    /// Computes a step, or names the rule that the plan breaks. A plan that breaks one changes nothing.
    pub fn run(&mut self, step: StepId, plan: &StepPlan) -> Result<Vec<Sampled>, String> {
        let mut next = self.clone();
        let output = next.compute(step, plan).map_err(|rule| format!("step {step}: {rule}\n{plan:#?}"))?;
        *self = next;
        Ok(output)
    }

    fn compute(&mut self, step: StepId, plan: &StepPlan) -> Result<Vec<Sampled>, String> {
        if self.last_step.is_some_and(|last| last >= step) {
            return Err("step ids must increase".into());
        }
        self.last_step = Some(step);
        for sequence in &plan.close {
            self.open.remove(sequence).ok_or(format!("closes {sequence}, which is not open"))?;
        }
        for opening in &plan.open {
            if opening.tokens.is_empty()
                || opening.prompt_len as usize > opening.tokens.len()
                || opening.prompt_len == 0
            {
                return Err(format!("opens {} with bad lengths", opening.sequence));
            }
            if self.open.insert(opening.sequence, opening.tokens.clone()).is_some() {
                return Err(format!("opens {} twice", opening.sequence));
            }
        }
        if plan.rows() > self.capacity.max_rows as usize || plan.chunks.len() > self.capacity.max_chunks as usize {
            return Err("more rows or chunks than the capacity allows".into());
        }
        self.check_ownership(plan)?;
        let mut seen = BTreeSet::new();
        let mut output = Vec::new();
        for chunk in &plan.chunks {
            let id = chunk.sequence;
            if !seen.insert(id) {
                return Err(format!("two chunks of {id}"));
            }
            let tokens = self.open.get(&id).ok_or(format!("rows of {id}, which is not open"))?.clone();
            let (start, end) = (chunk.start as usize, chunk.start as usize + chunk.tokens.len());
            if chunk.tokens.is_empty() || end > self.capacity.max_context as usize || end > tokens.len() {
                return Err(format!("rows {start}..{end} of {id}, which has {} tokens", tokens.len()));
            }
            let hashes = hashes(&tokens);
            let size = self.capacity.block_size as usize;
            if chunk.block_table.len() * size < end {
                return Err(format!("the table of {id} does not cover its rows"));
            }
            for (position, source) in (start..end).zip(&chunk.tokens) {
                let token = match *source {
                    TokenSource::Id(token) => token,
                    TokenSource::SampledBy(earlier) if earlier < step => {
                        *self.sampled.get(&(earlier, id)).ok_or(format!("step {earlier} samples nothing for {id}"))?
                    }
                    TokenSource::SampledBy(later) => return Err(format!("{id} reads a token of step {later}")),
                };
                if token != tokens[position] {
                    return Err(format!("{id} has {} at position {position}, not {token}", tokens[position]));
                }
                self.slots.insert((chunk.block_table[position / size], position % size), (position, hashes[position]));
            }
            for (position, hash) in hashes[..end].iter().enumerate() {
                match self.slots.get(&(chunk.block_table[position / size], position % size)) {
                    Some(written) if *written == (position, *hash) => {}
                    other => return Err(format!("{id} reads position {position} where {other:?} is written")),
                }
            }
            if chunk.output == ChunkOutput::Sample {
                if end != tokens.len() {
                    return Err(format!("samples {id} before its last token"));
                }
                let token = next_after(hashes[end - 1], self.capacity.vocabulary);
                self.open.entry(id).or_default().push(token);
                self.sampled.insert((step, id), token);
                output.push(Sampled { sequence: id, token, logprob: None, top_logprobs: Vec::new() });
            }
        }
        Ok(output)
    }

    /// A block may stand in several tables as long as nobody writes it, also compared with all steps that are not done.
    fn check_ownership(&mut self, plan: &StepPlan) -> Result<(), String> {
        let size = self.capacity.block_size as usize;
        let mut named: BTreeMap<BlockId, BTreeSet<SequenceId>> = BTreeMap::new();
        for chunk in &plan.chunks {
            for &block in &chunk.block_table {
                if block.0 >= self.capacity.blocks {
                    return Err(format!("block {block} does not exist"));
                }
                if !named.entry(block).or_default().insert(chunk.sequence) {
                    return Err(format!("block {block} stands twice in the table of {}", chunk.sequence));
                }
            }
        }
        for chunk in &plan.chunks {
            let (first, last) = (chunk.start as usize / size, (chunk.start as usize + chunk.tokens.len() - 1) / size);
            for block in chunk.block_table.iter().take(last + 1).skip(first) {
                let here = named.get(block).into_iter();
                let before = self.unfinished.values().filter_map(|blocks| blocks.get(block));
                if let Some(other) = here.chain(before).flatten().find(|other| **other != chunk.sequence) {
                    return Err(format!("{} writes block {block}, which {other} still reads", chunk.sequence));
                }
            }
        }
        let step = self.last_step.ok_or("no step")?;
        self.unfinished.insert(step, named);
        Ok(())
    }
}
