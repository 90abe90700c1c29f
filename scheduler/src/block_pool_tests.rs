//! The pool alone: its order, what it shares, and 100 000 random operations after each of which its books must agree.

use super::*;
use proptest::prelude::*;

const SIZE: usize = 2;

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<BlockId> {
    numbers.into_iter().map(BlockId).collect()
}

fn tokens(numbers: &[u32]) -> Vec<TokenId> {
    numbers.iter().copied().map(TokenId).collect()
}

/// Publishes `table` as the blocks of `tokens`; gives the names.
fn publish(pool: &mut BlockPool, table: &[BlockId], tokens: &[TokenId]) -> Vec<PrefixHash> {
    let mut parent = PrefixHash::root(None);
    let name = |(&block, tokens): (&BlockId, &[TokenId])| {
        let name = parent.then(tokens);
        pool.publish(block, parent, name, tokens);
        parent = name;
        name
    };
    table.iter().zip(tokens.chunks_exact(SIZE)).map(name).collect()
}

/// The longest beginning of `tokens` that is there.
fn find(pool: &BlockPool, tokens: &[TokenId]) -> Vec<BlockId> {
    let mut parent = PrefixHash::root(None);
    let step = |tokens: &[TokenId]| {
        let name = parent.then(tokens);
        let block = pool.find(parent, name, tokens)?;
        parent = name;
        Some(block)
    };
    tokens.chunks_exact(SIZE).map_while(step).collect()
}

impl BlockPool {
    /// All that must hold whatever happened (I1, I2, I4).
    fn verify(&self) {
        let free: Vec<BlockId> = self.free.iter().collect();
        assert_eq!(free.len() as u32, self.available());
        assert_eq!(free.iter().filter(|block| self.is_published(**block)).count() as u32, self.cached);
        let live = |block: &BlockId| block.0 < self.total;
        assert!(free.iter().all(live), "a block beyond the total is free");
        let fenced: Vec<BlockId> = self.fenced.values().flatten().copied().filter(live).collect();
        assert_eq!(fenced.len() as u32, self.fenced());
        let referenced = (0..self.total).filter(|id| self.references(BlockId(*id)) > 0).count();
        assert_eq!(free.len() + fenced.len() + referenced, self.total as usize, "I1");
        for &block in free.iter().chain(&fenced) {
            assert_eq!(self.references(block), 0, "I2");
        }
        assert!(self.fenced.keys().all(|step| Some(*step) > self.done), "a fence that nothing will lift");
        for (id, block) in (0..).zip(&self.blocks) {
            if let Some(content) = &block.content {
                let named = self.published.get(&content.name).is_some_and(|blocks| blocks.contains(&BlockId(id)));
                assert!(named && id < self.total, "I4: block {id} has a name that does not know it");
            }
        }
        for (name, blocks) in &self.published {
            assert!(!blocks.is_empty(), "I4: a name without blocks");
            for block in blocks {
                let content = self.blocks[block.0 as usize].content.as_ref().expect("I4");
                assert_eq!((content.name, content.parent.then(&content.tokens)), (*name, *name), "I4");
            }
        }
    }
}

#[test]
fn blocks_are_taken_in_the_order_in_which_they_became_free_tail_first_and_useless_ones_before_all() {
    let mut pool = BlockPool::new(6);
    let table = pool.allocate(4).unwrap();
    assert_eq!(table, ids(0..4));
    publish(&mut pool, &table, &tokens(&[1, 2, 3, 4, 5, 6])); // all but the last, which is not full
    pool.release(table.into_iter(), None);
    assert_eq!((pool.available(), pool.cached()), (6, 3));
    assert_eq!(pool.allocate(6), Some(ids([3, 4, 5, 2, 1, 0])));
    assert_eq!(pool.cached(), 0);
    pool.verify();
}

#[test]
fn an_allocation_that_cannot_be_met_takes_nothing() {
    let mut pool = BlockPool::new(3);
    assert_eq!(pool.allocate(2), Some(ids([0, 1])));
    assert_eq!(pool.allocate(2), None);
    assert_eq!((pool.available(), pool.fenced()), (1, 0));
    assert_eq!(pool.allocate(1), Some(ids([2])));
    assert_eq!(pool.allocate(1), None);
    assert_eq!(pool.allocate(0), Some(Vec::new()));
}

