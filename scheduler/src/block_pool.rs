//! Who holds which KV block.
//!
//! A block is in one of three states, and only this file moves it:
//!
//! - **free**: in the free list, first in, first out;
//! - **referenced**: in at least one sequence's block table, counted;
//! - **fenced**: in no table, but a step in flight still names it. Its new owner's first write could overtake that step's
//!   last read wherever steps do not run strictly one after the other, so it returns to the free list only when the newest
//!   step that names it is done.
//!
//! All or nothing: an allocation that can't be met changes nothing.

use std::collections::{BTreeMap, VecDeque};
use tilewright_plan::{BlockId, StepId};

/// The blocks `0 .. total` of one executor.
#[derive(Clone, Debug, Default)]
pub struct BlockPool {
    total: u32,
    free: VecDeque<BlockId>,
    references: BTreeMap<BlockId, u32>,
    fenced: BTreeMap<BlockId, StepId>,
}

impl BlockPool {
    /// All blocks free, in order of id.
    pub fn new(total: u32) -> Self {
        Self { total, free: (0..total).map(BlockId).collect(), ..Self::default() }
    }

    /// How many blocks there are.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// How many can be had at once.
    pub fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// How many will be free when steps in flight are done.
    pub fn fenced(&self) -> u32 {
        self.fenced.range(..BlockId(self.total)).count() as u32
    }

    /// How many tables hold the block.
    pub fn references(&self, block: BlockId) -> u32 {
        self.references.get(&block).copied().unwrap_or(0)
    }

    /// The step that a fenced block waits for.
    pub fn fence(&self, block: BlockId) -> Option<StepId> {
        self.fenced.get(&block).copied()
    }

    /// Takes `count` blocks, each with one reference; `None`, and nothing taken, if fewer are free.
    pub fn allocate(&mut self, count: u32) -> Option<Vec<BlockId>> {
        if count > self.free() {
            return None;
        }
        let blocks: Vec<BlockId> = self.free.drain(..count as usize).collect();
        self.references.extend(blocks.iter().map(|&block| (block, 1)));
        Some(blocks)
    }

    /// Drops one reference of each block. Those that no table holds any more are free, or fenced until `newest_step` is
    /// done if a step in flight names them.
    pub fn release(&mut self, blocks: impl IntoIterator<Item = BlockId>, newest_step: Option<StepId>) {
        for block in blocks {
            let Some(references) = self.references.get_mut(&block) else { continue };
            *references -= 1;
            if *references > 0 {
                continue;
            }
            self.references.remove(&block);
            match newest_step {
                Some(step) => {
                    self.fenced.insert(block, step);
                }
                None => self.put_back(block),
            }
        }
    }

    /// Frees what waited for this step or an earlier one.
    pub fn step_done(&mut self, step: StepId) {
        let passed: Vec<BlockId> =
            self.fenced.iter().filter(|&(_, &fence)| fence <= step).map(|(&block, _)| block).collect();
        for block in passed {
            self.fenced.remove(&block);
            self.put_back(block);
        }
    }

    /// Changes how many blocks there are. Blocks at or above `total` never come back; the caller releases those in tables.
    pub fn resize(&mut self, total: u32) {
        if total > self.total {
            let added = (self.total..total).map(BlockId);
            self.free
                .extend(added.filter(|block| !self.references.contains_key(block) && !self.fenced.contains_key(block)));
        } else {
            self.free.retain(|block| block.0 < total);
        }
        self.total = total;
    }

    fn put_back(&mut self, block: BlockId) {
        if block.0 < self.total {
            self.free.push_back(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u32]) -> Vec<BlockId> {
        numbers.iter().copied().map(BlockId).collect()
    }

    #[test]
    fn blocks_are_handed_out_in_the_order_in_which_they_became_free() {
        let mut pool = BlockPool::new(4);
        assert_eq!(pool.allocate(3), Some(ids(&[0, 1, 2])));
        pool.release(ids(&[1]), None);
        pool.release(ids(&[0]), None);
        assert_eq!(pool.allocate(3), Some(ids(&[3, 1, 0])));
    }

    #[test]
    fn an_allocation_that_cannot_be_met_takes_nothing() {
        let mut pool = BlockPool::new(3);
        assert_eq!(pool.allocate(2), Some(ids(&[0, 1])));
        assert_eq!(pool.allocate(2), None);
        assert_eq!((pool.free(), pool.fenced()), (1, 0));
        assert_eq!(pool.allocate(1), Some(ids(&[2])));
        assert_eq!(pool.allocate(1), None);
        assert_eq!(pool.allocate(0), Some(Vec::new()));
    }

    #[test]
    fn a_fenced_block_is_free_when_its_step_is_done_and_not_before() {
        let mut pool = BlockPool::new(2);
        let blocks = pool.allocate(2).unwrap();
        pool.release(blocks, Some(StepId(7)));
        pool.step_done(StepId(6));
        assert_eq!((pool.free(), pool.fenced(), pool.fence(BlockId(0))), (0, 2, Some(StepId(7))));
        pool.step_done(StepId(7));
        assert_eq!((pool.free(), pool.fenced(), pool.fence(BlockId(0))), (2, 0, None));
    }

    #[test]
    fn releasing_what_nobody_holds_changes_nothing() {
        let mut pool = BlockPool::new(2);
        pool.release(ids(&[0, 9]), None);
        assert_eq!(pool.free(), 2);
        assert_eq!(pool.references(BlockId(0)), 0);
    }

    #[test]
    fn a_block_beyond_a_smaller_total_never_comes_back_and_a_larger_total_adds_each_block_once() {
        let mut pool = BlockPool::new(4);
        let held = pool.allocate(4).unwrap();
        pool.release(held, Some(StepId(1)));
        pool.resize(2);
        assert_eq!((pool.free(), pool.fenced()), (0, 2));
        pool.resize(3); // block 2 is still fenced: it must not be handed out yet
        assert_eq!((pool.free(), pool.fenced()), (0, 3));
        pool.step_done(StepId(1));
        assert_eq!(pool.allocate(3), Some(ids(&[0, 1, 2])));
        assert_eq!(pool.allocate(1), None);
    }
}
