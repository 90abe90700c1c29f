//! A scheduler, a fake executor and clients that look closely: after each event the invariants are checked.

#![allow(dead_code, unreachable_pub)]

use crate::fake::{FakeModel, next_token};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tilewright_plan::{Capacity, Sampled, StepId, StepPlan, TokenId};
use tilewright_scheduler::{
    BlockState, ClientId, Command, Config, Event, FinishReason, Micros, Millis, RejectReason, RequestId, RequestSpec,
    Scheduler, Snapshot, StepFailure,
};

pub type Name = (ClientId, RequestId);

pub fn name(client: u64, request: u64) -> Name {
    (ClientId(client), RequestId(request))
}

pub fn tokens(ids: impl IntoIterator<Item = u32>) -> Vec<TokenId> {
    ids.into_iter().map(TokenId).collect()
}

pub fn capacity(blocks: u32, block_size: u32, depth: u32) -> Capacity {
    Capacity { blocks, block_size, max_rows: 64, max_chunks: 16, max_context: 10_000, vocabulary: 50, depth }
}

/// A scheduler over `blocks` blocks.
pub fn rig(blocks: u32, block_size: u32, depth: u32) -> Rig {
    Rig::new(Config::default(), capacity(blocks, block_size, depth))
}

/// A request for `max_tokens` after a prompt of its own.
pub fn spec(prompt_len: u32, max_tokens: u32) -> RequestSpec {
    RequestSpec::new(tokens((0..prompt_len).map(|position| (position * 7 + prompt_len) % 50)), max_tokens)
}

/// Its prompt is unlike the others'.
pub fn spec_of(client: u32, prompt_len: u32, max_tokens: u32) -> RequestSpec {
    RequestSpec::new(tokens((0..prompt_len).map(|position| (position * 3 + client * 11) % 50)), max_tokens)
}

/// Whether no block is in use.
pub fn all_free(rig: &Rig) -> bool {
    let (total, free) = rig.scheduler.free_blocks();
    total == free
}

/// What a request says when nobody else is there.
pub fn alone(spec: &RequestSpec, vocabulary: u32, limit: usize) -> (Vec<TokenId>, FinishReason) {
    let mut all = spec.prompt.clone();
    let mut generated = Vec::new();
    while generated.len() < spec.max_tokens as usize && all.len() < limit {
        let token = next_token(&all, vocabulary);
        all.push(token);
        generated.push(token);
        let stops = spec.stop_ids.contains(&token) || (spec.eos_ids.contains(&token) && !spec.ignore_eos);
        if stops && generated.len() >= spec.min_tokens as usize {
            return (generated, FinishReason::Stop);
        }
    }
    (generated, FinishReason::Length)
}

/// A step that was issued, and what it will say.
pub struct Issued {
    pub epoch: u64,
    pub step: StepId,
    pub plan: StepPlan,
    pub result: Result<Vec<Sampled>, StepFailure>,
}

/// One request as its client sees it.
#[derive(Debug, Default)]
pub struct Stream {
    pub tokens: Vec<TokenId>,
    pub emits: u64,
    pub end: Option<FinishReason>,
}

pub struct Rig {
    pub scheduler: Scheduler,
    pub fake: FakeModel,
    pub now: Millis,
    pub ready: bool,
    pub issued: VecDeque<Issued>,
    /// Every plan ever issued.
    pub plans: Vec<StepPlan>,
    pub streams: BTreeMap<Name, Stream>,
    pub rejected: Vec<(Name, RejectReason)>,
    pub wanted_epoch: u64,
    /// Leaves out the tokens of sequences that were closed while their step was out, as executors may.
    pub forgetful: bool,
    /// The next plan is refused.
    pub refuse_next: bool,
    /// A refused step was issued and not reported yet: plans that build on it can't be right.
    pub refused: BTreeSet<StepId>,
    /// Failures reported, and waiting for results of earlier steps.
    failing: BTreeSet<StepId>,
    /// The newest step that was out when a failure was last used.
    barrier: Option<StepId>,
    gone: BTreeSet<ClientId>,
}

