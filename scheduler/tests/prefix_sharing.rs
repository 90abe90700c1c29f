//! Beginnings that prompts have in common are computed once. Block size 16 and 10 blocks unless said otherwise.

mod fake;
mod rig;

use rig::{all_free, alone, name, rig, spec_of, tokens};
use tilewright_plan::{BlockId, TokenId};
use tilewright_scheduler::{BlockState, Command, Event, FinishReason, RequestSpec};

/// A prompt of `len` tokens of which the first `common` are everybody's.
fn sharing(client: u32, common: u32, len: u32, max_tokens: u32) -> RequestSpec {
    let prompt = (0..len).map(|position| if position < common { position % 47 } else { (position * 3 + client) % 50 });
    RequestSpec::new(tokens(prompt), max_tokens)
}

/// The cached tokens that a request's end reported.
fn cached(commands: &[Command], of: u64) -> Option<u32> {
    let (client, request) = name(of, 1);
    commands.iter().find_map(|command| match command {
        Command::Finish { client: c, request: r, cached_tokens, .. } if (*c, *r) == (client, request) => {
            Some(*cached_tokens)
        }
        _ => None,
    })
}

fn blocks(numbers: &[u32]) -> Vec<BlockId> {
    numbers.iter().copied().map(BlockId).collect()
}

#[test]
fn a_second_request_shares_full_blocks_and_blocks_return_useless_first_then_untouched_then_the_cached_tail_first() {
    let mut rig = rig(10, 16, 1);
    rig.submit(1, 1, sharing(1, 48, 55, 9));
    rig.step();
    let snapshot = rig.scheduler.snapshot();
    assert_eq!(snapshot.running[0].block_table, blocks(&[0, 1, 2, 3]), "55 tokens take 4 blocks");
    rig.submit(2, 1, sharing(2, 48, 55, 9));
    let snapshot = rig.scheduler.snapshot();
    assert_eq!(snapshot.running[1].block_table, blocks(&[0, 1, 2, 4]), "the second shares 3 and takes 1");
    assert_eq!(snapshot.running[1].cached_tokens, 48);
    assert_eq!(snapshot.blocks[2], BlockState::Referenced(2));
    rig.cancel(1, 1);
    rig.cancel(2, 1);
    rig.drain();
    let idle = rig.scheduler.snapshot().blocks;
    assert!(idle[..3].iter().all(|block| *block == BlockState::Cached), "{idle:?}");
    assert!(idle[3..].iter().all(|block| *block == BlockState::Free), "{idle:?}");
    // A miss of 159 tokens takes everything, in exactly this order.
    rig.submit(3, 1, spec_of(3, 159, 1));
    assert_eq!(rig.scheduler.snapshot().running[0].block_table, blocks(&[3, 4, 5, 6, 7, 8, 9, 2, 1, 0]));
}

#[test]
fn the_last_token_is_computed_even_if_all_of_the_prompt_is_there() {
    let mut rig = rig(10, 4, 1);
    rig.submit(1, 1, sharing(1, 8, 8, 1));
    rig.drain();
    let first = rig.plans.len();
    rig.submit(2, 1, sharing(2, 8, 8, 1));
    assert_eq!(rig.rows(first), [4], "8 tokens in blocks of 4: one block is a hit, the other is computed again");
    let commands = rig.step();
    assert_eq!(cached(&commands, 2), Some(4));
    assert_eq!(rig.stream(2, 1).tokens, alone(&sharing(2, 8, 8, 1), 50, 40).0);
}

