//! One step plan.
//!
//! First the sequences that decode get a row each, as somebody reads along; then waiting requests are seated; then prompts
//! get what is left of the step's time. While the focused tab has work, the other tabs' rows may add a tenth to the step and
//! no more, except for those that were left out too often: no request starves, and no page stutters for another's sake.
//!
//! A decode row that needs a block when there is none makes the worst requests give theirs back; if blocks are already on
//! their way back behind a step in flight it sits this step out instead.

use crate::clients::Class;
use crate::events::ClientId;
use crate::policy::Turn;
use crate::scheduler::{InFlight, InFlightRow, Scheduler};
use crate::sequence::{Arrival, Sequence};
use crate::step_times::Budget;
use std::collections::{BTreeMap, BTreeSet};
use tilewright_plan::{Capacity, Chunk, ChunkOutput, SequenceId, StepId, StepPlan};

/// One step in so many goes without rows of other tabs while the focused one has work.
const PROBE: u64 = 16;

/// A plan under construction.
struct Draft {
    step: StepId,
    plan: StepPlan,
    rows: Vec<InFlightRow>,
    rows_left: usize,
    chunks_left: usize,
    /// Those that decode and will get a row, unless one that was picked later takes their blocks.
    picked: Vec<(Turn, Arrival)>,
    /// Requests that have had their turn, with rows or without.
    considered: BTreeSet<Arrival>,
    /// Rows that clients get in this step, so that each pick knows of those before it.
    given: BTreeMap<ClientId, u64>,
    /// The focused tab has work, so that others only get what costs little.
    restricted: bool,
    /// Milliseconds that the others' rows may still add.
    others_ms: f64,
    /// Milliseconds that the step may take.
    within_ms: f64,
}

impl Draft {
    fn decode_rows(&self) -> usize {
        self.rows.iter().filter(|row| row.decodes).count()
    }

    fn give(&mut self, client: ClientId, rows: usize) {
        *self.given.entry(client).or_default() += rows as u64;
    }
}

impl Scheduler {
    /// The next step, if there is anything to compute or, with nothing else going on, anything to close.
    pub(crate) fn plan_step(&mut self, capacity: &Capacity, may_admit: &mut bool) -> Option<(StepPlan, InFlight)> {
        self.raise_the_patient();
        let mut draft = self.draft(capacity);
        self.fill(&mut draft, capacity, may_admit);
        if draft.rows.is_empty() && draft.restricted {
            // What the focused tab needs is still on its way back to it: nobody is kept waiting for that.
            draft.restricted = false;
            draft.considered.clear();
            self.fill(&mut draft, capacity, may_admit);
        }
        self.count_skipped(&draft);
        let worth_closing = self.in_flight.is_empty() && self.running.is_empty() && !self.to_close.is_empty();
        if draft.rows.is_empty() && !worth_closing {
            return None;
        }
        let decodes = draft.decode_rows();
        self.prefill_only = if decodes == 0 { self.prefill_only + 1 } else { 0 };
        draft.plan.close = std::mem::take(&mut self.to_close);
        let closes = draft.plan.close.clone();
        self.next_step = StepId(draft.step.0 + 1);
        let in_flight = InFlight {
            step: draft.step,
            rows: draft.rows,
            closes,
            collateral: false,
            within_ms: draft.within_ms,
            result: None,
        };
        Some((draft.plan, in_flight))
    }

    /// Rows of all kinds, in the order that the file's head gives.
    fn fill(&mut self, draft: &mut Draft, capacity: &Capacity, may_admit: &mut bool) {
        self.pick_decodes(draft, may_admit);
        if *may_admit {
            self.admit(capacity);
        }
        let before = draft.picked.len();
        draft.picked.retain(|(_, picked)| self.running.contains(picked));
        if draft.picked.len() < before {
            // Some had to give way to an admission: others take their places.
            self.pick_decodes(draft, may_admit);
        }
        self.leave_room_for_prompts(draft);
        for (_, arrival) in std::mem::take(&mut draft.picked) {
            self.draft_chunk(draft, arrival, 1);
        }
        self.draft_prompts(draft);
    }

    /// An empty plan, and what may go into it.
    fn draft(&self, capacity: &Capacity) -> Draft {
        let budget = if self.focused_rows() > 0 { self.config.focused_budget } else { self.config.budget };
        Draft {
            step: self.next_step,
            plan: StepPlan::default(),
            rows: Vec::new(),
            rows_left: capacity.max_rows.min(self.config.max_step_rows) as usize,
            chunks_left: capacity.max_chunks as usize,
            picked: Vec::new(),
            considered: BTreeSet::new(),
            given: BTreeMap::new(),
            restricted: self.focused().next().is_some(),
            others_ms: 0.0,
            within_ms: budget.0 as f64,
        }
    }

