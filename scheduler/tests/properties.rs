//! Random scripts of everything that can happen, on a machine small enough that everything does: blocks of 2 slots, at most
//! 12 of them, 4 clients, few tokens. The rig checks I1, I2, I7 to I10, I16 and I17 after each event and the fake model the
//! rules of a plan (I6, I7, I8); here stand I19, I20 and, above all, I21: each request says what it would say alone.
//!
//! `PROPTEST_CASES=20000 cargo test -p tilewright-scheduler --release` for a longer run.

mod fake;
mod rig;

use proptest::prelude::*;
use rig::{Name, Rig, alone};
use std::collections::BTreeMap;
use tilewright_plan::{Capacity, TokenId};
use tilewright_scheduler::{
    ClientId, Command, Config, Event, FinishReason, Millis, RequestId, RequestSpec, StepFailure,
};

const VOCABULARY: u32 = 3;
const BLOCK_SIZE: u32 = 2;

#[derive(Clone, Debug)]
enum Op {
    Submit {
        client: u64,
        request: u64,
        spec: RequestSpec,
    },
    Cancel {
        client: u64,
        request: u64,
    },
    Gone {
        client: u64,
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
    /// The events that first-come does not look at.
    Noise {
        client: u64,
    },
}

fn spec() -> impl Strategy<Value = RequestSpec> {
    let token = || (0..VOCABULARY).prop_map(TokenId);
    (
        prop::collection::vec(token(), 0..8),
        0..16_u32,
        0..6_u32,
        prop::option::weighted(0.3, token()),
        prop::option::weighted(0.3, token()),
        any::<bool>(),
    )
        .prop_map(|(prompt, max_tokens, min_tokens, stop, eos, ignore_eos)| RequestSpec {
            min_tokens,
            stop_ids: stop.into_iter().collect(),
            eos_ids: eos.into_iter().collect(),
            ignore_eos,
            ..RequestSpec::new(prompt, max_tokens)
        })
}

/// What only slows requests down or ends them at their own wish.
fn peaceful() -> BoxedStrategy<Op> {
    prop_oneof![
        6 => (0..4_u64, 0..8_u64, spec()).prop_map(|(client, request, spec)| Op::Submit { client, request, spec }),
        20 => (0..3_usize).prop_map(|which| Op::Report { which }),
        1 => (0..4_u64, 0..8_u64).prop_map(|(client, request)| Op::Cancel { client, request }),
        1 => (0..4_u64).prop_map(|client| Op::Gone { client }),
        1 => (1..40_000_u64).prop_map(|millis| Op::Wait { millis }),
        1 => (0..4_u64).prop_map(|client| Op::Noise { client }),
    ]
    .boxed()
}

fn anything() -> BoxedStrategy<Op> {
    prop_oneof![
        20 => peaceful(),
        1 => Just(Op::Lose),
        3 => Just(Op::Recover),
        2 => (1..=12_u32).prop_map(|blocks| Op::Resize { blocks }),
        1 => (0..3_usize).prop_map(|which| Op::NotFinite { which }),
        1 => Just(Op::Refuse),
    ]
    .boxed()
}

fn machine() -> impl Strategy<Value = (Capacity, Config, bool)> {
    (1..=12_u32, 1..=8_u32, 1..=4_u32, 1..=3_u32, 1..=6_u32, prop::sample::select(vec![12_u32, 24]), any::<bool>())
        .prop_map(|(blocks, max_rows, max_chunks, depth, max_prefill_rows, max_context, forgetful)| {
            let capacity = Capacity {
                blocks,
                block_size: BLOCK_SIZE,
                max_rows,
                max_chunks,
                max_context,
                vocabulary: VOCABULARY,
                depth,
            };
            (capacity, Config { max_prefill_rows, ..Config::default() }, forgetful)
        })
}

/// One run of a script: all commands, and each accepted request's specification next to what became of it. A request id
/// may be used again once it has ended, so the streams are collected as they end.
struct Played {
    rig: Rig,
    log: Vec<Vec<Command>>,
    outcomes: Vec<(RequestSpec, Vec<TokenId>, FinishReason)>,
    live: BTreeMap<Name, RequestSpec>,
    smallest_limit: usize,
}

impl Played {
    fn note(&mut self, commands: Vec<Command>) {
        for command in &commands {
            if let Command::Finish { client, request, reason, .. } = command {
                let name = (*client, *request);
                let stream = self.rig.streams.remove(&name).expect("it was streamed");
                let spec = self.live.remove(&name).expect("only accepted requests end");
                self.outcomes.push((spec, stream.tokens, *reason));
            }
        }
        self.log.push(commands);
    }