#[test]
fn what_was_answered_is_a_beginning_too() {
    let mut rig = rig(10, 4, 1);
    let question = spec_of(1, 6, 7);
    rig.submit(1, 1, question.clone());
    rig.drain();
    // The next turn of the conversation: the question, the answer, and another question.
    let answer = rig.stream(1, 1).tokens.clone();
    let prompt = [&question.prompt[..], &answer, &tokens([3, 1, 4])].concat();
    rig.submit(1, 2, RequestSpec::new(prompt.clone(), 4));
    let running = &rig.scheduler.snapshot().running[0];
    assert_eq!((running.cached_tokens, prompt.len()), (12, 16), "all full blocks that were computed");
    rig.drain();
    assert_eq!(rig.stream(1, 2).tokens, alone(&RequestSpec::new(prompt, 4), 50, 40).0);
}

#[test]
fn salts_split_the_cache() {
    let mut rig = rig(10, 4, 1);
    let salted = |salt: Option<&str>| RequestSpec { cache_salt: salt.map(str::to_owned), ..sharing(1, 12, 12, 1) };
    for (request, salt, hit) in [(1, None, 0), (2, Some("a"), 0), (3, Some("b"), 0), (4, Some("a"), 8), (5, None, 8)] {
        rig.submit(1, request, salted(salt));
        assert_eq!(rig.scheduler.snapshot().running[0].cached_tokens, hit, "with salt {salt:?}");
        rig.drain();
    }
}

