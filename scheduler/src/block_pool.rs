//! Who holds which KV block, and what idle blocks still know.
//!
//! A block is in one of these states, and only this file moves it:
//!
//! - **free**: in the free list;
//! - **cached**: in the free list too, and full of keys and values that a prompt with the same beginning may share. It is
//!   evicted when its turn to be taken comes;
//! - **referenced**: in at least one sequence's block table, counted. It may be shared if it is full, and then nobody writes it;
//! - **fenced**: in no table, but a step in flight still names it. A new owner's first write could overtake that step's
//!   last read wherever steps do not run strictly one after the other, so it returns only when the newest step that names it
//!   is done. To be shared, as it is only read, it needs not wait.
//!
//! The free list doubles as the order of eviction. A sequence's blocks come back tail first, as the beginnings of prompts are
//! what others have in common; blocks that nobody could share go to the front.
//!
//! All or nothing: an allocation that can't be met changes nothing.

use crate::free_list::FreeList;
use crate::prefix::PrefixHash;
use std::collections::BTreeMap;
use tilewright_plan::{BlockId, StepId, TokenId};

/// The blocks `0 .. total` of one executor.
#[derive(Clone, Debug, Default)]
pub struct BlockPool {
    total: u32,
    /// May be longer than `total` after a cut.
    blocks: Vec<Block>,
    free: FreeList,
    /// Blocks behind each name, oldest first: two requests may have computed the same beginning at the same time.
    published: BTreeMap<PrefixHash, Vec<BlockId>>,
    /// By the step that they wait for, in the order in which they were released.
    fenced: BTreeMap<StepId, Vec<BlockId>>,
    /// The newest step that is done.
    done: Option<StepId>,
    /// Blocks in the free list that hold something.
    cached: u32,
    generation: u64,
}

#[derive(Clone, Debug, Default)]
struct Block {
    references: u32,
    /// The newest step that ever named it.
    newest_step: Option<StepId>,
    content: Option<Content>,
}

/// What a full block holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    name: PrefixHash,
    parent: PrefixHash,
    tokens: Box<[TokenId]>,
}

impl BlockPool {
    /// All blocks free, in order of id.
    pub fn new(total: u32) -> Self {
        let mut pool = Self::default();
        pool.resize(total);
        pool
    }

    /// How many blocks there are.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// How many can be had at once, those included that are evicted for it.
    pub fn available(&self) -> u32 {
        self.free.len()
    }

    /// How many of the available ones hold something to share.
    pub fn cached(&self) -> u32 {
        self.cached
    }

    /// How many will be available when steps in flight are done.
    pub fn fenced(&self) -> u32 {
        self.fenced.values().flatten().filter(|block| block.0 < self.total).count() as u32
    }

    /// How many tables hold the block.
    pub fn references(&self, block: BlockId) -> u32 {
        self.blocks.get(block.0 as usize).map_or(0, |block| block.references)
    }

    /// Whether the block is full and has a name.
    pub fn is_published(&self, block: BlockId) -> bool {
        self.blocks.get(block.0 as usize).is_some_and(|block| block.content.is_some())
    }

    /// The step that a fenced block waits for.
    pub fn fence(&self, block: BlockId) -> Option<StepId> {
        let waits = self.references(block) == 0 && block.0 < self.total && !self.free.contains(block);
        self.blocks.get(block.0 as usize)?.newest_step.filter(|_| waits)
    }

    /// Changes whenever an allocation or a search that failed before might succeed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes `count` blocks, each with one reference, evicting what they held; `None`, and nothing changed, if there
    /// are fewer.
    pub fn allocate(&mut self, count: u32) -> Option<Vec<BlockId>> {
        if count > self.available() {
            return None;
        }
        let mut taken = Vec::with_capacity(count as usize);
        while taken.len() < count as usize
            && let Some(block) = self.free.pop_front()
        {
            self.cached -= u32::from(self.unpublish(block));
            self.blocks[block.0 as usize].references = 1;
            taken.push(block);
        }
        Some(taken)
    }

