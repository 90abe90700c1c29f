//! What clients of the scheduler can rely on, one sentence each. Block size 16 and 10 blocks unless said otherwise.

mod fake;
mod rig;

use rig::{Rig, all_free, alone, capacity, config, name, rig, spec, spec_of, tokens};
use tilewright_plan::{Capacity, ChunkOutput, SamplingParams, TokenId, TokenSource};
use tilewright_scheduler::{
    ClientId, Command, Config, Event, FinishReason, Micros, QueueScope, RejectReason, RequestId, RequestSpec,
};

#[test]
fn a_request_gets_the_tokens_that_the_model_says_and_then_its_end() {
    for depth in 1..=3 {
        let mut rig = rig(10, 16, depth);
        rig.submit(1, 1, spec(5, 20));
        rig.drain();
        let (expected, reason) = alone(&spec(5, 20), 50, 160);
        assert_eq!(rig.stream(1, 1).tokens, expected);
        assert_eq!(rig.stream(1, 1).end, Some(reason));
        assert!(all_free(&rig) && rig.fake.open.is_empty());
    }
}

#[test]
fn decode_rows_of_all_clients_and_a_new_prompt_share_one_step() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec_of(1, 4, 9));
    rig.submit(2, 1, spec_of(2, 5, 9));
    rig.step();
    rig.step();
    rig.submit(3, 1, spec_of(3, 6, 9));
    rig.step();
    assert_eq!(rig.rows(0), [4]);
    assert_eq!(rig.rows(1), [1, 5]);
    assert_eq!(rig.rows(3), [1, 1, 6]);
}

#[test]
fn the_sampling_parameters_and_all_tokens_go_along_when_a_sequence_is_opened() {
    let mut rig = rig(10, 16, 1);
    let sampling = SamplingParams { temperature: 0.7, seed: 42, ..SamplingParams::default() };
    rig.submit(1, 1, RequestSpec { sampling: sampling.clone(), ..spec(3, 4) });
    let opening = &rig.plans[0].open[0];
    assert_eq!((&opening.sampling, opening.prompt_len, &opening.tokens), (&sampling, 3, &spec(3, 4).prompt));
    rig.step();
    assert!(rig.plans[1].open.is_empty());
}

#[test]
fn three_prompts_of_800_tokens_are_cut_to_the_budget_and_the_cap_per_request() {
    let config = Config { max_prefill_rows: 400, ..config() };
    let mut rig = Rig::new(config, Capacity { max_rows: 1024, ..capacity(1000, 16, 1) });
    // They arrive while there is no executor, so that all three are there for the first step.
    rig.lose();
    for request in 1..=3 {
        rig.submit(1, request, spec_of(request as u32, 800, 5));
    }
    rig.recover();
    rig.step();
    rig.step();
    assert_eq!(rig.rows(0), [400, 400, 224]);
    assert_eq!(rig.rows(1), [400, 400, 224]);
    assert_eq!(rig.rows(2), [1, 1, 352]);
    let outputs: Vec<ChunkOutput> = rig.plans[1].chunks.iter().map(|chunk| chunk.output).collect();
    assert_eq!(outputs, [ChunkOutput::Sample, ChunkOutput::Sample, ChunkOutput::None]);
}

#[test]
fn a_short_request_does_not_overtake_a_long_one_that_waits() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec_of(1, 100, 30));
    rig.submit(2, 1, spec_of(2, 90, 3));
    rig.submit(3, 1, spec_of(3, 2, 3));
    rig.step();
    assert_eq!(rig.scheduler.snapshot().waiting.len(), 2);
    rig.drain();
    assert!(rig.plans.iter().all(|plan| plan.open.len() <= 2));
    let first_rows_of =
        |prompt: &RequestSpec| rig.plans.iter().position(|plan| plan.open.iter().any(|o| o.tokens == prompt.prompt));
    assert!(first_rows_of(&spec_of(2, 90, 3)) <= first_rows_of(&spec_of(3, 2, 3)));
    assert_eq!(rig.stream(3, 1).tokens, alone(&spec_of(3, 2, 3), 50, 160).0);
}

