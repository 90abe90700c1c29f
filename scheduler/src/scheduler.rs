//! The state, one handler per event, and the pump that keeps the executor busy.
//!
//! Every event first changes the books (a request comes, a token arrives, blocks go), then the pump plans steps until the
//! executor has as many in flight as it wants or nothing is left to compute. Nothing else ever plans: a step is driven by
//! whatever event made it possible.

use crate::block_pool::BlockPool;
use crate::clients::Clients;
use crate::commands::{Command, FinishReason};
use crate::config::Config;
use crate::events::{ClientId, Event, Micros, Millis, RequestId, StepFailure};
use crate::records::StepRecord;
use crate::sequence::{Arrival, Sequence};
use crate::step_times::StepTimes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tilewright_plan::{Capacity, Sampled, SequenceId, StepId};

/// The scheduler's state. See the crate's documentation.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: Config,
    /// The time of the event being handled.
    pub(crate) now: Millis,
    pub(crate) clients: Clients,
    /// Every live request, oldest first; each is in exactly one of `waiting` and `running`.
    pub(crate) sequences: BTreeMap<Arrival, Sequence>,
    pub(crate) waiting: BTreeSet<Arrival>,
    pub(crate) running: BTreeSet<Arrival>,
    pub(crate) names: BTreeMap<(ClientId, RequestId), Arrival>,
    pub(crate) pool: BlockPool,
    /// The admission that failed last, at which state of the pool: until an event changes something, it fails again.
    pub(crate) refused: Option<(Arrival, u64)>,
    /// The executor's, or the last one's.
    pub(crate) capacity: Option<Capacity>,
    pub(crate) ready: bool,
    pub(crate) epoch: u64,
    /// Most tokens that a request may have, prompt included.
    pub(crate) limit: usize,
    pub(crate) in_flight: VecDeque<InFlight>,
    pub(crate) to_close: Vec<SequenceId>,
    pub(crate) times: StepTimes,
    /// Steps in a row without a row that decodes.
    pub(crate) prefill_only: u32,
    /// The latest steps that are done.
    pub(crate) records: VecDeque<StepRecord>,
    pub(crate) next_arrival: u64,
    pub(crate) admissions: u64,
    /// Chunks planned so far.
    pub(crate) chunks: u64,
    pub(crate) next_step: StepId,
    pub(crate) next_sequence: SequenceId,
}

/// How a step ended.
pub(crate) type Outcome = Result<(Vec<Sampled>, Micros), StepFailure>;

/// A step whose output is not used yet.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) step: StepId,
    pub(crate) rows: Vec<InFlightRow>,
    pub(crate) closes: Vec<SequenceId>,
    /// An earlier step failed while this one was in flight: if it fails too, that is not its own requests' fault.
    pub(crate) collateral: bool,
    /// Milliseconds that it may take.
    pub(crate) within_ms: f64,
    /// Waits for the steps before it.
    pub(crate) result: Option<Outcome>,
}

/// One chunk of a step in flight.
#[derive(Debug)]
pub(crate) struct InFlightRow {
    pub(crate) arrival: Arrival,
    pub(crate) sequence: SequenceId,
    pub(crate) client: ClientId,
    pub(crate) rows: usize,
    /// Positions computed when it is done.
    pub(crate) end: usize,
    /// The one row of a sequence that is computed up to its last token.
    pub(crate) decodes: bool,
    pub(crate) samples: bool,
    pub(crate) opens: bool,
}