#[test]
fn a_shared_block_becomes_available_only_when_its_last_owner_lets_go() {
    let mut pool = BlockPool::new(2);
    let table = pool.allocate(1).unwrap();
    publish(&mut pool, &table, &tokens(&[1, 2]));
    pool.share(table[0]); // 1 -> 2
    pool.release(table.iter().copied(), None); // 2 -> 1
    assert_eq!((pool.references(table[0]), pool.available()), (1, 1));
    pool.release(table.iter().copied(), None); // 1 -> 0
    assert_eq!((pool.available(), pool.cached()), (2, 1));
    pool.share(table[0]); // out of the free list again
    assert_eq!((pool.available(), pool.cached(), pool.references(table[0])), (1, 0, 1));
    pool.verify();
}

#[test]
fn of_two_blocks_with_one_name_evicting_one_keeps_the_other_findable() {
    let mut pool = BlockPool::new(2);
    let said = tokens(&[7, 8]);
    for block in pool.allocate(2).unwrap() {
        publish(&mut pool, &[block], &said);
    }
    assert_eq!(find(&pool, &said), ids([0]));
    pool.release(ids([0]).into_iter(), None);
    assert_eq!(pool.allocate(1), Some(ids([0])));
    assert_eq!(find(&pool, &said), ids([1]));
    pool.release(ids([1]).into_iter(), None);
    assert_eq!(pool.allocate(1), Some(ids([1])));
    assert_eq!(find(&pool, &said), []);
    pool.verify();
}

#[test]
fn equal_names_of_other_tokens_are_no_hit() {
    let mut pool = BlockPool::new(1);
    let table = pool.allocate(1).unwrap();
    let names = publish(&mut pool, &table, &tokens(&[1, 2]));
    assert_eq!(pool.find(PrefixHash::root(None), names[0], &tokens(&[1, 2])), Some(BlockId(0)));
    assert_eq!(pool.find(PrefixHash::root(None), names[0], &tokens(&[2, 1])), None, "as after a collision");
    assert_eq!(pool.find(PrefixHash::root(Some("salt")), names[0], &tokens(&[1, 2])), None);
}

#[test]
fn a_fenced_block_is_available_when_its_step_is_done_and_not_before() {
    let mut pool = BlockPool::new(2);
    let blocks = pool.allocate(2).unwrap();
    pool.release(blocks.into_iter(), Some(StepId(7)));
    pool.step_done(StepId(6));
    assert_eq!((pool.available(), pool.fenced(), pool.fence(BlockId(0))), (0, 2, Some(StepId(7))));
    pool.step_done(StepId(7));
    assert_eq!((pool.available(), pool.fenced(), pool.fence(BlockId(0))), (2, 0, None));
}

#[test]
fn a_fenced_block_can_be_shared_and_its_fence_outlives_the_new_owner() {
    let mut pool = BlockPool::new(1);
    let table = pool.allocate(1).unwrap();
    publish(&mut pool, &table, &tokens(&[1, 2]));
    pool.release(table.iter().copied(), Some(StepId(7)));
    pool.share(BlockId(0));
    assert_eq!((pool.fenced(), pool.references(BlockId(0))), (0, 1));
    pool.release(table.iter().copied(), None); // the new owner never had a step
    assert_eq!((pool.available(), pool.fence(BlockId(0))), (0, Some(StepId(7))));
    pool.step_done(StepId(7));
    assert_eq!((pool.available(), pool.cached()), (1, 1));
    pool.verify();
}

#[test]
fn releasing_what_nobody_holds_changes_nothing() {
    let mut pool = BlockPool::new(2);
    pool.release(ids([0, 9]).into_iter(), None);
    assert_eq!((pool.available(), pool.references(BlockId(0)), pool.fence(BlockId(9))), (2, 0, None));
}

#[test]
fn a_block_beyond_a_smaller_total_never_comes_back_and_a_larger_total_adds_each_block_once() {
    let mut pool = BlockPool::new(4);
    let held = pool.allocate(4).unwrap();
    pool.release(held.into_iter(), Some(StepId(1)));
    pool.resize(2);
    assert_eq!((pool.available(), pool.fenced()), (0, 2));
    pool.resize(3); // block 2 is still fenced: it must not be handed out yet
    assert_eq!((pool.available(), pool.fenced()), (0, 3));
    pool.step_done(StepId(1));
    assert_eq!(pool.allocate(3), Some(ids([0, 1, 2])));
    assert_eq!(pool.allocate(1), None);
}

