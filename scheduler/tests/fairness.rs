//! Who goes first: what the user looks at, then those who had least, and nobody waits for ever.

mod fake;
mod rig;

use rig::{Rig, alone, capacity, config, name, rig, spec, spec_of};
use std::collections::BTreeMap;
use tilewright_plan::Capacity;
use tilewright_scheduler::{
    ClientId, Command, Config, Event, FinishReason, Micros, Millis, Priority, QueueScope, RejectReason, RequestSpec,
    StepRecord,
};

fn batch(spec: RequestSpec) -> RequestSpec {
    RequestSpec { priority: Priority::Batch, ..spec }
}

/// A device with these microseconds per step, row that decodes and row of a prompt.
fn device(rig: &mut Rig, step: u64, decode: u64, prefill: u64) {
    rig.step_time = Box::new(move |plan| {
        let rows = plan.chunks.iter().map(|chunk| match chunk.tokens.len() as u64 {
            1 => decode,
            rows => prefill * rows,
        });
        Micros(step + rows.sum::<u64>())
    });
}

fn rows_of(step: &StepRecord, client: u64) -> (u32, u32) {
    let rows = step.rows.iter().find(|rows| rows.client == ClientId(client));
    rows.map_or((0, 0), |rows| (rows.decode, rows.prefill))
}

#[test]
fn the_focused_tab_goes_first_then_the_visible_the_hidden_and_batch_work() {
    let mut rig = Rig::new(config(), Capacity { max_chunks: 1, ..capacity(100, 16, 1) });
    rig.lose();
    rig.state(1, false, false, false);
    rig.state(2, true, false, false);
    rig.state(3, true, true, false);
    rig.submit(3, 9, batch(spec_of(9, 5, 1)));
    for client in 1..=3 {
        rig.submit(client, 1, spec_of(client as u32, 5, 1));
    }
    rig.recover();
    let mut order = Vec::new();
    while !rig.issued.is_empty() {
        let ended = rig.step();
        order.extend(ended.into_iter().filter_map(|command| match command {
            Command::Finish { client, request, .. } => Some((client.0, request.0)),
            _ => None,
        }));
    }
    assert_eq!(order, [(3, 1), (2, 1), (1, 1), (3, 9)]);
}

#[test]
fn among_equals_the_client_with_the_fewest_tokens_goes_first_then_the_first_to_come() {
    let mut rig = Rig::new(config(), Capacity { max_chunks: 1, ..capacity(100, 16, 1) });
    rig.submit(1, 1, spec_of(1, 90, 1));
    rig.submit(1, 2, spec_of(4, 5, 1));
    rig.submit(2, 1, spec_of(2, 5, 1));
    rig.submit(3, 1, spec_of(3, 5, 1));
    rig.drain();
    let first: Vec<u64> = rig.scheduler.snapshot().steps.iter().map(|step| step.rows[0].client.0).collect();
    assert_eq!(first, [1, 1, 2, 3, 1], "64 + 26 rows for the first tab, then the others, then its second request");
}

#[test]
fn a_step_for_two_shared_by_three_that_decode_takes_turns() {
    let mut rig = Rig::new(config(), Capacity { max_rows: 2, ..capacity(100, 16, 1) });
    for request in 1..=3 {
        rig.submit(1, request, spec(2, 30));
    }
    let mut progress = Vec::new();
    for _ in 0..24 {
        rig.step();
        progress
            .push((1..=3).map(|request| rig.streams.get(&name(1, request)).map_or(0, |s| s.emits)).collect::<Vec<_>>());
    }
    let spread = |emits: &Vec<u64>| emits.iter().max().unwrap() - emits.iter().min().unwrap();
    // The third prompt had to wait until it was left out for long enough.
    let (then, now) = (&progress[12], &progress[23]);
    let since: Vec<u64> = now.iter().zip(then).map(|(now, then)| now - then).collect();
    assert!(spread(&since) <= 1, "{progress:?}");
}