    /// The running request to get rows next, among those that decode or those that do not.
    fn next_turn(&self, draft: &Draft, decodes: bool) -> Option<(Turn, Arrival)> {
        let turn = |(arrival, sequence): (Arrival, &Sequence)| {
            let fits = self.is_runnable(sequence) && sequence.decodes(self.limit) == decodes;
            let given = draft.given.get(&sequence.client).copied().unwrap_or(0);
            (fits && !draft.considered.contains(&arrival)).then(|| (self.turn(arrival, sequence, given), arrival))
        };
        self.seated().filter_map(turn).min()
    }

    /// How many rows of this request's kind the focused tab leaves it.
    fn allowed(&self, draft: &Draft, arrival: Arrival, per_row_ms: f64) -> usize {
        let Some(sequence) = self.sequences.get(&arrival) else { return 0 };
        if !draft.restricted || self.class(sequence) == Class::FOCUSED || self.is_overdue(sequence) {
            return usize::MAX;
        }
        if per_row_ms > 0.0 { (draft.others_ms / per_row_ms) as usize } else { usize::from(draft.others_ms > 0.0) }
    }

    /// Picks those that decode, in order, as many as the step takes, and sees to it that each has a slot.
    fn pick_decodes(&mut self, draft: &mut Draft, may_admit: &mut bool) {
        let (per_row, _) = self.times.per_row();
        // Nobody who reads along waits for more than two steps of prompts.
        let mut owed = self.prefill_only >= 2;
        // Steps without the others say what theirs add.
        let probe = draft.step.0.is_multiple_of(PROBE);
        let share = if probe { 0.0 } else { f64::from(self.config.others_percent) / 100.0 };
        draft.others_ms = self.times.predict(self.focused_rows(), 0) * share;
        let most = draft.rows_left.min(draft.chunks_left);
        while draft.picked.len() < most
            && let Some((turn, arrival)) = self.next_turn(draft, true)
        {
            draft.considered.insert(arrival);
            let allowed = self.allowed(draft, arrival, per_row);
            if allowed == 0 && !owed {
                continue;
            }
            *may_admit &= self.seat_next_row(arrival);
            draft.picked.retain(|(_, picked)| self.running.contains(picked));
            let Some(sequence) = self.sequences.get(&arrival).filter(|sequence| self.has_slot(sequence)) else {
                continue;
            };
            draft.give(sequence.client, 1);
            draft.picked.push((turn, arrival));
            owed = false;
            if allowed < usize::MAX {
                draft.others_ms -= per_row;
            }
        }
    }

    /// Where rows that decode would take all of the step, the last ones are left to prompts that matter more or were left
    /// out for longer.
    fn leave_room_for_prompts(&self, draft: &mut Draft) {
        let most = draft.rows_left.min(draft.chunks_left);
        let waits = |(arrival, sequence): (Arrival, &Sequence)| {
            let prompt = self.is_runnable(sequence) && !sequence.decodes(self.limit) && self.has_slot(sequence);
            prompt.then(|| self.turn(arrival, sequence, 0))
        };
        let prompts: Vec<Turn> = self.seated().filter_map(waits).collect();
        while let Some((worst, _)) = draft.picked.iter().max().copied()
            && prompts.iter().filter(|prompt| prompt.goes_before(&worst)).count() > most - draft.picked.len()
        {
            draft.picked.retain(|(turn, _)| *turn != worst);
        }
    }

    /// Whether its next row has somewhere to be written.
    fn has_slot(&self, sequence: &Sequence) -> bool {
        sequence.computed < sequence.table.len() * self.block_size()
    }

    /// What the focused tab could have rows for.
    fn focused(&self) -> impl Iterator<Item = &Sequence> {
        let runnable = self.seated().map(|(_, sequence)| sequence).filter(|sequence| self.is_runnable(sequence));
        runnable.filter(|sequence| self.class(sequence) == Class::FOCUSED)
    }

    /// Decode rows of the focused tab.
    fn focused_rows(&self) -> usize {
        self.focused().filter(|sequence| sequence.decodes(self.limit)).count()
    }

