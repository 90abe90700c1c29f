//! Random scripts of everything that can happen, on a machine small enough that everything does: blocks of 2 slots, at most
//! 12 of them, 4 clients, a vocabulary of 2 (so that prompts have beginnings in common), few tokens, time that jumps.
//!
//! The rig checks the invariants after each event and the fake model the rules of a plan; at a script's end everything that
//! is live comes to its end, and here stand I9, I20 and, above all, I21: each request says exactly what it says alone.
//!
//! The suite runs 100 000 operations. `TILEWRIGHT_SCHEDULER_SCRIPTS=100000 cargo test -p tilewright-scheduler --release
//! --test properties` runs longer.

mod fake;
mod rig;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use rig::{Name, Rig, alone};
use std::collections::BTreeMap;
use tilewright_plan::{Capacity, TokenId};
use tilewright_scheduler::{
    ClientId, Command, Config, Event, FinishReason, Micros, Millis, Priority, RequestId, RequestSpec, Scheduler,
    StepFailure,
};

const VOCABULARY: u32 = 2;
const BLOCK_SIZE: u32 = 2;
/// Operations in one script, on average half of it.
const LONGEST: usize = 400;

fn scripts() -> u32 {
    std::env::var("TILEWRIGHT_SCHEDULER_SCRIPTS").ok().and_then(|number| number.parse().ok()).unwrap_or(500)
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
enum Op {
    Submit {
        client: u64,
        request: u64,
        spec: RequestSpec,
        /// Tokens that an engine before this one had answered already.
        resumed: usize,
    },
    Cancel {
        client: u64,
        request: u64,
    },
    Hello {
        client: u64,
    },
    Gone {
        client: u64,
    },
    State {
        client: u64,
        visible: bool,
        focused: bool,
        frozen: bool,
    },
    /// A client that acknowledges nothing by itself, or does so again.
    Silent {
        client: u64,
        silent: bool,
    },
    Ack {
        client: u64,
        request: u64,
        seq: u64,
    },
    /// One of the steps in flight is reported.
    Report {
        which: usize,
    },
    Lose,
    Recover,
    Resize {
        blocks: u32,
    },
    NotFinite {
        which: usize,
    },
    Refuse,
    Wait {
        millis: u64,
    },
}

fn spec() -> impl Strategy<Value = RequestSpec> {
    let token = || (0..VOCABULARY).prop_map(TokenId);
    (
        prop::collection::vec(token(), 0..10),
        0..16_u32,
        0..6_u32,
        prop::option::weighted(0.2, token()),
        prop::option::weighted(0.2, token()),
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.2, prop::sample::select(vec!["a", "b"])),
    )
        .prop_map(|(prompt, max_tokens, min_tokens, stop, eos, ignore_eos, batch, salt)| RequestSpec {
            min_tokens,
            stop_ids: stop.into_iter().collect(),
            eos_ids: eos.into_iter().collect(),
            ignore_eos,
            priority: if batch { Priority::Batch } else { Priority::Interactive },
            cache_salt: salt.map(str::to_owned),
            ..RequestSpec::new(prompt, max_tokens)
        })
}

/// What clients do by themselves, and steps that end.
fn peaceful() -> BoxedStrategy<Op> {
    let submit = (0..4_u64, 0..8_u64, spec(), prop_oneof![4 => Just(0), 1 => 1..6_usize]);
    prop_oneof![
        80 => submit.prop_map(|(client, request, spec, resumed)| Op::Submit { client, request, spec, resumed }),
        250 => (0..3_usize).prop_map(|which| Op::Report { which }),
        10 => (0..4_u64, 0..8_u64).prop_map(|(client, request)| Op::Cancel { client, request }),
        5 => (0..4_u64).prop_map(|client| Op::Hello { client }),
        6 => (0..4_u64).prop_map(|client| Op::Gone { client }),
        20 => (0..4_u64, any::<bool>(), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(client, visible, focused, frozen)| Op::State { client, visible, focused, frozen }),
        5 => (0..4_u64, any::<bool>()).prop_map(|(client, silent)| Op::Silent { client, silent }),
        20 => (0..4_u64, 0..8_u64, 0..20_u64).prop_map(|(client, request, seq)| Op::Ack { client, request, seq }),
        10 => (1..40_000_u64).prop_map(|millis| Op::Wait { millis }),
    ]
    .boxed()
}

/// And what happens to executors.
fn anything() -> BoxedStrategy<Op> {
    prop_oneof![
        406 => peaceful(),
        4 => Just(Op::Lose),
        12 => Just(Op::Recover),
        8 => (1..=12_u32).prop_map(|blocks| Op::Resize { blocks }),
        4 => (0..3_usize).prop_map(|which| Op::NotFinite { which }),
        4 => Just(Op::Refuse),
    ]
    .boxed()
}