#[test]
fn admission_leaves_a_watermark_free_unless_nothing_runs() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec_of(1, 16 * 5, 2));
    rig.submit(2, 1, spec_of(2, 16 * 5, 2));
    assert_eq!(rig.scheduler.snapshot().waiting.len(), 1, "5 + 5 blocks would leave none free");
    rig.drain();
    rig.submit(3, 1, spec_of(3, 16 * 10 - 1, 2));
    assert_eq!(rig.scheduler.snapshot().waiting.len(), 0, "alone it may have all 10");
    rig.drain();
    assert_eq!(rig.stream(3, 1).end, Some(FinishReason::Length));
}

#[test]
fn a_stop_id_ends_the_request_and_is_its_last_token() {
    let free_run = alone(&spec(5, 30), 50, 160).0;
    for (stop_ids, eos_ids) in [(vec![free_run[7]], vec![]), (vec![], vec![free_run[7]])] {
        let first = free_run.iter().position(|token| *token == free_run[7]).unwrap();
        for depth in 1..=3 {
            let mut rig = rig(10, 16, depth);
            rig.submit(1, 1, RequestSpec { stop_ids: stop_ids.clone(), eos_ids: eos_ids.clone(), ..spec(5, 30) });
            rig.drain();
            assert_eq!(rig.stream(1, 1).tokens, free_run[..=first]);
            assert_eq!(rig.stream(1, 1).end, Some(FinishReason::Stop));
            assert!(all_free(&rig));
        }
    }
}

#[test]
fn ignore_eos_goes_on_after_an_end_id_and_still_obeys_stop_ids() {
    let free_run = alone(&spec(5, 30), 50, 160).0;
    let mut rig = rig(10, 16, 2);
    rig.submit(1, 1, RequestSpec { eos_ids: free_run.clone(), ignore_eos: true, ..spec(5, 30) });
    rig.submit(
        1,
        2,
        RequestSpec { eos_ids: free_run.clone(), stop_ids: vec![free_run[0]], ignore_eos: true, ..spec(5, 30) },
    );
    rig.drain();
    assert_eq!(rig.stream(1, 1).tokens, free_run);
    assert_eq!((rig.stream(1, 2).tokens.len(), rig.stream(1, 2).end), (1, Some(FinishReason::Stop)));
}

#[test]
fn before_min_tokens_no_stop_id_ends_a_request() {
    let free_run = alone(&spec(5, 30), 50, 160).0;
    let mut rig = rig(10, 16, 2);
    rig.submit(1, 1, RequestSpec { stop_ids: free_run.clone(), min_tokens: 6, ..spec(5, 30) });
    rig.drain();
    assert_eq!(rig.stream(1, 1).tokens, free_run[..6]);
    assert_eq!(rig.stream(1, 1).end, Some(FinishReason::Stop));
}

#[test]
fn max_tokens_is_exact_at_every_depth_and_costs_no_surplus_step() {
    for depth in 1..=3 {
        let mut rig = rig(10, 16, depth);
        rig.submit(1, 1, spec(5, 8));
        rig.drain();
        assert_eq!(rig.stream(1, 1).tokens.len(), 8);
        assert_eq!(rig.plans.iter().filter(|plan| plan.rows() > 0).count(), 8);
    }
}

#[test]
fn a_request_for_no_tokens_ends_at_once() {
    let mut rig = rig(10, 16, 2);
    let commands = rig.submit(1, 1, spec(5, 0));
    let (client, request) = name(1, 1);
    assert_eq!(commands, [Command::Finish { client, request, reason: FinishReason::Length, cached_tokens: 0 }]);
}

#[test]
fn steps_are_issued_ahead_with_the_tokens_that_earlier_steps_will_sample() {
    let mut rig = rig(10, 16, 3);
    let commands = rig.submit(1, 1, spec(4, 10));
    assert_eq!(commands.len(), 3);
    let steps: Vec<_> = rig.issued.iter().map(|issued| issued.step).collect();
    assert_eq!(rig.plans[1].chunks[0].tokens, [TokenSource::SampledBy(steps[0])]);
    assert_eq!(rig.plans[2].chunks[0].tokens, [TokenSource::SampledBy(steps[1])]);
    rig.step();
    assert_eq!(rig.issued.len(), 3);
}

