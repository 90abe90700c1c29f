//! The executor comes, goes, shrinks and grows.
//!
//! A lost executor takes every block and every step in flight along. Its epoch ends with it, so that whatever the old one
//! still says changes nothing; those that ran wait with their tokens kept, to be computed again on the next one.

use crate::block_pool::BlockPool;
use crate::commands::{Command, FinishReason};
use crate::scheduler::Scheduler;
use crate::sequence::{Arrival, Sequence};
use tilewright_plan::Capacity;

impl Scheduler {
    pub(crate) fn executor_lost(&mut self, epoch: u64, moved: bool, commands: &mut Vec<Command>) {
        if epoch != self.epoch {
            return;
        }
        self.epoch += 1;
        self.ready = false;
        self.in_flight.clear();
        self.pool = BlockPool::default();
        self.times.forget();
        self.prefill_only = 0;
        for sequence in self.sequences.values_mut() {
            sequence.unseat();
            sequence.pending.clear();
        }
        self.to_close.clear();
        let now = self.now;
        for arrival in std::mem::take(&mut self.running) {
            let Some(sequence) = self.sequences.get_mut(&arrival) else { continue };
            let again = !moved && sequence.lost_at.is_some_and(|before| now.since(before) < self.config.loss_window);
            if !moved {
                sequence.lost_at = Some(now);
            }
            sequence.waiting_since = now;
            self.waiting.insert(arrival);
            if again {
                self.finish(arrival, FinishReason::DeviceLost, commands);
            }
        }
        commands.push(Command::WantExecutor { epoch: self.epoch });
    }

    pub(crate) fn executor_ready(&mut self, epoch: u64, capacity: Capacity, commands: &mut Vec<Command>) {
        if epoch != self.epoch || self.ready {
            return;
        }
        self.ready = true;
        let capacity = Capacity { block_size: capacity.block_size.max(1), depth: capacity.depth.max(1), ..capacity };
        self.capacity = Some(capacity);
        self.pool = BlockPool::new(capacity.blocks);
        self.sequences.values_mut().for_each(Sequence::forget_names);
        self.end_what_no_longer_fits(commands);
    }

    pub(crate) fn resize(&mut self, blocks: u32, commands: &mut Vec<Command>) {
        let Some(capacity) = self.capacity.as_mut().filter(|_| self.ready) else { return };
        capacity.blocks = blocks;
        self.pool.resize(blocks);
        self.end_what_no_longer_fits(commands);
        for arrival in self.arrivals(|sequence| sequence.table.iter().any(|block| block.0 >= blocks)) {
            self.preempt(arrival);
        }
    }

    fn end_what_no_longer_fits(&mut self, commands: &mut Vec<Command>) {
        let Some(capacity) = self.capacity else { return };
        self.limit = (capacity.max_context as usize).min(capacity.blocks as usize * capacity.block_size as usize);
        let limit = self.limit;
        for arrival in self.arrivals(|sequence| sequence.tokens.len() >= limit) {
            self.finish(arrival, FinishReason::CapacityReduced, commands);
        }
    }

    pub(crate) fn arrivals(&self, matching: impl Fn(&Sequence) -> bool) -> Vec<Arrival> {
        self.sequences.iter().filter(|(_, sequence)| matching(sequence)).map(|(&arrival, _)| arrival).collect()
    }
}