/// The machine that a script is played on. The script itself asks nothing of the state: whatever can happen may happen
/// at any time.
#[derive(Clone, Debug)]
struct Machine {
    capacity: Capacity,
    config: Config,
    forgetful: bool,
    /// Nothing but clients' own doings: then every request must come to the very end that it has alone.
    peaceful: bool,
    /// Microseconds of a step, of a row that decodes, of a row of a prompt.
    times: [u64; 2],
}

impl ReferenceStateMachine for Machine {
    type State = Self;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<Self> {
        let sizes = (1..=12_u32, 1..=8_u32, 1..=4_u32, 0..=3_u32, 1..=6_u32, prop::sample::select(vec![12_u32, 24]));
        let limits = (prop::sample::select(vec![2_u32, 5, 256]), 1..4_u32, prop::sample::select(vec![1_u32, 3, 32]));
        let times = [0..100_000_u64, 0..60_000_u64];
        (sizes, limits, times, any::<bool>(), any::<bool>())
            .prop_map(|(sizes, limits, times, forgetful, peaceful)| {
                let (blocks, max_rows, max_chunks, depth, max_prefill_rows, max_context) = sizes;
                let (credit_window, max_skipped_steps, first_prefill_rows) = limits;
                let block_size = BLOCK_SIZE;
                let vocabulary = VOCABULARY;
                let capacity = Capacity { blocks, block_size, max_rows, max_chunks, max_context, vocabulary, depth };
                let config = Config {
                    max_prefill_rows,
                    credit_window,
                    max_skipped_steps,
                    first_prefill_rows,
                    max_waiting: 6,
                    ..Config::default()
                };
                Self { capacity, config, forgetful, peaceful, times }
            })
            .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Op> {
        if state.peaceful { peaceful() } else { anything() }
    }

    fn apply(state: Self, _: &Op) -> Self {
        state
    }

    /// A script that is made shorter stays what it was.
    fn preconditions(_: &Self, _: &Op) -> bool {
        true
    }
}

/// One run of a script: each accepted request's specification next to what became of it. A request id may be used again
/// once it has ended, so the streams are collected as they end.
struct Played {
    machine: Machine,
    rig: Rig,
    outcomes: Vec<(RequestSpec, Vec<TokenId>, FinishReason)>,
    live: BTreeMap<Name, RequestSpec>,
    smallest_limit: usize,
}

impl Played {
    fn new(machine: Machine) -> Self {
        let mut rig = Rig::new(machine.config, machine.capacity);
        rig.forgetful = machine.forgetful;
        let [step, row] = machine.times;
        rig.step_time = Box::new(move |plan| Micros(step + row * plan.rows() as u64));
        let mut played = Self { machine, rig, outcomes: Vec::new(), live: BTreeMap::new(), smallest_limit: usize::MAX };
        played.smallest_limit = played.limit();
        played
    }

    fn limit(&self) -> usize {
        let capacity = self.rig.fake.capacity;
        (capacity.max_context as usize).min(capacity.blocks as usize * capacity.block_size as usize)
    }

    fn note(&mut self, commands: &[Command]) {
        for command in commands {
            if let Command::Finish { client, request, reason, cached_tokens } = command {
                let name = (*client, *request);
                let stream = self.rig.streams.remove(&name).expect("it was streamed");
                let spec = self.live.remove(&name).expect("only accepted requests end");
                let known = spec.prompt.len() + spec.generated.len();
                assert!((*cached_tokens as usize) < known, "the last token is always computed");
                let tokens = [&spec.generated[..], &stream.tokens[..]].concat();
                self.outcomes.push((spec, tokens, *reason));
            }
        }
    }

    fn submit(&mut self, client: u64, request: u64, mut spec: RequestSpec, resumed: usize) -> Vec<Command> {
        let known = alone(&spec, VOCABULARY, usize::MAX).0;
        // One that had come to its end would not be asked for again.
        spec.generated = known[..resumed.min(known.len().saturating_sub(1))].to_vec();
        let rejected = self.rig.rejected.len();
        let name = (ClientId(client), RequestId(request));
        let before = self.live.insert(name, spec.clone());
        let commands = self.rig.submit(client, request, spec);
        if self.rig.rejected.len() > rejected {
            self.live.remove(&name);
            self.live.extend(before.map(|spec| (name, spec)));
        }
        commands
    }

