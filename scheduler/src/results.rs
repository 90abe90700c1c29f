//! What becomes of a step: tokens to their requests, full blocks to the prefix cache, failures to those at fault.
//!
//! Outputs are used in the order of their steps. A step's tokens may be those of requests that ended meanwhile: they are
//! discarded (a stop is only found when its token has been read back, one or two steps after the next was issued).

use crate::commands::{Command, FinishReason};
use crate::events::{Micros, StepFailure};
use crate::records::{ClientRows, StepRecord};
use crate::scheduler::{InFlight, Outcome, Scheduler};
use crate::sequence::Sequence;
use std::collections::BTreeMap;
use tilewright_plan::{Sampled, SequenceId, StepId};

/// Steps whose record is kept.
const RECORDS: usize = 128;

impl Scheduler {
    /// Notes a step's result, then uses all results up to the first that is still out.
    pub(crate) fn step_ended(&mut self, epoch: u64, step: StepId, outcome: Outcome, commands: &mut Vec<Command>) {
        if epoch != self.epoch {
            return;
        }
        let Some(ended) = self.in_flight.iter_mut().find(|other| other.step == step && other.result.is_none()) else {
            return;
        };
        ended.result = Some(outcome);
        while let Some(mut first) = self.in_flight.pop_front() {
            match first.result.take() {
                None => {
                    self.in_flight.push_front(first);
                    return;
                }
                Some(Ok((tokens, elapsed))) => {
                    self.measure(&first, elapsed);
                    self.settle(&first);
                    self.use_tokens(&first, tokens, commands);
                }
                Some(Err(failure)) => self.step_failed(&first, failure, commands),
            }
            self.pool.step_done(first.step);
        }
    }

    /// Learns from the step's time, and keeps a record for whoever looks.
    fn measure(&mut self, step: &InFlight, elapsed: Micros) {
        let decode = step.rows.iter().filter(|row| row.decodes).count();
        let prefill: usize = step.rows.iter().filter(|row| !row.decodes).map(|row| row.rows).sum();
        if decode + prefill == 0 {
            return;
        }
        self.times.observe(decode, prefill, elapsed, step.within_ms);
        if self.records.len() == RECORDS {
            self.records.pop_front();
        }
        let mut rows: BTreeMap<_, ClientRows> = BTreeMap::new();
        for row in &step.rows {
            let none = ClientRows { client: row.client, decode: 0, prefill: 0 };
            let of_client = rows.entry(row.client).or_insert(none);
            *(if row.decodes { &mut of_client.decode } else { &mut of_client.prefill }) += row.rows as u32;
        }
        self.records.push_back(StepRecord { step: step.step, rows: rows.into_values().collect(), elapsed });
    }

    /// What the step wrote is there: full blocks of it can be shared from now on.
    fn settle(&mut self, step: &InFlight) {
        let block_size = self.block_size();
        for row in &step.rows {
            let Some(sequence) = self.sequences.get_mut(&row.arrival) else { continue };
            // A preemption may have unseated it since, and seated it elsewhere.
            if sequence.open != Some(row.sequence) {
                continue;
            }
            sequence.settled = sequence.settled.max(row.end);
            while let Some(index) = sequence.next_to_publish(block_size) {
                let block = sequence.table[index];
                let (parent, name, tokens) = sequence.block_name(index, block_size);
                self.pool.publish(block, parent, name, tokens);
            }
        }
    }

    fn use_tokens(&mut self, step: &InFlight, tokens: Vec<Sampled>, commands: &mut Vec<Command>) {
        let mut tokens: BTreeMap<SequenceId, Sampled> =
            tokens.into_iter().map(|sampled| (sampled.sequence, sampled)).collect();
        for row in step.rows.iter().filter(|row| row.samples) {
            // Absent if it ended meanwhile; not pending if it is to be computed again.
            let Some(sequence) = self.sequences.get_mut(&row.arrival) else { continue };
            if sequence.pending.front() != Some(&step.step) {
                continue;
            }
            let Some(sampled) = tokens.remove(&row.sequence) else {
                // An executor may forget the tokens of a sequence that a later step closed: it was preempted.
                sequence.pending.clear();
                self.preempt(row.arrival);
                continue;
            };
            sequence.pending.pop_front();
            let end = sequence.push(sampled.token, self.limit);
            let Sequence { client, request, next_seq: seq, .. } = *sequence;
            sequence.next_seq += 1;
            commands.push(Command::Emit { client, request, seq, tokens: vec![sampled] });
            if let Some(reason) = end {
                self.finish(row.arrival, reason, commands);
            }
        }
    }

    /// Ends the requests at fault and has the step's others computed again from their known tokens.
    fn step_failed(&mut self, step: &InFlight, failure: StepFailure, commands: &mut Vec<Command>) {
        let refused = failure == StepFailure::Refused;
        if refused && step.collateral {
            self.to_close.extend(&step.closes); // A plan at fault itself may be so for what it closes: not again.
        }
        for row in &step.rows {
            let Some(sequence) = self.sequences.get_mut(&row.arrival) else { continue };
            // Rows from before a preemption only matter for the token that they sample.
            let concerned = sequence.open == Some(row.sequence) || sequence.pending.contains(&step.step);
            if refused && row.opens && sequence.open == Some(row.sequence) {
                sequence.open = None;
            }
            let at_fault = match failure {
                StepFailure::Refused => !step.collateral,
                StepFailure::NotFinite(sequence) => sequence == row.sequence,
            };
            if at_fault {
                self.finish(row.arrival, FinishReason::Failed, commands);
            } else if concerned {
                sequence.pending.clear();
                self.preempt(row.arrival);
            }
        }
        if refused {
            // What it should have opened is not open, so there is nothing to close.
            let opened = |sequence| step.rows.iter().any(|row| row.opens && row.sequence == sequence);
            self.to_close.retain(|&sequence| !opened(sequence));
            for later in &mut self.in_flight {
                later.closes.retain(|&sequence| !opened(sequence));
            }
        }
        for later in &mut self.in_flight {
            later.collateral = true;
        }
    }
}
