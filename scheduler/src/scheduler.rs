//! One handler per event, and the pump that keeps the executor busy.
//!
//! Every event first changes the books (a request comes, a token arrives, blocks go), then the pump plans steps until the
//! executor has as many in flight as it wants or nothing is left to compute. Nothing else ever plans: a step is driven by
//! whatever event made it possible.
//!
//! Outputs are used in the order of their steps. A step's tokens may be those of requests that ended meanwhile: they are
//! discarded (a stop is only found when its token has been read back, one or two steps after the next was issued).

use crate::block_pool::BlockPool;
use crate::commands::{Command, FinishReason, QueueScope, RejectReason};
use crate::config::Config;
use crate::events::{ClientId, Event, Millis, RequestId, RequestSpec, StepFailure};
use crate::sequence::{Arrival, Sequence};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tilewright_plan::{Capacity, Sampled, SequenceId, StepId};

/// The scheduler's state. See the crate's documentation.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: Config,
    /// Every live request, oldest first; each is in exactly one of `waiting` and `running`.
    pub(crate) sequences: BTreeMap<Arrival, Sequence>,
    pub(crate) waiting: BTreeSet<Arrival>,
    pub(crate) running: BTreeSet<Arrival>,
    names: BTreeMap<(ClientId, RequestId), Arrival>,
    pub(crate) pool: BlockPool,
    /// The executor's, or the last one's.
    pub(crate) capacity: Option<Capacity>,
    pub(crate) ready: bool,
    pub(crate) epoch: u64,
    /// Most tokens that a request may have, prompt included.
    pub(crate) limit: usize,
    pub(crate) in_flight: VecDeque<InFlight>,
    pub(crate) to_close: Vec<SequenceId>,
    next_arrival: u64,
    pub(crate) next_step: StepId,
    pub(crate) next_sequence: SequenceId,
}

/// A step whose output is not used yet.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) step: StepId,
    pub(crate) rows: Vec<InFlightRow>,
    pub(crate) closes: Vec<SequenceId>,
    /// An earlier step failed while this one was in flight: if it fails too, that is not its own requests' fault.
    pub(crate) collateral: bool,
    /// Waits for the steps before it.
    pub(crate) result: Option<Result<Vec<Sampled>, StepFailure>>,
}

/// One chunk of a step in flight.
#[derive(Debug)]
pub(crate) struct InFlightRow {
    pub(crate) arrival: Arrival,
    pub(crate) sequence: SequenceId,
    pub(crate) samples: bool,
    pub(crate) opens: bool,
}