    /// Chunks of prompts, in order, as long as the step's time lasts.
    fn draft_prompts(&mut self, draft: &mut Draft) {
        let budget = Budget { target: draft.within_ms, most: self.config.longest_step.0 as f64 };
        let (mut rows, within) = self.times.prefill_rows(draft.decode_rows(), budget);
        draft.within_ms = within;
        let (_, per_row) = self.times.per_row();
        while rows > 0
            && draft.rows_left > 0
            && draft.chunks_left > 0
            && let Some((_, arrival)) = self.next_turn(draft, false)
        {
            draft.considered.insert(arrival);
            let allowed = self.allowed(draft, arrival, per_row);
            self.adopt(arrival);
            let most = rows.min(allowed).min(self.config.max_prefill_rows as usize);
            let drafted = self.draft_chunk(draft, arrival, most);
            rows -= drafted;
            if allowed < usize::MAX {
                draft.others_ms -= per_row * drafted as f64;
            }
        }
    }

    /// Shares what others have computed of the same beginning since this request was admitted.
    fn adopt(&mut self, arrival: Arrival) {
        let size = self.block_size();
        let Some(sequence) = self.sequences.get_mut(&arrival) else { return };
        while let Some(index) = sequence.next_to_adopt(size) {
            let (parent, name, tokens) = sequence.block_name(index, size);
            let Some(block) = self.pool.find(parent, name, tokens) else { return };
            self.pool.share(block);
            let own = sequence.adopt(block, index, size);
            self.pool.release(std::iter::once(own), sequence.newest_step);
        }
    }

    /// Whoever could have had rows, and has none while a better class or its own client had, was left out. (Between clients
    /// of one class the counters see to it that nobody is.)
    fn count_skipped(&mut self, draft: &Draft) {
        if draft.rows.is_empty() {
            return;
        }
        let served: BTreeSet<Arrival> = draft.rows.iter().map(|row| row.arrival).collect();
        let clients: BTreeSet<ClientId> = draft.rows.iter().map(|row| row.client).collect();
        let best = served.iter().filter_map(|arrival| self.sequences.get(arrival)).map(|one| self.class(one)).min();
        for arrival in self.running.clone() {
            let Some(sequence) = self.sequences.get(&arrival) else { continue };
            let stands_back = best < Some(self.class(sequence)) || clients.contains(&sequence.client);
            let left_out = self.is_runnable(sequence) && stands_back;
            let skipped = match sequence.skipped {
                _ if served.contains(&arrival) => 0,
                skipped => skipped + u32::from(left_out),
            };
            if let Some(sequence) = self.sequences.get_mut(&arrival) {
                sequence.skipped = skipped;
            }
        }
    }

    /// Sees to it that the next row has a slot, or can have one later. False if that took a preemption.
    fn seat_next_row(&mut self, arrival: Arrival) -> bool {
        let Some(sequence) = self.sequences.get(&arrival).filter(|sequence| !self.has_slot(sequence)) else {
            return true;
        };
        let class = self.class(sequence);
        if self.pool.available() == 0 {
            if self.pool.fenced() > 0 {
                return true;
            }
            for victim in self.victims(1, class, None, &[]).unwrap_or_else(|| vec![arrival]) {
                self.preempt(victim);
            }
            self.extend(arrival);
            return false;
        }
        self.extend(arrival);
        true
    }

    /// One more block for a running request, if there is one.
    fn extend(&mut self, arrival: Arrival) {
        if self.running.contains(&arrival)
            && let Some(block) = self.pool.allocate(1)
            && let Some(sequence) = self.sequences.get_mut(&arrival)
        {
            sequence.table.extend(block);
        }
    }

    /// Adds rows of one sequence: as many as it has, has slots for, may have, and fit. Says how many.
    fn draft_chunk(&mut self, draft: &mut Draft, arrival: Arrival, most: usize) -> usize {
        let block_size = self.block_size();
        let Some(sequence) = self.sequences.get_mut(&arrival) else { return 0 };
        let slots = (sequence.table.len() * block_size).saturating_sub(sequence.computed);
        let left = sequence.rows_left(self.limit);
        let decodes = sequence.decodes(self.limit);
        let count = left.min(slots).min(most).min(draft.rows_left);
        if count == 0 || draft.chunks_left == 0 {
            return 0;
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
        self.chunks += 1;
        sequence.last_served = self.chunks;
        if samples {
            sequence.pending.push_back(draft.step);
        }
        let (client, end) = (sequence.client, sequence.computed);
        self.clients.charge(client, count);
        if !decodes {
            draft.give(client, count);
        }
        draft.rows.push(InFlightRow { arrival, sequence: id, client, rows: count, end, decodes, samples, opens });
        draft.rows_left -= count;
        draft.chunks_left -= 1;
        count
    }
}
