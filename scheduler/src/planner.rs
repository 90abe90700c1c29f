//! One step plan.
//!
//! Rows go, as far as the executor takes them, first to sequences that decode (one each: somebody reads along), then to
//! prompts, oldest first, in chunks of what is left. Between the two, waiting requests are admitted. A decode row that
//! needs a block when there is none makes the newest request give its blocks back; if blocks are already on their way
//! back behind a step in flight it sits this step out instead.

use crate::policy;
use crate::scheduler::{InFlight, InFlightRow, Scheduler};
use crate::sequence::Arrival;
use tilewright_plan::{Capacity, Chunk, ChunkOutput, SequenceId, StepId, StepPlan};

/// A plan under construction.
struct Draft {
    step: StepId,
    plan: StepPlan,
    rows: Vec<InFlightRow>,
    rows_left: usize,
    chunks_left: usize,
}

impl Scheduler {
    /// The next step, if there is anything to compute or, with nothing else going on, anything to close.
    pub(crate) fn plan_step(&mut self, capacity: &Capacity, may_admit: &mut bool) -> Option<(StepPlan, InFlight)> {
        let mut draft = Draft {
            step: self.next_step,
            plan: StepPlan::default(),
            rows: Vec::new(),
            rows_left: capacity.max_rows.min(self.config.max_step_rows) as usize,
            chunks_left: capacity.max_chunks as usize,
        };
        for arrival in policy::service_order(&self.running) {
            // A preemption for an earlier row may have unseated it.
            if self.running.contains(&arrival) && self.decodes(arrival) {
                *may_admit &= self.seat_next_row(arrival);
                self.draft_chunk(&mut draft, arrival, 1);
            }
        }
        if *may_admit {
            self.admit(capacity);
        }
        for arrival in policy::service_order(&self.running) {
            if !draft.rows.iter().any(|row| row.arrival == arrival) {
                self.draft_chunk(&mut draft, arrival, self.config.max_prefill_rows as usize);
            }
        }
        let worth_closing = self.in_flight.is_empty() && self.running.is_empty() && !self.to_close.is_empty();
        if draft.rows.is_empty() && !worth_closing {
            return None;
        }
        draft.plan.close = std::mem::take(&mut self.to_close);
        let closes = draft.plan.close.clone();
        self.next_step = StepId(draft.step.0 + 1);
        Some((draft.plan, InFlight { step: draft.step, rows: draft.rows, closes, collateral: false, result: None }))
    }

    /// Moves waiting requests to the running ones while blocks cover all their tokens and the watermark stays.
    pub(crate) fn admit(&mut self, capacity: &Capacity) {
        let seats = capacity.max_chunks.min(capacity.max_rows).min(self.config.max_step_rows).max(1) as usize;
        let watermark = (u64::from(self.pool.total()) * u64::from(self.config.watermark_percent)).div_ceil(100) as u32;
        while self.running.len() < seats
            && let Some(arrival) = policy::next_to_admit(&self.waiting)
            && let Some(sequence) = self.sequences.get_mut(&arrival)
        {
            let spare = if self.running.is_empty() { 0 } else { watermark };
            let needed = sequence.tokens.len().div_ceil(capacity.block_size as usize) as u32;
            // Its opening names all its tokens, so those sampled before a preemption have to be back.
            if !sequence.pending.is_empty() || needed.saturating_add(spare) > self.pool.free() {
                break;
            }
            let Some(table) = self.pool.allocate(needed) else { break };
            sequence.table = table;
            sequence.started = true;
            self.waiting.remove(&arrival);
            self.running.insert(arrival);
        }
    }

    fn decodes(&self, arrival: Arrival) -> bool {
        self.sequences.get(&arrival).is_some_and(|sequence| sequence.rows_left(self.limit) == 1)
    }

    /// Sees to it that the next row has a slot, or can have one later. False if that took a preemption.
    fn seat_next_row(&mut self, arrival: Arrival) -> bool {
        let block_size = self.block_size();
        let Some(sequence) = self.sequences.get(&arrival) else { return true };
        if sequence.computed < sequence.table.len() * block_size {
            return true;
        }
        let mut undisturbed = true;
        loop {
            if let Some(block) = self.pool.allocate(1) {
                if let Some(sequence) = self.sequences.get_mut(&arrival) {
                    sequence.table.extend(block);
                }
                return undisturbed;
            }
            if self.pool.fenced() > 0 {
                return undisturbed;
            }
            let Some(victim) = policy::victim(&self.running) else { return undisturbed };
            self.preempt(victim);
            undisturbed = false;
            if victim == arrival {
                return undisturbed;
            }
        }
    }

    /// Adds rows of one sequence: as many as it has, has slots for, may have, and fit.
    fn draft_chunk(&mut self, draft: &mut Draft, arrival: Arrival, most: usize) {
        let block_size = self.block_size();
        let Some(sequence) = self.sequences.get_mut(&arrival) else { return };
        let slots = (sequence.table.len() * block_size).saturating_sub(sequence.computed);
        let count = sequence.rows_left(self.limit).min(slots).min(most).min(draft.rows_left);
        if count == 0 || draft.chunks_left == 0 {
            return;
        }
        let id = *sequence.open.get_or_insert_with(|| {
            let id = self.next_sequence;
            self.next_sequence = SequenceId(id.0 + 1);
            id
        });
        let opens = sequence.newest_step.is_none();
        if opens {
            draft.plan.open.push(sequence.opening(id));
        }
        let samples = sequence.computed + count == sequence.len();
        draft.plan.chunks.push(Chunk {
            sequence: id,
            start: sequence.computed as u32,
            tokens: sequence.sources(count),
            block_table: sequence.table.clone(),
            output: if samples { ChunkOutput::Sample } else { ChunkOutput::None },
        });
        sequence.computed += count;
        sequence.newest_step = Some(draft.step);
        if samples {
            sequence.pending.push_back(draft.step);
        }
        draft.rows.push(InFlightRow { arrival, sequence: id, samples, opens });
        draft.rows_left -= count;
        draft.chunks_left -= 1;
    }
}