impl Scheduler {
    /// No request, and no executor until [`Event::ExecutorReady`] with epoch 0.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            sequences: BTreeMap::new(),
            waiting: BTreeSet::new(),
            running: BTreeSet::new(),
            names: BTreeMap::new(),
            pool: BlockPool::default(),
            capacity: None,
            ready: false,
            epoch: 0,
            limit: usize::MAX,
            in_flight: VecDeque::new(),
            to_close: Vec::new(),
            next_arrival: 0,
            next_step: StepId(0),
            next_sequence: SequenceId(0),
        }
    }

    /// Takes note of an event and says what to do.
    pub fn handle(&mut self, event: Event, now: Millis) -> Vec<Command> {
        let mut commands = Vec::new();
        match event {
            Event::Submit { client, request, spec } => self.submit(client, request, spec, &mut commands),
            Event::Cancel { client, request } => {
                if let Some(&arrival) = self.names.get(&(client, request)) {
                    self.finish(arrival, FinishReason::Cancelled, &mut commands);
                }
            }
            Event::ClientGone { client } => {
                for arrival in self.arrivals(|sequence| sequence.client == client) {
                    self.finish(arrival, FinishReason::Cancelled, &mut commands);
                }
            }
            Event::StepDone { epoch, step, tokens, elapsed: _ } => {
                self.step_ended(epoch, step, Ok(tokens), &mut commands);
            }
            Event::StepFailed { epoch, step, failure } => self.step_ended(epoch, step, Err(failure), &mut commands),
            Event::ExecutorLost { epoch } => self.executor_lost(epoch, now, &mut commands),
            Event::ExecutorReady { epoch, capacity } => self.executor_ready(epoch, capacity, &mut commands),
            Event::Capacity { blocks } => self.resize(blocks, &mut commands),
            Event::ClientHello { .. } | Event::ClientState { .. } | Event::Ack { .. } => {}
        }
        self.pump(&mut commands);
        commands
    }

    /// Most tokens that a request may have, prompt included; `None` before the first executor.
    pub fn limit(&self) -> Option<usize> {
        self.capacity.map(|_| self.limit)
    }

    fn submit(&mut self, client: ClientId, request: RequestId, spec: RequestSpec, commands: &mut Vec<Command>) {
        if let Err(reason) = self.admissible(client, request, &spec) {
            commands.push(Command::Reject { client, request, reason });
            return;
        }
        let arrival = Arrival(self.next_arrival);
        self.next_arrival += 1;
        let nothing_to_do = spec.max_tokens == 0;
        self.names.insert((client, request), arrival);
        self.sequences.insert(arrival, Sequence::new(client, request, spec));
        self.waiting.insert(arrival);
        if nothing_to_do {
            self.finish(arrival, FinishReason::Length, commands);
        }
    }

    fn admissible(&self, client: ClientId, request: RequestId, spec: &RequestSpec) -> Result<(), RejectReason> {
        if self.names.contains_key(&(client, request)) {
            return Err(RejectReason::DuplicateRequest(request));
        }
        if spec.prompt.is_empty() {
            return Err(RejectReason::EmptyPrompt);
        }
        if spec.prompt.len() >= self.limit {
            let limit = self.limit.saturating_sub(1) as u64;
            return Err(RejectReason::PromptTooLong { tokens: spec.prompt.len() as u64, limit });
        }
        if let Some(capacity) = self.capacity
            && let Some(&token) = spec.prompt.iter().find(|token| token.0 >= capacity.vocabulary)
        {
            return Err(RejectReason::UnknownToken { token, vocabulary: capacity.vocabulary });
        }
        // Preempted requests were let in once: they don't count.
        let fresh = || {
            self.waiting.iter().filter_map(|arrival| self.sequences.get(arrival)).filter(|sequence| !sequence.started)
        };
        let own = fresh().filter(|sequence| sequence.client == client).count();
        let all = fresh().count();
        if own >= self.config.max_waiting_per_client as usize {
            return Err(RejectReason::QueueFull { scope: QueueScope::Client, waiting: own as u64 });
        }
        if all >= self.config.max_waiting as usize {
            return Err(RejectReason::QueueFull { scope: QueueScope::Global, waiting: all as u64 });
        }
        Ok(())
    }

    /// Ends a request, whatever it is doing. Nothing is emitted for it any more.
    fn finish(&mut self, arrival: Arrival, reason: FinishReason, commands: &mut Vec<Command>) {
        self.unseat(arrival);
        self.waiting.remove(&arrival);
        if let Some(Sequence { client, request, .. }) = self.sequences.remove(&arrival) {
            self.names.remove(&(client, request));
            commands.push(Command::Finish { client, request, reason, cached_tokens: 0 });
        }
    }

    /// Takes a running request's blocks back, to be recomputed later. Its tokens stay, and so do those under way.
    pub(crate) fn preempt(&mut self, arrival: Arrival) {
        self.unseat(arrival);
        self.waiting.insert(arrival);
    }

    fn unseat(&mut self, arrival: Arrival) {
        let Some(sequence) = self.sequences.get_mut(&arrival) else { return };
        let newest_step = sequence.newest_step;
        let (blocks, open) = sequence.unseat();
        self.to_close.extend(open);
        let fence = newest_step.filter(|step| self.in_flight.iter().any(|other| other.step == *step));
        self.pool.release(blocks, fence);
        self.running.remove(&arrival);
    }

    /// Notes a step's result, then uses all results up to the first that is still out.
    fn step_ended(
        &mut self,
        epoch: u64,
        step: StepId,
        result: Result<Vec<Sampled>, StepFailure>,
        commands: &mut Vec<Command>,
    ) {
        if epoch != self.epoch {
            return;
        }
        let Some(ended) = self.in_flight.iter_mut().find(|other| other.step == step && other.result.is_none()) else {
            return;
        };
        ended.result = Some(result);
        while let Some(mut first) = self.in_flight.pop_front() {
            match first.result.take() {
                None => {
                    self.in_flight.push_front(first);
                    return;
                }
                Some(Ok(tokens)) => self.use_tokens(&first, tokens, commands),
                Some(Err(failure)) => self.step_failed(&first, failure, commands),
            }
            self.pool.step_done(first.step);
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

    fn executor_lost(&mut self, epoch: u64, now: Millis, commands: &mut Vec<Command>) {
        if epoch != self.epoch {
            return;
        }
        self.epoch += 1;
        self.ready = false;
        self.in_flight.clear();
        self.pool = BlockPool::default();
        for sequence in self.sequences.values_mut() {
            sequence.unseat();
            sequence.pending.clear();
        }
        self.to_close.clear();
        for arrival in std::mem::take(&mut self.running) {
            let Some(sequence) = self.sequences.get_mut(&arrival) else { continue };
            let again = sequence.lost_at.is_some_and(|before| now.since(before) < self.config.loss_window);
            sequence.lost_at = Some(now);
            self.waiting.insert(arrival);
            if again {
                self.finish(arrival, FinishReason::DeviceLost, commands);
            }
        }
        commands.push(Command::WantExecutor { epoch: self.epoch });
    }

    fn executor_ready(&mut self, epoch: u64, capacity: Capacity, commands: &mut Vec<Command>) {
        if epoch != self.epoch || self.ready {
            return;
        }
        self.ready = true;
        let capacity = Capacity { block_size: capacity.block_size.max(1), depth: capacity.depth.max(1), ..capacity };
        self.capacity = Some(capacity);
        self.pool = BlockPool::new(capacity.blocks);
        self.end_what_no_longer_fits(commands);
    }

    fn resize(&mut self, blocks: u32, commands: &mut Vec<Command>) {
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

    fn arrivals(&self, matching: impl Fn(&Sequence) -> bool) -> Vec<Arrival> {
        self.sequences.iter().filter(|(_, sequence)| matching(sequence)).map(|(&arrival, _)| arrival).collect()
    }

    pub(crate) fn block_size(&self) -> usize {
        self.capacity.map_or(1, |capacity| capacity.block_size as usize)
    }

    /// Issues steps while the executor takes them, and seats newcomers meanwhile.
    fn pump(&mut self, commands: &mut Vec<Command>) {
        let Some(capacity) = self.capacity.filter(|_| self.ready) else { return };
        // Steps that were out when one failed may fail for its sake. What was built on them would too, and so on for ever,
        // so they come back first.
        if self.in_flight.iter().any(|step| step.collateral) {
            return;
        }
        let mut may_admit = true;
        while self.in_flight.len() < capacity.depth as usize
            && let Some((plan, in_flight)) = self.plan_step(&capacity, &mut may_admit)
        {
            commands.push(Command::RunStep { epoch: self.epoch, step: in_flight.step, plan });
            self.in_flight.push_back(in_flight);
        }
        // Admission is immediate even while all steps are out: only what really waits for blocks counts as waiting.
        if may_admit {
            self.admit(&capacity);
        }
    }
}