#[test]
fn a_cut_forgets_what_the_lost_blocks_held() {
    let mut pool = BlockPool::new(4);
    let table = pool.allocate(4).unwrap();
    let said = tokens(&[1, 2, 3, 4, 5, 6, 7, 8]);
    publish(&mut pool, &table, &said);
    pool.release(table.into_iter(), None);
    pool.resize(2);
    assert_eq!((pool.available(), pool.cached()), (2, 2));
    assert_eq!(find(&pool, &said), ids([0, 1]));
    pool.resize(4);
    assert_eq!(find(&pool, &said), ids([0, 1]));
    pool.verify();
}

#[derive(Clone, Debug)]
enum Op {
    /// A request for a prompt of so many blocks: shares what is there, takes the rest.
    Take {
        prompt: Vec<u32>,
        blocks: usize,
    },
    /// One of the tables goes, naming a step so far ahead.
    Release {
        which: usize,
        ahead: u64,
    },
    Step,
    Resize {
        total: u32,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (prop::collection::vec(0..2_u32, 12), 0..6_usize).prop_map(|(prompt, blocks)| Op::Take { prompt, blocks }),
        5 => (any::<usize>(), 0..3_u64).prop_map(|(which, ahead)| Op::Release { which, ahead }),
        3 => Just(Op::Step),
        1 => (0..12_u32).prop_map(|total| Op::Resize { total }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// 200 scripts of 500: a vocabulary of two, so that beginnings agree all the time.
    #[test]
    fn no_block_is_ever_owned_twice_and_every_hit_is_what_was_published(script in prop::collection::vec(op(), 500)) {
        let mut pool = BlockPool::new(8);
        let mut tables: Vec<(Vec<BlockId>, usize)> = Vec::new(); // with the number of blocks that are shared or published
        let mut said: BTreeMap<BlockId, Vec<TokenId>> = BTreeMap::new(); // the whole beginning that a block ends
        let mut step = 0;
        for op in script {
            match op {
                Op::Take { prompt, blocks } => {
                    let prompt = tokens(&prompt);
                    let shared = find(&pool, &prompt[..blocks * SIZE]);
                    for (index, block) in shared.iter().enumerate() {
                        prop_assert_eq!(&said[block], &prompt[..(index + 1) * SIZE], "a hit holds what it should");
                    }
                    let idle = shared.iter().filter(|block| pool.is_idle(**block)).count() as u32;
                    let needed = (blocks - shared.len()) as u32;
                    if needed + idle > pool.available() {
                        continue;
                    }
                    for block in &shared {
                        pool.share(*block);
                    }
                    let new = pool.allocate(needed).expect("there are enough");
                    prop_assert!(new.iter().all(|block| !shared.contains(block)), "a hit block is evicted");
                    prop_assert!(tables.iter().all(|(table, _)| new.iter().all(|block| !table.contains(block))), "owned twice");
                    let table = [shared, new].concat();
                    publish(&mut pool, &table, &prompt);
                    for (index, block) in table.iter().enumerate() {
                        said.insert(*block, prompt[..(index + 1) * SIZE].to_vec());
                    }
                    tables.push((table, blocks));
                }
                Op::Release { which, ahead } if !tables.is_empty() => {
                    let (table, _) = tables.swap_remove(which % tables.len());
                    pool.release(table.into_iter(), (ahead > 0).then_some(StepId(step + ahead)));
                }
                Op::Release { .. } => {}
                Op::Step => {
                    step += 1;
                    pool.step_done(StepId(step));
                }
                Op::Resize { total } => {
                    pool.resize(total);
                    // As the scheduler does: whoever holds a lost block gives all of its blocks back.
                    let (kept, cut) = tables.into_iter().partition(|(table, _)| table.iter().all(|block| block.0 < total));
                    tables = kept;
                    for (table, _) in cut {
                        let _: usize = table.len();
                        pool.release(table.into_iter(), None);
                    }
                }
            }
            pool.verify();
        }
    }
}