    fn play(&mut self, op: Op) {
        let commands = match op {
            Op::Submit { client, request, spec, resumed } => self.submit(client, request, spec, resumed),
            Op::Cancel { client, request } => self.rig.cancel(client, request),
            Op::Hello { client } => self.rig.send(Event::ClientHello { client: ClientId(client) }),
            Op::Gone { client } => self.rig.send(Event::ClientGone { client: ClientId(client) }),
            Op::State { client, visible, focused, frozen } => self.rig.state(client, visible, focused, frozen),
            Op::Silent { client, silent } => {
                if silent {
                    self.rig.silent.insert(ClientId(client));
                } else {
                    self.rig.silent.remove(&ClientId(client));
                }
                Vec::new()
            }
            Op::Ack { client, request, seq } => {
                self.rig.send(Event::Ack { client: ClientId(client), request: RequestId(request), seq })
            }
            Op::Report { which } => {
                let index = which % self.rig.issued.len().max(1);
                let stale = self.rig.issued.get(index).is_some_and(|issued| issued.epoch != self.rig.wanted_epoch);
                if stale {
                    // Time that has passed since the last event raises who waits, whatever the next one is: an event without effect first.
                    let (client, request) = (ClientId(u64::MAX), RequestId(u64::MAX));
                    let commands = self.rig.send(Event::Cancel { client, request });
                    self.note(&commands);
                }
                let before = self.rig.scheduler.snapshot();
                let commands = self.rig.report(index);
                if stale {
                    assert_eq!((&commands[..], self.rig.scheduler.snapshot()), (&[][..], before), "I19");
                }
                commands
            }
            Op::Lose => self.rig.lose(),
            Op::Recover => self.rig.recover(),
            Op::Resize { blocks } => self.rig.resize(blocks),
            Op::NotFinite { which } => {
                if let Some(issued) = self.rig.issued.front_mut()
                    && !issued.plan.chunks.is_empty()
                    && issued.result.is_ok()
                {
                    let chunk = &issued.plan.chunks[which % issued.plan.chunks.len()];
                    issued.result = Err(StepFailure::NotFinite(chunk.sequence));
                }
                Vec::new()
            }
            Op::Refuse => {
                self.rig.refuse_next = true;
                Vec::new()
            }
            Op::Wait { millis } => {
                self.rig.now = Millis(self.rig.now.0 + millis);
                Vec::new()
            }
        };
        self.smallest_limit = self.smallest_limit.min(self.limit());
        self.note(&commands);
    }

    /// Peace at last: everybody reads, and whatever is live comes to its end.
    fn come_to_an_end(&mut self) {
        self.rig.refuse_next = false;
        self.rig.silent.clear();
        let commands = self.rig.recover();
        self.note(&commands);
        for client in 0..4 {
            let commands = self.rig.state(client, true, client == 1, false);
            self.note(&commands);
        }
        let names: Vec<Name> = self.live.keys().copied().collect();
        for (client, request) in names {
            let emits = self.rig.streams.get(&(client, request)).map_or(0, |stream| stream.emits);
            if emits > 0 {
                let commands = self.rig.send(Event::Ack { client, request, seq: emits - 1 });
                self.note(&commands);
            }
        }
        let mut steps = 0;
        while !self.rig.issued.is_empty() {
            let commands = self.rig.step();
            self.note(&commands);
            steps += 1;
            assert!(steps < 1_000, "goes on for ever: {:#?}", self.rig.scheduler.snapshot());
        }
        assert!(self.live.is_empty(), "I9: never ended: {:?} {:#?}", self.live, self.rig.scheduler.snapshot());
        let (total, free) = self.rig.scheduler.free_blocks();
        assert_eq!(total, free, "all blocks come back");
    }

    /// I21.
    fn check_what_was_said(&self) {
        for (spec, tokens, reason) in &self.outcomes {
            let (expected, expected_reason) = alone(spec, VOCABULARY, usize::MAX);
            assert!(expected.starts_with(tokens), "I21: {tokens:?} of {expected:?} for {spec:?}");
            let whole = tokens.len() == expected.len();
            let at_bound = spec.prompt.len() + tokens.len() >= self.smallest_limit;
            match reason {
                FinishReason::Stop => assert!(whole && expected_reason == FinishReason::Stop, "{spec:?}"),
                FinishReason::Length => {
                    assert!(at_bound || (whole && expected_reason == FinishReason::Length), "{spec:?}");
                }
                FinishReason::Cancelled | FinishReason::Displaced => {}
                _ => assert!(!self.machine.peaceful, "{reason:?} of {spec:?}"),
            }
        }
    }

    /// I20.
    fn check_that_it_can_be_replayed(&self) {
        let mut again = Scheduler::new(self.machine.config);
        for (event, now, commands) in &self.rig.script {
            assert_eq!(&again.handle(event.clone(), *now), commands, "I20");
        }
    }
}

impl StateMachineTest for Played {
    type SystemUnderTest = Self;
    type Reference = Machine;

    fn init_test(machine: &Machine) -> Self {
        Self::new(machine.clone())
    }

    fn apply(mut played: Self, _: &Machine, op: Op) -> Self {
        played.play(op);
        played
    }

    fn teardown(mut played: Self, _: Machine) {
        played.come_to_an_end();
        played.check_what_was_said();
        played.check_that_it_can_be_replayed();
        if played.machine.peaceful {
            assert!(played.rig.fake.open.is_empty(), "all sequences are closed");
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: scripts(), max_shrink_iters: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_request_says_exactly_what_it_says_alone(sequential 1..LONGEST => Played);
}