#[test]
fn two_backlogged_clients_never_differ_by_more_than_twice_the_largest_charge() {
    // I14: one with four requests of long prompts, one with six long answers; steps have room for three.
    let mut rig =
        Rig::new(Config { max_prefill_rows: 24, ..config() }, Capacity { max_chunks: 3, ..capacity(400, 16, 2) });
    let mut had: BTreeMap<u64, u64> = BTreeMap::new();
    let mut largest = 0;
    let mut next = 0;
    for round in 0..600 {
        if round == 4 {
            had.clear(); // the first came alone
        }
        let live = rig.scheduler.snapshot();
        let count = |client: u64| live.running.iter().chain(&live.waiting).filter(|s| s.client.0 == client).count();
        for (client, most, prompt, answer) in [(1, 4, 200, 20), (2, 6, 10, 500)] {
            for _ in count(client)..most {
                next += 1;
                let request =
                    RequestSpec { cache_salt: Some(next.to_string()), ..spec_of(client as u32, prompt, answer) };
                rig.submit(client, next, request);
            }
        }
        let seen = rig.scheduler.snapshot().steps.last().map(|step| step.step);
        rig.step();
        for step in rig.scheduler.snapshot().steps.iter().filter(|step| Some(step.step) > seen) {
            for client in [1, 2] {
                let (decode, prefill) = rows_of(step, client);
                *had.entry(client).or_default() += u64::from(decode + prefill);
                largest = largest.max(u64::from(decode + prefill));
            }
        }
        let difference = had.get(&1).unwrap_or(&0).abs_diff(*had.get(&2).unwrap_or(&0));
        assert!(round < 4 || difference <= 2 * largest, "{had:?} with charges up to {largest}");
    }
}

#[test]
fn a_client_that_comes_back_from_idling_has_no_credit() {
    let mut rig = Rig::new(config(), Capacity { max_chunks: 1, ..capacity(100, 16, 1) });
    rig.submit(1, 1, spec_of(1, 4, 200));
    for _ in 0..100 {
        rig.step();
    }
    rig.submit(2, 1, spec_of(2, 4, 200));
    for _ in 0..40 {
        rig.step();
    }
    let emits = |client: u64| rig.streams[&name(client, 1)].emits;
    assert!(emits(1) >= 115, "the first goes on: {} tokens", emits(1));
    assert!(emits(2) >= 15, "{}", emits(2));
}

#[test]
fn while_the_focused_tab_works_others_get_a_tenth_of_the_step_and_at_least_one_step_in_eight() {
    // A row costs as much as the step itself, so that none of the others' fits into a tenth.
    let mut rig = rig(100, 16, 1);
    device(&mut rig, 1_000, 10_000, 10_000);
    rig.state(1, true, true, false);
    rig.submit(1, 1, spec_of(1, 4, 120));
    rig.submit(2, 1, spec_of(2, 4, 120));
    rig.submit(3, 1, spec_of(3, 4, 120));
    for _ in 0..100 {
        rig.step();
    }
    let steps = rig.scheduler.snapshot().steps;
    for eight in steps[20..].windows(8) {
        for client in [2, 3] {
            let served = eight.iter().filter(|step| rows_of(step, client) != (0, 0)).count();
            assert!(served >= 1, "client {client} had nothing in eight steps");
        }
    }
    let others = steps[20..].iter().filter(|step| rows_of(step, 2) != (0, 0)).count();
    assert!(others <= 20, "the focused tab shares {others} of 80 steps with each other tab");
    let all = steps[20..].iter().all(|step| rows_of(step, 1).0 == 1);
    assert!(all, "the focused tab is in every step");
}

#[test]
fn where_a_row_costs_next_to_nothing_everybody_decodes_in_every_step() {
    let mut rig = rig(100, 16, 1);
    device(&mut rig, 10_000, 20, 10);
    rig.state(1, true, true, false);
    for client in 1..=4 {
        rig.submit(client, 1, spec_of(client as u32, 4, 100));
    }
    for _ in 0..60 {
        rig.step();
    }
    let steps = rig.scheduler.snapshot().steps;
    let full = steps[30..].iter().filter(|step| step.rows.len() == 4).count();
    assert!(full >= 25, "{full} of {} late steps have rows of all", steps.len() - 30);
}

#[test]
fn a_focused_tabs_question_during_a_prompt_of_4000_tokens_is_answered_within_three_steps() {
    let mut rig = Rig::new(Config::default(), Capacity { max_rows: 256, ..capacity(400, 16, 2) });
    device(&mut rig, 5_000, 300, 400);
    rig.state(2, true, true, false);
    rig.submit(1, 1, spec_of(1, 4_000, 5));
    for _ in 0..12 {
        rig.step();
    }
    rig.submit(2, 1, spec_of(2, 30, 20));
    let mut steps = 0;
    while !rig.streams.contains_key(&name(2, 1)) {
        rig.step();
        steps += 1;
    }
    // Two were in flight already.
    assert!(steps <= 2 + 3, "the first token came after {steps} steps");
    rig.drain();
    let late = &rig.scheduler.snapshot().steps;
    for step in late.iter().skip(5) {
        let focused = rows_of(step, 2).0 > 0;
        let budget = if focused { 50_000 } else { 150_000 };
        assert!(step.elapsed.0 <= budget, "{step:?} is over its budget");
    }
}

