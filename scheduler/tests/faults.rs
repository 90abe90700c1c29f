//! What a lost, shrunk or failing executor means for the clients of the scheduler, one sentence each.

mod fake;
mod rig;

use rig::{all_free, alone, rig, spec, spec_of};
use tilewright_scheduler::{Command, FinishReason, Millis};

#[test]
fn a_lost_executor_is_replaced_and_the_streams_go_on_where_they_were() {
    for depth in 1..=3 {
        let mut rig = rig(10, 16, depth);
        rig.submit(1, 1, spec_of(1, 20, 12));
        rig.submit(2, 1, spec_of(2, 9, 12));
        for _ in 0..4 {
            rig.step();
        }
        assert_eq!(rig.lose(), [Command::WantExecutor { epoch: 1 }]);
        // What the old executor still says changes nothing.
        let before = rig.scheduler.snapshot();
        while !rig.issued.is_empty() {
            assert_eq!(rig.step(), []);
        }
        assert_eq!(rig.lose().len(), 1, "the wanted executor may be lost as well");
        assert_eq!(rig.scheduler.snapshot().waiting, before.waiting);
        rig.submit(3, 1, spec_of(3, 4, 2));
        rig.recover();
        rig.drain();
        for (client, prompt_len, max_tokens) in [(1, 20, 12), (2, 9, 12), (3, 4, 2)] {
            let expected = alone(&spec_of(client, prompt_len, max_tokens), 50, 160).0;
            assert_eq!(rig.stream(u64::from(client), 1).tokens, expected, "client {client} at depth {depth}");
        }
    }
}

#[test]
fn a_request_that_ran_at_two_losses_within_a_minute_is_given_up() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec(4, 50));
    rig.step();
    rig.lose();
    rig.recover();
    rig.step();
    rig.submit(2, 1, spec(5, 10));
    rig.now = Millis(59_999);
    rig.lose();
    assert_eq!(rig.stream(1, 1).end, Some(FinishReason::DeviceLost));
    rig.recover();
    rig.drain();
    assert_eq!(rig.stream(2, 1).tokens, alone(&spec(5, 10), 50, 160).0);
}

#[test]
fn losses_a_minute_apart_are_not_held_against_a_request() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec(4, 10));
    for minute in 0..4 {
        rig.step();
        rig.now = Millis(minute * 60_000);
        rig.lose();
        rig.recover();
    }
    rig.drain();
    assert_eq!(rig.stream(1, 1).tokens, alone(&spec(4, 10), 50, 160).0);
}

#[test]
fn a_smaller_pool_recomputes_what_it_held_and_ends_what_can_no_longer_fit() {
    let mut rig = rig(10, 16, 2);
    rig.submit(1, 1, spec_of(1, 60, 30));
    rig.submit(2, 1, spec_of(2, 30, 30));
    rig.step();
    rig.resize(3);
    assert_eq!(rig.stream(1, 1).end, Some(FinishReason::CapacityReduced));
    rig.drain();
    assert_eq!(rig.stream(2, 1).tokens, alone(&spec_of(2, 30, 30), 50, 48).0);
    assert_eq!(rig.scheduler.free_blocks(), (3, 3));
    rig.resize(10);
    rig.submit(3, 1, spec_of(3, 60, 30));
    rig.drain();
    assert_eq!(rig.stream(3, 1).tokens, alone(&spec_of(3, 60, 30), 50, 160).0);
}

#[test]
fn a_smaller_new_executor_ends_what_no_longer_fits_into_it() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec_of(1, 60, 30));
    rig.submit(2, 1, spec_of(2, 20, 4));
    rig.step();
    rig.lose();
    rig.fake.capacity.blocks = 2;
    rig.recover();
    rig.drain();
    assert_eq!(rig.stream(1, 1).end, Some(FinishReason::CapacityReduced));
    assert_eq!(rig.stream(2, 1).tokens, alone(&spec_of(2, 20, 4), 50, 32).0);
}

#[test]
fn logits_that_are_not_finite_end_one_request_and_the_others_say_the_same_as_alone() {
    use tilewright_scheduler::StepFailure::NotFinite;
    for depth in 1..=3 {
        let mut rig = rig(10, 16, depth);
        rig.submit(1, 1, spec_of(1, 5, 12));
        rig.submit(2, 1, spec_of(2, 6, 12));
        rig.submit(3, 1, spec_of(3, 7, 12));
        for _ in 0..4 {
            rig.step();
        }
        let culprit = rig.issued[0].plan.chunks[1].sequence;
        rig.issued[0].result = Err(NotFinite(culprit));
        rig.step();
        assert_eq!(rig.stream(2, 1).end, Some(FinishReason::Failed));
        rig.drain();
        for (client, prompt_len) in [(1, 5), (3, 7)] {
            let expected = alone(&spec_of(client, prompt_len, 12), 50, 160).0;
            assert_eq!(rig.stream(u64::from(client), 1).tokens, expected, "client {client} at depth {depth}");
        }
        assert!(all_free(&rig) && rig.fake.open.is_empty());
    }
}

#[test]
fn a_refused_plan_ends_its_requests_and_the_next_request_is_served() {
    for depth in 1..=3 {
        let mut rig = rig(10, 16, depth);
        rig.refuse_next = true;
        rig.submit(1, 1, spec_of(1, 5, 12));
        rig.submit(2, 1, spec_of(2, 6, 12));
        rig.drain();
        assert_eq!(rig.stream(1, 1).end, Some(FinishReason::Failed));
        // It was not part of the refused step, though at depth 2 and 3 it shared one with the first.
        assert_eq!(rig.stream(2, 1).tokens, alone(&spec_of(2, 6, 12), 50, 160).0, "depth {depth}");
        assert!(all_free(&rig) && rig.fake.open.is_empty());
    }
}