    fn limit(&self) -> usize {
        let capacity = self.rig.fake.capacity;
        (capacity.max_context as usize).min(capacity.blocks as usize * capacity.block_size as usize)
    }

    fn play(&mut self, op: &Op) {
        let commands = match op.clone() {
            Op::Submit { client, request, spec } => {
                let rejected = self.rig.rejected.len();
                let name = (ClientId(client), RequestId(request));
                let before = self.live.get(&name).cloned();
                self.live.insert(name, spec.clone());
                let commands = self.rig.submit(client, request, spec);
                if self.rig.rejected.len() > rejected {
                    self.live.remove(&name);
                    self.live.extend(before.map(|spec| (name, spec)));
                }
                commands
            }
            Op::Cancel { client, request } => self.rig.cancel(client, request),
            Op::Gone { client } => self.rig.send(Event::ClientGone { client: ClientId(client) }),
            Op::Report { which } => {
                let index = which % self.rig.issued.len().max(1);
                let stale = self.rig.issued.get(index).is_some_and(|issued| issued.epoch != self.rig.wanted_epoch);
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
            Op::Noise { client } => {
                let (client, request) = (ClientId(client), RequestId(0));
                let before = self.rig.scheduler.snapshot();
                for event in [
                    Event::ClientHello { client },
                    Event::ClientState { client, visible: true, focused: false, frozen: true },
                    Event::Ack { client, request, seq: 9 },
                ] {
                    if !matches!(event, Event::ClientHello { .. }) {
                        assert_eq!(self.rig.send(event), []);
                    }
                }
                assert_eq!(self.rig.scheduler.snapshot(), before);
                Vec::new()
            }
        };
        self.smallest_limit = self.smallest_limit.min(self.limit());
        self.note(commands);
    }
}

fn play((capacity, config, forgetful): (Capacity, Config, bool), script: &[Op]) -> Played {
    let mut rig = Rig::new(config, capacity);
    rig.forgetful = forgetful;
    let mut played =
        Played { rig, log: Vec::new(), outcomes: Vec::new(), live: BTreeMap::new(), smallest_limit: usize::MAX };
    played.smallest_limit = played.limit();
    for op in script {
        played.play(op);
    }
    // Peace at last: whatever is live comes to its end.
    played.rig.refuse_next = false;
    let commands = played.rig.recover();
    played.note(commands);
    let mut steps = 0;
    while !played.rig.issued.is_empty() {
        let commands = played.rig.step();
        played.note(commands);
        steps += 1;
        assert!(steps < 10_000, "goes on for ever");
    }
    assert!(played.live.is_empty(), "I9: never ended: {:?}", played.live);
    let (total, free) = played.rig.scheduler.free_blocks();
    assert_eq!(total, free, "all blocks come back");
    played
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400), ..ProptestConfig::default() })]

    #[test]
    fn whatever_else_runs_every_request_says_exactly_what_it_says_alone(
        machine in machine(),
        script in prop::collection::vec(peaceful(), 1..150),
    ) {
        let played = play(machine, &script);
        for (spec, tokens, reason) in &played.outcomes {
            let (expected, expected_reason) = alone(spec, VOCABULARY, played.smallest_limit);
            if *reason == FinishReason::Cancelled {
                prop_assert!(expected.starts_with(tokens));
            } else {
                prop_assert_eq!((tokens, *reason), (&expected, expected_reason));
            }
        }
        prop_assert!(played.rig.fake.open.is_empty(), "all sequences are closed");
    }

    #[test]
    fn losses_failures_and_shrinking_never_change_what_a_request_says(
        machine in machine(),
        script in prop::collection::vec(anything(), 1..150),
    ) {
        let played = play(machine, &script);
        for (spec, tokens, reason) in &played.outcomes {
            let (expected, expected_reason) = alone(spec, VOCABULARY, usize::MAX);
            prop_assert!(expected.starts_with(tokens), "{:?} of {:?}", tokens, expected);
            let whole = tokens.len() == expected.len();
            match reason {
                FinishReason::Stop => prop_assert!(whole && expected_reason == FinishReason::Stop),
                FinishReason::Length => {
                    let bound = spec.prompt.len() + tokens.len() >= played.smallest_limit;
                    prop_assert!(bound || (whole && expected_reason == FinishReason::Length));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_same_script_gives_the_same_commands(
        machine in machine(),
        script in prop::collection::vec(anything(), 1..100),
    ) {
        prop_assert_eq!(play(machine, &script).log, play(machine, &script).log);
    }
}