#[test]
fn a_hit_block_is_never_the_one_evicted_and_an_evicted_one_is_no_hit() {
    let mut rig = rig(4, 4, 1);
    rig.submit(1, 1, sharing(1, 8, 9, 1));
    rig.drain();
    // The same beginning and a long rest: the idle block that it shares must survive the allocation.
    rig.submit(2, 1, sharing(2, 8, 15, 1));
    let table = rig.scheduler.snapshot().running[0].block_table.clone();
    assert_eq!(table[..2], blocks(&[0, 1]));
    assert_eq!(table.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    rig.drain();
    rig.submit(3, 1, spec_of(3, 15, 1)); // takes, and so evicts, everything
    rig.drain();
    rig.submit(4, 1, sharing(4, 8, 9, 1));
    assert_eq!(rig.scheduler.snapshot().running[0].cached_tokens, 0);
    rig.drain();
}

#[test]
fn a_preempted_request_finds_its_full_blocks_again() {
    let mut rig = rig(6, 4, 1);
    rig.state(2, false, false, false);
    rig.submit(2, 1, spec_of(2, 8, 12));
    rig.step();
    rig.step();
    rig.submit(1, 1, spec_of(1, 11, 8)); // visible: takes what the hidden one holds
    let waiting = rig.scheduler.snapshot().waiting;
    assert_eq!((waiting.len(), waiting[0].client.0), (1, 2), "the hidden one waits");
    rig.drain();
    for (client, prompt, most) in [(1, 11, 8), (2, 8, 12)] {
        let expected = alone(&spec_of(client, prompt, most), 50, 24).0;
        assert_eq!(rig.stream(u64::from(client), 1).tokens, expected);
    }
    assert!(all_free(&rig));
}

#[test]
fn eviction_of_idle_blocks_comes_before_any_preemption() {
    let mut rig = rig(8, 4, 1);
    rig.submit(1, 1, spec_of(1, 15, 1));
    rig.drain(); // leaves its blocks in the cache
    rig.submit(2, 1, spec_of(2, 4, 20));
    rig.submit(3, 1, spec_of(3, 4, 6));
    while !rig.issued.is_empty() {
        rig.step();
        let snapshot = rig.scheduler.snapshot();
        let idle = snapshot.blocks.iter().any(|block| matches!(block, BlockState::Cached | BlockState::Free));
        assert!(snapshot.waiting.is_empty() || !idle, "somebody waits though blocks are idle: {snapshot:#?}");
    }
    assert_eq!(rig.stream(2, 1).tokens, alone(&spec_of(2, 4, 20), 50, 32).0);
}

#[test]
fn a_lost_executor_takes_the_cache_along() {
    let mut rig = rig(10, 4, 1);
    rig.submit(1, 1, sharing(1, 12, 12, 1));
    rig.drain();
    rig.lose();
    rig.recover();
    rig.submit(2, 1, sharing(2, 12, 12, 1));
    assert_eq!(rig.scheduler.snapshot().running[0].cached_tokens, 0);
    rig.drain();
}

#[test]
fn tokens_of_a_step_that_failed_are_never_shared() {
    let mut rig = rig(10, 4, 1);
    rig.submit(1, 1, sharing(1, 12, 12, 5));
    rig.issued[0].result = Err(tilewright_scheduler::StepFailure::NotFinite(rig.issued[0].plan.chunks[0].sequence));
    rig.step();
    assert_eq!(rig.stream(1, 1).end, Some(FinishReason::Failed));
    rig.submit(2, 1, sharing(2, 12, 12, 5));
    assert_eq!(rig.scheduler.snapshot().running[0].cached_tokens, 0);
    rig.drain();
}

#[test]
fn two_tabs_with_one_system_prompt_of_500_tokens_compute_it_once() {
    let mut rig = rig(100, 16, 1);
    rig.submit(1, 1, sharing(1, 500, 520, 10));
    while rig.streams.is_empty() {
        rig.step();
    }
    rig.submit(2, 1, sharing(2, 500, 520, 10));
    rig.drain();
    let rows = |client: u64| -> u32 {
        let steps = rig.scheduler.snapshot().steps;
        let of = |step: &tilewright_scheduler::StepRecord| {
            step.rows.iter().filter(|rows| rows.client.0 == client).map(|rows| rows.prefill).sum::<u32>()
        };
        steps.iter().map(of).sum()
    };
    assert_eq!((rows(1), rows(2)), (520, 520 - 496));
}

#[test]
fn two_tabs_that_come_at_the_same_time_share_what_either_computes() {
    let mut rig = rig(100, 16, 1);
    rig.submit(1, 1, sharing(1, 500, 520, 1));
    rig.submit(2, 1, sharing(2, 500, 520, 1));
    rig.drain();
    let rows: u32 = rig.scheduler.snapshot().steps.iter().flat_map(|step| &step.rows).map(|rows| rows.prefill).sum();
    assert_eq!(rows, 520 + (520 - 496));
    for client in [1, 2] {
        assert_eq!(rig.stream(u64::from(client), 1).tokens, alone(&sharing(client, 500, 520, 1), 50, 1600).0);
    }
}

#[test]
fn resumed_tokens_count_as_answered_and_share_like_any_others() {
    for cut in 1..12 {
        let mut rig = rig(10, 4, 2);
        let whole = spec_of(1, 6, 12);
        let (expected, _) = alone(&whole, 50, 40);
        rig.submit(1, 1, RequestSpec { generated: expected[..cut].to_vec(), ..whole.clone() });
        rig.drain();
        assert_eq!(rig.stream(1, 1).tokens, expected[cut..]);
        assert_eq!(rig.stream(1, 1).end, Some(FinishReason::Length));
    }
}

#[test]
fn a_resumed_request_that_had_come_to_its_end_ends_at_once() {
    let mut rig = rig(10, 4, 1);
    let whole = spec_of(1, 6, 5);
    let (expected, _) = alone(&whole, 50, 40);
    rig.submit(1, 1, RequestSpec { generated: expected, ..whole.clone() });
    assert_eq!((rig.stream(1, 1).end, rig.plans.len()), (Some(FinishReason::Length), 0));
    let stop = RequestSpec { generated: tokens([9]), eos_ids: vec![TokenId(9)], ..whole.clone() };
    rig.submit(1, 2, stop);
    assert_eq!((rig.stream(1, 2).end, rig.plans.len()), (Some(FinishReason::Stop), 0));
    let unknown = RequestSpec { generated: tokens([7_000]), ..whole };
    rig.submit(1, 3, unknown);
    assert_eq!(rig.rejected.len(), 1);
    rig.send(Event::ClientGone { client: name(1, 1).0 });
}