impl Rig {
    pub fn new(config: Config, capacity: Capacity) -> Self {
        let mut rig = Self {
            scheduler: Scheduler::new(config),
            fake: FakeModel::new(capacity),
            now: Millis(0),
            ready: true,
            issued: VecDeque::new(),
            plans: Vec::new(),
            streams: BTreeMap::new(),
            rejected: Vec::new(),
            wanted_epoch: 0,
            forgetful: false,
            refuse_next: false,
            refused: BTreeSet::new(),
            failing: BTreeSet::new(),
            barrier: None,
            gone: BTreeSet::new(),
        };
        rig.send(Event::ExecutorReady { epoch: 0, capacity });
        rig
    }

    pub fn submit(&mut self, client: u64, request: u64, spec: RequestSpec) -> Vec<Command> {
        let (client, request) = name(client, request);
        self.send(Event::Submit { client, request, spec })
    }

    pub fn cancel(&mut self, client: u64, request: u64) -> Vec<Command> {
        let (client, request) = name(client, request);
        self.send(Event::Cancel { client, request })
    }

    /// Hands an event over, carries the commands out and checks everything.
    pub fn send(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Submit { client, .. } => _ = self.gone.remove(&client),
            Event::ClientGone { client } => _ = self.gone.insert(client),
            _ => {}
        }
        let newest = self.issued.iter().map(|issued| issued.step).max();
        let commands = self.scheduler.handle(event, self.now);
        let out = self.scheduler.snapshot().in_flight;
        if self.failing.iter().any(|step| !out.contains(step)) {
            self.failing.retain(|step| out.contains(step));
            self.barrier = newest;
        }
        for command in &commands {
            self.carry_out(command);
        }
        self.check();
        commands
    }

    /// Reports the step at `index` of those issued.
    pub fn report(&mut self, index: usize) -> Vec<Command> {
        let Some(Issued { epoch, step, mut result, .. }) = self.issued.remove(index) else { return Vec::new() };
        // Outputs are used in order: those before the oldest that is still out are done for good.
        let oldest = self.issued.iter().find(|other| other.epoch == self.wanted_epoch).map(|other| other.step);
        self.fake.finish_before(oldest);
        self.refused.retain(|done| oldest.is_some_and(|oldest| *done >= oldest));
        match &mut result {
            Ok(tokens) if self.forgetful => tokens.retain(|sampled| self.fake.open.contains_key(&sampled.sequence)),
            Ok(_) => {}
            Err(_) => _ = self.failing.insert(step),
        }
        self.send(match result {
            Ok(tokens) => Event::StepDone { epoch, step, tokens, elapsed: Micros(5_000) },
            Err(failure) => Event::StepFailed { epoch, step, failure },
        })
    }

    pub fn step(&mut self) -> Vec<Command> {
        self.report(0)
    }

    /// Until nothing is in flight.
    pub fn drain(&mut self) {
        let mut steps = 0;
        while !self.issued.is_empty() {
            self.step();
            steps += 1;
            assert!(steps < 100_000, "goes on for ever: {:#?}", self.scheduler.snapshot());
        }
    }

    /// The executor is gone; steps in flight may still be reported, too late.
    pub fn lose(&mut self) -> Vec<Command> {
        self.ready = false;
        let epoch = self.wanted_epoch;
        self.send(Event::ExecutorLost { epoch })
    }

    pub fn recover(&mut self) -> Vec<Command> {
        if self.ready {
            return Vec::new();
        }
        self.ready = true;
        let capacity = self.fake.capacity;
        self.fake = FakeModel::new(capacity);
        let epoch = self.wanted_epoch;
        self.send(Event::ExecutorReady { epoch, capacity })
    }

    pub fn resize(&mut self, blocks: u32) -> Vec<Command> {
        self.fake.resize(blocks);
        self.send(Event::Capacity { blocks })
    }

    pub fn stream(&self, client: u64, request: u64) -> &Stream {
        &self.streams[&name(client, request)]
    }

    /// Rows of each chunk of plan number `index`.
    pub fn rows(&self, index: usize) -> Vec<usize> {
        self.plans[index].chunks.iter().map(|chunk| chunk.tokens.len()).collect()
    }

    fn carry_out(&mut self, command: &Command) {
        match command {
            Command::RunStep { epoch, step, plan } => {
                assert_eq!((*epoch, self.ready), (self.wanted_epoch, true), "a step for an executor that is gone");
                assert!(plan.rows() <= self.fake.capacity.max_rows as usize);
                let result = if std::mem::take(&mut self.refuse_next) {
                    Err(StepFailure::Refused)
                } else {
                    match self.fake.run(*step, plan) {
                        Ok(sampled) => Ok(sampled),
                        Err(_) if !self.refused.is_empty() => Err(StepFailure::Refused),
                        Err(rule) => panic!("{rule}"),
                    }
                };
                if result == Err(StepFailure::Refused) {
                    self.refused.insert(*step);
                }
                self.plans.push(plan.clone());
                self.issued.push_back(Issued { epoch: *epoch, step: *step, plan: plan.clone(), result });
            }
            Command::Emit { client, request, seq, tokens } => {
                assert!(!self.gone.contains(client), "emits to a client that is gone");
                let stream = self.streams.entry((*client, *request)).or_default();
                assert_eq!(stream.end, None, "emits after the end");
                assert_eq!(*seq, stream.emits, "emits out of sequence");
                assert!(!tokens.is_empty());
                stream.emits += 1;
                stream.tokens.extend(tokens.iter().map(|sampled| sampled.token));
            }
            Command::Finish { client, request, reason, .. } => {
                let stream = self.streams.entry((*client, *request)).or_default();
                assert_eq!(stream.end, None, "ends twice");
                stream.end = Some(*reason);
            }
            Command::Reject { client, request, reason } => self.rejected.push(((*client, *request), reason.clone())),
            Command::WantExecutor { epoch } => self.wanted_epoch = *epoch,
        }
    }

    fn check(&self) {
        let snapshot = self.scheduler.snapshot();
        let Snapshot { blocks, running, waiting, in_flight, .. } = &snapshot;
        let count = |wanted: fn(&BlockState) -> bool| blocks.iter().filter(|block| wanted(block)).count();
        let free = count(|block| *block == BlockState::Free);
        assert_eq!(self.scheduler.free_blocks(), (blocks.len() as u32, free as u32), "I1: {snapshot:#?}");
        let mut tables = BTreeMap::new();
        for sequence in running {
            for block in &sequence.block_table {
                *tables.entry(block.0).or_insert(0) += 1;
            }
            assert!(sequence.computed <= sequence.block_table.len() * self.fake.capacity.block_size as usize, "I7");
            assert!(sequence.computed <= sequence.tokens + sequence.pending, "I6");
        }
        for sequence in waiting {
            assert!(sequence.block_table.is_empty(), "a waiting request holds blocks: {snapshot:#?}");
        }
        for (id, block) in (0..).zip(blocks) {
            let references = if let BlockState::Referenced(references) = block { *references } else { 0 };
            assert_eq!(references, tables.get(&id).copied().unwrap_or(0), "I2: block {id} of {snapshot:#?}");
            if let BlockState::Fenced(step) = block {
                assert!(in_flight.contains(step), "block {id} waits for a step that is done: {snapshot:#?}");
            }
        }
        // I17: whoever could compute has a step out, or lacks a block that is on its way back.
        let fenced = count(|block| matches!(block, BlockState::Fenced(_)));
        // After a failure nothing is issued until all that was out is back.
        let held = self.barrier.is_some_and(|barrier| in_flight.iter().any(|step| *step <= barrier));
        if self.ready && !held && in_flight.len() < self.fake.capacity.depth as usize {
            for sequence in running {
                let slots = sequence.block_table.len() * self.fake.capacity.block_size as usize - sequence.computed;
                assert!(sequence.rows_left == 0 || (slots == 0 && fenced > 0), "I17: {snapshot:#?}");
            }
            assert!(running.len() + waiting.len() == 0 || !in_flight.is_empty(), "I17, nothing runs: {snapshot:#?}");
        }
    }
}