impl Scheduler {
    /// No request, and no executor until [`Event::ExecutorReady`] with epoch 0.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: Millis(0),
            clients: Clients::default(),
            sequences: BTreeMap::new(),
            waiting: BTreeSet::new(),
            running: BTreeSet::new(),
            names: BTreeMap::new(),
            pool: BlockPool::default(),
            refused: None,
            capacity: None,
            ready: false,
            epoch: 0,
            limit: usize::MAX,
            in_flight: VecDeque::new(),
            to_close: Vec::new(),
            times: StepTimes::new(config.first_prefill_rows),
            prefill_only: 0,
            records: VecDeque::new(),
            next_arrival: 0,
            admissions: 0,
            chunks: 0,
            next_step: StepId(0),
            next_sequence: SequenceId(0),
        }
    }

    /// Takes note of an event and says what to do.
    pub fn handle(&mut self, event: Event, now: Millis) -> Vec<Command> {
        self.now = self.now.max(now);
        let mut commands = Vec::new();
        if self.note(event, &mut commands) {
            // Whatever has changed, an admission that failed may now succeed.
            self.refused = None;
            self.pump(&mut commands);
        }
        commands
    }

    /// Changes the books. Says whether there may be something new to plan: most acknowledgements change nothing.
    fn note(&mut self, event: Event, commands: &mut Vec<Command>) -> bool {
        match event {
            Event::Submit { client, request, spec } => self.submit(client, request, spec, commands),
            Event::Cancel { client, request } => {
                if let Some(&arrival) = self.names.get(&(client, request)) {
                    self.finish(arrival, FinishReason::Cancelled, commands);
                }
            }
            Event::ClientHello { client } => self.clients.hello(client),
            Event::ClientGone { client } => {
                for arrival in self.arrivals(|sequence| sequence.client == client) {
                    self.finish(arrival, FinishReason::Cancelled, commands);
                }
                self.clients.gone(client);
            }
            Event::ClientState { client, visible, focused, frozen } => {
                self.clients.set_state(client, visible, focused, frozen);
            }
            Event::Ack { client, request, seq } => return self.acknowledge(client, request, seq),
            Event::StepDone { epoch, step, tokens, elapsed } => {
                self.step_ended(epoch, step, Ok((tokens, elapsed)), commands);
            }
            Event::StepFailed { epoch, step, failure } => self.step_ended(epoch, step, Err(failure), commands),
            Event::ExecutorLost { epoch, moved } => self.executor_lost(epoch, moved, commands),
            Event::ExecutorReady { epoch, capacity } => self.executor_ready(epoch, capacity, commands),
            Event::Capacity { blocks } => self.resize(blocks, commands),
        }
        true
    }

    /// Most tokens that a request may have, prompt included; `None` before the first executor.
    pub fn limit(&self) -> Option<usize> {
        self.capacity.map(|_| self.limit)
    }

    /// Takes note of what a client has received. Says whether that set a request in motion again.
    fn acknowledge(&mut self, client: ClientId, request: RequestId, seq: u64) -> bool {
        let window = self.config.credit_window;
        let Some(sequence) = self.names.get(&(client, request)).and_then(|arrival| self.sequences.get_mut(arrival))
        else {
            return false;
        };
        let was_parked = sequence.out_of_credit(window);
        if seq < sequence.next_seq {
            sequence.acknowledged = sequence.acknowledged.max(seq + 1);
        }
        was_parked && !sequence.out_of_credit(window)
    }

    /// Ends a request, whatever it is doing. Nothing is emitted for it any more.
    pub(crate) fn finish(&mut self, arrival: Arrival, reason: FinishReason, commands: &mut Vec<Command>) {
        self.unseat(arrival);
        self.waiting.remove(&arrival);
        if let Some(Sequence { client, request, cached, .. }) = self.sequences.remove(&arrival) {
            self.names.remove(&(client, request));
            commands.push(Command::Finish { client, request, reason, cached_tokens: cached as u32 });
        }
    }

    /// Takes a running request's blocks back, to be recomputed later. Its tokens stay, and so do those under way.
    pub(crate) fn preempt(&mut self, arrival: Arrival) {
        self.unseat(arrival);
        self.waiting.insert(arrival);
        if let Some(sequence) = self.sequences.get_mut(&arrival) {
            sequence.waiting_since = self.now;
        }
    }

    fn unseat(&mut self, arrival: Arrival) {
        let Some(sequence) = self.sequences.get_mut(&arrival) else { return };
        let newest_step = sequence.newest_step;
        let (blocks, open) = sequence.unseat();
        self.to_close.extend(open);
        self.pool.release(blocks.into_iter(), newest_step);
        self.running.remove(&arrival);
    }

    /// The running requests, oldest first.
    pub(crate) fn seated(&self) -> impl Iterator<Item = (Arrival, &Sequence)> {
        self.running.iter().filter_map(|arrival| Some((*arrival, self.sequences.get(arrival)?)))
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