#[test]
fn surplus_tokens_after_a_late_stop_are_discarded() {
    let free_run = alone(&spec(4, 30), 50, 160).0;
    let mut rig = rig(10, 16, 3);
    rig.submit(1, 1, RequestSpec { stop_ids: vec![free_run[0]], ..spec(4, 30) });
    rig.step();
    assert_eq!(rig.stream(1, 1).end, Some(FinishReason::Stop));
    assert_eq!(rig.issued.len(), 2, "two steps are out for nothing");
    assert!(!all_free(&rig), "and still name the blocks");
    rig.drain();
    assert_eq!(rig.stream(1, 1).tokens, free_run[..1]);
    assert!(all_free(&rig) && rig.fake.open.is_empty());
}

#[test]
fn results_that_come_in_another_order_are_used_in_the_order_of_the_steps() {
    let mut rig = rig(10, 16, 3);
    rig.submit(1, 1, spec(4, 12));
    while !rig.issued.is_empty() {
        rig.report(rig.issued.len() - 1);
    }
    assert_eq!(rig.stream(1, 1).tokens, alone(&spec(4, 12), 50, 160).0);
}

#[test]
fn when_blocks_run_out_the_newest_is_recomputed_later_and_nobody_hears_of_it() {
    for depth in 1..=3 {
        let mut rig = rig(6, 4, depth);
        rig.submit(1, 1, spec_of(1, 8, 13));
        rig.submit(2, 1, spec_of(2, 8, 13));
        rig.drain();
        for client in 1..=2 {
            let (expected, end) = alone(&spec_of(client, 8, 13), 50, 24);
            assert_eq!(rig.stream(u64::from(client), 1).tokens, expected, "client {client} at depth {depth}");
            assert_eq!(rig.stream(u64::from(client), 1).end, Some(end));
        }
        let resumed: Vec<_> =
            rig.plans.iter().flat_map(|plan| &plan.open).filter(|opening| opening.tokens.len() > 8).collect();
        assert!(!resumed.is_empty(), "nobody was preempted, so this test shows nothing");
        for opening in resumed {
            assert_eq!(
                (opening.prompt_len, &opening.tokens[..8]),
                (8, &spec_of(2, 8, 13).prompt[..]),
                "the newest carries its tokens"
            );
        }
    }
}

#[test]
fn a_generation_that_reaches_the_pools_bound_stops_with_length_and_no_preemption() {
    for depth in 1..=3 {
        let mut rig = rig(10, 16, depth);
        rig.submit(1, 1, spec(150, 1000));
        rig.drain();
        assert_eq!(rig.stream(1, 1).tokens, alone(&spec(150, 1000), 50, 160).0);
        assert_eq!(rig.stream(1, 1).tokens.len(), 10);
        assert_eq!(rig.stream(1, 1).end, Some(FinishReason::Length));
        assert_eq!(rig.plans.iter().map(|plan| plan.open.len()).sum::<usize>(), 1);
    }
}

#[test]
fn a_prompt_that_could_never_be_served_is_refused_with_its_length_and_the_limit() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec(160, 1));
    assert_eq!(rig.rejected, [(name(1, 1), RejectReason::PromptTooLong { tokens: 160, limit: 159 })]);
    rig.submit(1, 1, spec(159, 1));
    rig.drain();
    assert_eq!(rig.stream(1, 1).tokens.len(), 1);
}

#[test]
fn empty_prompts_and_unknown_tokens_are_refused_by_name() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, RequestSpec::new(Vec::new(), 5));
    rig.submit(1, 2, RequestSpec::new(tokens([3, 50, 51]), 5));
    let unknown = RejectReason::UnknownToken { token: TokenId(50), vocabulary: 50 };
    assert_eq!(rig.rejected, [(name(1, 1), RejectReason::EmptyPrompt), (name(1, 2), unknown)]);
}

#[test]
fn a_request_id_in_use_is_refused_and_its_owner_goes_on() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec(4, 5));
    rig.submit(1, 1, spec(9, 5));
    rig.submit(2, 1, spec(4, 5));
    assert_eq!(rig.rejected, [(name(1, 1), RejectReason::DuplicateRequest(RequestId(1)))]);
    rig.drain();
    assert_eq!(rig.stream(1, 1).tokens, alone(&spec(4, 5), 50, 160).0);
    assert_eq!(rig.stream(2, 1).tokens, rig.stream(1, 1).tokens);
}

