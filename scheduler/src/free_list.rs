//! The blocks that can be had, in the order in which they will be taken.
//!
//! The order is also that of eviction: what was let go of longest ago goes first. A block that is wanted again leaves from
//! the middle, so the list is doubly linked, through arrays of indices instead of pointers: every operation takes constant
//! time.

use tilewright_plan::BlockId;

/// No block.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
    listed: bool,
}

const UNLINKED: Link = Link { before: NONE, after: NONE, listed: false };

/// A queue of block ids, each at most once.
#[derive(Clone, Debug)]
pub(crate) struct FreeList {
    links: Vec<Link>,
    first: u32,
    last: u32,
    len: u32,
}

impl Default for FreeList {
    fn default() -> Self {
        Self { links: Vec::new(), first: NONE, last: NONE, len: 0 }
    }
}

impl FreeList {
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn contains(&self, block: BlockId) -> bool {
        self.links.get(block.0 as usize).is_some_and(|link| link.listed)
    }

    /// Will be taken next. Nothing changes if it is listed already.
    pub(crate) fn push_front(&mut self, block: BlockId) {
        self.insert(block, NONE, self.first);
    }

    /// Will be taken last. Nothing changes if it is listed already.
    pub(crate) fn push_back(&mut self, block: BlockId) {
        self.insert(block, self.last, NONE);
    }

    /// Takes the next one.
    pub(crate) fn pop_front(&mut self) -> Option<BlockId> {
        let first = (self.first != NONE).then_some(BlockId(self.first))?;
        self.remove(first);
        Some(first)
    }

    /// Takes a certain one, if it is listed.
    pub(crate) fn remove(&mut self, block: BlockId) -> bool {
        if !self.contains(block) {
            return false;
        }
        let Link { before, after, .. } = std::mem::replace(&mut self.links[block.0 as usize], UNLINKED);
        *self.after_of(before) = after;
        *self.before_of(after) = before;
        self.len -= 1;
        true
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = BlockId> + '_ {
        let known = |id: u32| (id != NONE).then_some(BlockId(id));
        std::iter::successors(known(self.first), move |block| known(self.links[block.0 as usize].after))
    }

    fn insert(&mut self, block: BlockId, before: u32, after: u32) {
        if self.contains(block) {
            return;
        }
        let needed = (block.0 as usize + 1).max(self.links.len());
        self.links.resize(needed, UNLINKED);
        self.links[block.0 as usize] = Link { before, after, listed: true };
        *self.after_of(before) = block.0;
        *self.before_of(after) = block.0;
        self.len += 1;
    }

    /// Where the id of the one after `block` stands; before all blocks comes the list's own end.
    fn after_of(&mut self, block: u32) -> &mut u32 {
        if block == NONE { &mut self.first } else { &mut self.links[block as usize].after }
    }

    fn before_of(&mut self, block: u32) -> &mut u32 {
        if block == NONE { &mut self.last } else { &mut self.links[block as usize].before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(list: &FreeList) -> Vec<u32> {
        list.iter().map(|block| block.0).collect()
    }

    #[test]
    fn blocks_come_out_in_order_whatever_left_from_the_middle() {
        let mut list = FreeList::default();
        (0..5).for_each(|id| list.push_back(BlockId(id)));
        assert!(list.remove(BlockId(2)) && list.remove(BlockId(4)) && list.remove(BlockId(0)));
        assert!(!list.remove(BlockId(2)) && !list.remove(BlockId(77)));
        list.push_front(BlockId(9));
        list.push_back(BlockId(2));
        list.push_back(BlockId(9)); // stands there already
        assert_eq!((listed(&list), list.len()), (vec![9, 1, 3, 2], 4));
        let popped: Vec<u32> = std::iter::from_fn(|| list.pop_front()).map(|block| block.0).collect();
        assert_eq!((popped, list.len(), list.pop_front()), (vec![9, 1, 3, 2], 0, None));
        list.push_front(BlockId(1));
        assert_eq!(listed(&list), [1]);
    }
}