#[test]
fn prompts_never_keep_those_who_decode_waiting_for_more_than_two_steps() {
    let mut rig = rig(400, 16, 1);
    device(&mut rig, 1_000, 50_000, 500);
    rig.submit(2, 1, spec_of(2, 4, 60));
    for _ in 0..10 {
        rig.step();
    }
    rig.state(1, true, true, false);
    rig.submit(1, 1, spec_of(1, 3_000, 2));
    for _ in 0..10 {
        rig.step();
    }
    let steps = rig.scheduler.snapshot().steps;
    for three in steps[10..].windows(3) {
        assert!(three.iter().any(|step| rows_of(step, 2).0 > 0), "{three:?}");
    }
}

#[test]
fn a_request_that_waits_for_half_a_minute_is_raised_by_a_class_and_never_to_the_first() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec_of(1, 140, 19));
    rig.submit(2, 1, batch(spec_of(2, 60, 2)));
    let class = |rig: &Rig| rig.scheduler.snapshot().waiting.first().map(|waiting| waiting.class);
    let mut classes = Vec::new();
    for wait in [0, 29_000, 31_000, 61_000, 900_000] {
        rig.now = Millis(wait);
        rig.step();
        classes.push(class(&rig));
    }
    assert_eq!(classes, [Some(3), Some(3), Some(2), Some(1), Some(1)]);
    rig.drain();
    assert_eq!(rig.stream(2, 1).tokens, alone(&spec_of(2, 60, 2), 50, 160).0);
}

#[test]
fn preemption_takes_the_worst_class_first_and_exactly_as_many_as_are_needed() {
    let mut rig = rig(10, 16, 1);
    rig.state(4, true, true, false);
    for (client, request) in [(1, batch(spec_of(1, 30, 2))), (2, spec_of(2, 30, 2)), (3, batch(spec_of(3, 30, 2)))] {
        rig.submit(client, 1, request); // 2 blocks each
    }
    rig.submit(4, 1, spec_of(4, 75, 5)); // 5 blocks and a margin of 1: two of them have to go
    let waiting: Vec<u64> = rig.scheduler.snapshot().waiting.iter().map(|waiting| waiting.client.0).collect();
    assert_eq!(waiting, [3], "the latest admission of the worst class");
    let snapshot = rig.scheduler.snapshot();
    assert!(snapshot.running.iter().any(|running| running.client.0 == 4), "{snapshot:#?}");
    rig.drain();
    for (client, prompt, most) in [(1, 30, 2), (2, 30, 2), (3, 30, 2), (4, 75, 5)] {
        let expected = alone(&spec_of(client, prompt, most), 50, 160).0;
        assert_eq!(rig.stream(u64::from(client), 1).tokens, expected, "client {client}");
    }
}

#[test]
fn nobody_is_preempted_for_a_request_of_the_same_class_or_a_worse_one() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec_of(1, 100, 20));
    rig.submit(2, 1, spec_of(2, 90, 2));
    rig.submit(3, 1, batch(spec_of(3, 90, 2)));
    let snapshot = rig.scheduler.snapshot();
    assert_eq!((snapshot.running.len(), snapshot.waiting.len()), (1, 2));
    rig.drain();
}

#[test]
fn the_focused_tab_takes_the_newest_batch_requests_place_in_a_full_queue() {
    let mut rig = rig(10, 16, 1);
    rig.submit(0, 1, spec_of(0, 150, 5));
    for client in 1..=8 {
        for request in 1..=4 {
            rig.submit(client, request, batch(spec_of(client as u32, 100, 5)));
        }
    }
    let rejected = |rig: &Rig| rig.rejected.last().map(|(_, reason)| reason.clone());
    rig.submit(9, 1, batch(spec_of(9, 100, 5)));
    let full = RejectReason::QueueFull { scope: QueueScope::Global, waiting: 32 };
    assert_eq!(rejected(&rig), Some(full), "an equal displaces nobody");
    rig.submit(9, 2, spec_of(9, 100, 5));
    assert_eq!(rig.stream(8, 4).end, Some(FinishReason::Displaced));
    assert_eq!(rig.rejected.len(), 1);
    rig.send(Event::ClientGone { client: ClientId(9) });
}