    /// The block that holds `tokens` after the beginning called `parent`, if there is one.
    pub fn find(&self, parent: PrefixHash, name: PrefixHash, tokens: &[TokenId]) -> Option<BlockId> {
        let is_it = |block: &&BlockId| {
            let content = self.blocks[block.0 as usize].content.as_ref();
            content.is_some_and(|content| content.parent == parent && &*content.tokens == tokens)
        };
        self.published.get(&name)?.iter().find(is_it).copied()
    }

    /// Whether sharing the block takes it out of the free list.
    pub fn is_idle(&self, block: BlockId) -> bool {
        self.free.contains(block)
    }

    /// Adds a reference to a published block.
    pub fn share(&mut self, block: BlockId) {
        if self.free.remove(block) {
            self.cached -= 1;
        } else if let Some(step) = self.fence(block)
            && let Some(fenced) = self.fenced.get_mut(&step)
        {
            fenced.retain(|other| *other != block);
        }
        self.blocks[block.0 as usize].references += 1;
    }

    /// Gives a block in a table its name: it is full, and from now on only read.
    pub fn publish(&mut self, block: BlockId, parent: PrefixHash, name: PrefixHash, tokens: &[TokenId]) {
        let Some(entry) = self.blocks.get_mut(block.0 as usize) else { return };
        if entry.references == 0 || entry.content.is_some() || block.0 >= self.total {
            return;
        }
        entry.content = Some(Content { name, parent, tokens: tokens.into() });
        self.published.entry(name).or_default().push(block);
        self.generation += 1;
    }

    /// Drops one reference of each block of a table. Those that no table holds any more become available, or are fenced
    /// until the newest step that named them is done.
    pub fn release(&mut self, table: impl DoubleEndedIterator<Item = BlockId>, newest_step: Option<StepId>) {
        for block in table.rev() {
            let Some(entry) = self.blocks.get_mut(block.0 as usize).filter(|entry| entry.references > 0) else {
                continue;
            };
            entry.references -= 1;
            entry.newest_step = entry.newest_step.max(newest_step);
            if entry.references > 0 {
                continue;
            }
            match entry.newest_step {
                Some(step) if Some(step) > self.done => self.fenced.entry(step).or_default().push(block),
                _ => self.put_back(block),
            }
        }
    }

    /// Makes available what waited for this step or an earlier one.
    pub fn step_done(&mut self, step: StepId) {
        self.done = self.done.max(Some(step));
        while let Some(entry) = self.fenced.first_entry().filter(|entry| *entry.key() <= step) {
            for block in entry.remove() {
                self.put_back(block);
            }
        }
    }

    /// Changes how many blocks there are. Those at or above `total` never come back; the caller releases the ones in tables.
    pub fn resize(&mut self, total: u32) {
        self.generation += 1;
        for block in (total..self.total).map(BlockId) {
            let (idle, held) = (self.free.remove(block), self.unpublish(block));
            self.cached -= u32::from(idle && held);
        }
        let before = std::mem::replace(&mut self.total, total);
        self.blocks.resize(self.blocks.len().max(total as usize), Block::default());
        for block in (before..total).map(BlockId) {
            let fenced = self.fenced.values().flatten().any(|other| *other == block);
            if self.references(block) == 0 && !fenced {
                self.free.push_back(block);
            }
        }
    }

    fn put_back(&mut self, block: BlockId) {
        if block.0 >= self.total {
            return;
        }
        self.generation += 1;
        if self.is_published(block) {
            self.cached += 1;
            self.free.push_back(block);
        } else {
            self.free.push_front(block);
        }
    }

    /// A block that was taken, or is gone, holds nothing that anybody could share. Says whether it did.
    fn unpublish(&mut self, block: BlockId) -> bool {
        let content = self.blocks.get_mut(block.0 as usize).and_then(|entry| entry.content.take());
        let Some(Content { name, .. }) = content else { return false };
        if let Some(blocks) = self.published.get_mut(&name) {
            blocks.retain(|other| *other != block);
            if blocks.is_empty() {
                self.published.remove(&name);
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "block_pool_tests.rs"]
mod tests;
