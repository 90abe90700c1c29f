//! A scheduler, a fake executor and clients that look closely: after each event the invariants are checked.

#![allow(dead_code, unreachable_pub)]

mod invariants;

use crate::fake::{FakeModel, next_token};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tilewright_plan::{Capacity, Sampled, StepId, StepPlan, TokenId};
use tilewright_scheduler::{
    ClientId, Command, Config, Event, FinishReason, Micros, Millis, RejectReason, RequestId, RequestSpec, Scheduler,
    StepFailure,
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

/// Without limits to the first chunks of prompts, so that steps are as large as the executor takes.
pub fn config() -> Config {
    Config { first_prefill_rows: u32::MAX, ..Config::default() }
}

/// A scheduler over `blocks` blocks.
pub fn rig(blocks: u32, block_size: u32, depth: u32) -> Rig {
    Rig::new(config(), capacity(blocks, block_size, depth))
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
    pub config: Config,
    pub scheduler: Scheduler,
    pub fake: FakeModel,
    pub now: Millis,
    pub ready: bool,
    pub issued: VecDeque<Issued>,
    /// Everything that happened and what was wanted then, to be played again.
    pub script: Vec<(Event, Millis, Vec<Command>)>,
    /// Every plan ever issued.
    pub plans: Vec<StepPlan>,
    pub streams: BTreeMap<Name, Stream>,
    pub rejected: Vec<(Name, RejectReason)>,
    pub wanted_epoch: u64,
    /// What a step takes.
    pub step_time: Box<dyn Fn(&StepPlan) -> Micros>,
    /// Clients that acknowledge nothing by themselves.
    pub silent: BTreeSet<ClientId>,
    /// Leaves out the tokens of sequences that were closed while their step was out, as executors may.
    pub forgetful: bool,
    /// The next plan is refused.
    pub refuse_next: bool,
    /// A refused step was issued and not reported yet: plans that build on it can't be right.
    pub refused: BTreeSet<StepId>,
    /// Failures reported, and waiting for results of earlier steps.
    failing: BTreeSet<StepId>,
    unacknowledged: Vec<(ClientId, RequestId, u64)>,
    /// The newest step that was out when a failure was last used.
    barrier: Option<StepId>,
    pub gone: BTreeSet<ClientId>,
}

impl Rig {
    pub fn new(config: Config, capacity: Capacity) -> Self {
        let mut rig = Self {
            config,
            scheduler: Scheduler::new(config),
            fake: FakeModel::new(capacity),
            now: Millis(0),
            ready: true,
            issued: VecDeque::new(),
            script: Vec::new(),
            plans: Vec::new(),
            streams: BTreeMap::new(),
            rejected: Vec::new(),
            wanted_epoch: 0,
            step_time: Box::new(|_| Micros(5_000)),
            silent: BTreeSet::new(),
            forgetful: false,
            refuse_next: false,
            refused: BTreeSet::new(),
            failing: BTreeSet::new(),
            unacknowledged: Vec::new(),
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
        let before = self.scheduler.snapshot();
        let commands = self.scheduler.handle(event.clone(), self.now);
        let out = self.scheduler.snapshot().in_flight;
        if self.failing.iter().any(|step| !out.contains(step)) {
            self.failing.retain(|step| out.contains(step));
            self.barrier = newest;
        }
        for command in &commands {
            self.carry_out(command);
        }
        let after = self.scheduler.snapshot();
        invariants::check(self, &before, &after, &event, &commands);
        self.script.push((event, self.now, commands.clone()));
        let mut all = commands;
        for (client, request, seq) in std::mem::take(&mut self.unacknowledged) {
            all.extend(self.send(Event::Ack { client, request, seq }));
        }
        all
    }

    pub fn state(&mut self, client: u64, visible: bool, focused: bool, frozen: bool) -> Vec<Command> {
        self.send(Event::ClientState { client: ClientId(client), visible, focused, frozen })
    }

    /// Reports the step at `index` of those issued.
    pub fn report(&mut self, index: usize) -> Vec<Command> {
        let Some(Issued { epoch, step, mut result, plan }) = self.issued.remove(index) else { return Vec::new() };
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
            Ok(tokens) => Event::StepDone { epoch, step, tokens, elapsed: (self.step_time)(&plan) },
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
        self.send(Event::ExecutorLost { epoch, moved: false })
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

    /// Follows what the scheduler wants, and checks that it may want it.
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
                if !self.silent.contains(client) {
                    self.unacknowledged.push((*client, *request, *seq));
                }
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
}