#[test]
fn the_fifth_waiting_request_of_a_client_and_the_thirty_third_of_all_are_refused() {
    let mut rig = rig(10, 16, 1);
    rig.submit(99, 1, spec(120, 20)); // runs, and leaves no room
    for client in 0..8 {
        for request in 0..5 {
            rig.submit(client, request, spec(100, 2));
        }
    }
    let own = |client| (name(client, 4), RejectReason::QueueFull { scope: QueueScope::Client, waiting: 4 });
    assert_eq!(rig.rejected, (0..8).map(own).collect::<Vec<_>>());
    rig.rejected.clear();
    rig.submit(50, 1, spec(3, 2));
    assert_eq!(rig.rejected, [(name(50, 1), RejectReason::QueueFull { scope: QueueScope::Global, waiting: 32 })]);
    rig.drain();
    assert_eq!(rig.streams.values().filter(|stream| stream.end == Some(FinishReason::Length)).count(), 33);
}

#[test]
fn requests_that_fit_do_not_count_as_waiting_even_while_all_steps_are_out() {
    let mut rig = rig(100, 16, 1);
    for request in 0..12 {
        rig.submit(1, request, spec(4, 3));
    }
    assert_eq!(rig.rejected, []);
    rig.drain();
    assert!(rig.streams.values().all(|stream| stream.tokens == alone(&spec(4, 3), 50, 1600).0));
}

#[test]
fn a_cancel_ends_exactly_the_request_named_and_a_second_one_does_nothing() {
    let mut rig = rig(10, 16, 2);
    rig.submit(1, 1, spec(4, 20));
    rig.submit(1, 11, spec(5, 20));
    rig.submit(2, 1, spec(6, 20));
    rig.step();
    let (client, request) = name(1, 1);
    assert!(rig.cancel(1, 1).contains(&Command::Finish {
        client,
        request,
        reason: FinishReason::Cancelled,
        cached_tokens: 0
    }));
    assert_eq!(rig.cancel(1, 1), []);
    assert_eq!(rig.cancel(7, 7), []);
    rig.drain();
    assert_eq!(rig.stream(1, 11).tokens, alone(&spec(5, 20), 50, 160).0);
    assert_eq!(rig.stream(2, 1).tokens, alone(&spec(6, 20), 50, 160).0);
}

#[test]
fn blocks_of_three_steps_in_flight_return_when_the_newest_of_them_is_done() {
    let mut rig = rig(10, 16, 3);
    rig.submit(1, 1, spec(40, 20));
    assert_eq!(rig.issued.len(), 3);
    rig.cancel(1, 1);
    let free = |rig: &Rig| rig.scheduler.free_blocks().1;
    assert_eq!(free(&rig), 7);
    rig.step();
    assert_eq!(free(&rig), 7);
    rig.step();
    assert_eq!(free(&rig), 7);
    rig.step();
    assert_eq!(free(&rig), 10);
    rig.drain();
    assert!(rig.fake.open.is_empty());
}

#[test]
fn a_client_that_leaves_takes_all_its_requests_along_and_no_others() {
    let mut rig = rig(10, 16, 2);
    rig.submit(1, 1, spec(4, 20));
    rig.submit(1, 2, spec(100, 20));
    rig.submit(2, 1, spec(5, 20));
    rig.submit(1, 3, spec(100, 20));
    let commands = rig.send(Event::ClientGone { client: ClientId(1) });
    assert_eq!(commands.iter().filter(|command| matches!(command, Command::Finish { .. })).count(), 3);
    rig.drain();
    assert_eq!(rig.stream(2, 1).tokens, alone(&spec(5, 20), 50, 160).0);
    assert!(all_free(&rig));
}

#[test]
fn a_result_reported_twice_or_never_asked_for_changes_nothing() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, spec(4, 5));
    let (epoch, step) = (rig.issued[0].epoch, rig.issued[0].step);
    let sampled = rig.issued[0].result.clone().unwrap();
    rig.step();
    for step in [step, tilewright_plan::StepId(999)] {
        assert_eq!(rig.send(Event::StepDone { epoch, step, tokens: sampled.clone(), elapsed: Micros(0) }), []);
    }
    rig.drain();
    assert_eq!(rig.stream(1, 1).tokens, alone(&spec(4, 5), 50, 160).0);
}
