//! What goes wrong with one request, or ends it, while others share its steps and wait for its blocks: the service and the scheduler
//! over a GPU, with the kernels of real GPUs.
//!
//! One row is multiplied by floats and several, where a device multiplies them, by integers, which round. So that "what it says alone"
//! is the same arithmetic, healthy requests go in pairs: two rows each step, with company or without.

use serde_json::json;
use std::collections::BTreeSet;
use std::slice;
use tilewright_engine::{Device, LoadOptions};
use tilewright_formats::DType;
use tilewright_plan::{BlockId, Executor, OpenSequence, SequenceId, StepPlan};
use tilewright_tests::model::{lavapipe_as_hardware, lavapipe_with_integers, open_gguf};
use tilewright_tests::serve::{Heard, request, serve};
use tilewright_tests::twin::as_gguf;

/// Its row of the embedding is not a number.
const POISONED: u32 = 300;
/// Tokens of a KV block.
const BLOCK: u32 = 16;

/// The checkpoint in blocks of 8 bits, with `POISONED`'s embedding damaged, and with so many blocks of keys and values.
fn executor(device: &Device, blocks: u64) -> Box<dyn Executor> {
    let file = as_gguf("llama", DType::Q8_0, |name, data| {
        if name == "token_embd.weight" {
            // Its first scale: a row is two blocks of an f16 and 32 codes.
            data[POISONED as usize * 68..][..2].copy_from_slice(&[0x00, 0x7e]);
        }
    });
    let Device::Gpu(gpu) = device else { unreachable!("lavapipe is a GPU to us") };
    let block_bytes = 3 * u64::from(BLOCK) * 64 * if gpu.halves_cache() { 2 } else { 4 };
    let options = LoadOptions { kv_bytes: Some(blocks * block_bytes), ..LoadOptions::default() };
    let executor = open_gguf(&file, device.clone(), options).executor;
    let capacity = executor.capacity();
    assert_eq!((u64::from(capacity.blocks), capacity.block_size, capacity.depth), (blocks, BLOCK, 3));
    executor
}

/// A prompt like no other's, of healthy tokens.
fn prompt(seed: u32, tokens: u32) -> Vec<u32> {
    (0..tokens).map(|i| 3 + (i * 7 + seed * 31) % 250).collect()
}

fn tokens(heard: &[Heard]) -> Vec<&[u32]> {
    heard.iter().map(|heard| heard.tokens.as_slice()).collect()
}

/// The blocks of every sequence whose text begins so.
fn blocks_of(plans: &[StepPlan], beginning: &[u32]) -> BTreeSet<BlockId> {
    let begins = |open: &&OpenSequence| {
        let known: Vec<u32> = open.tokens.iter().map(|token| token.0).collect();
        known.starts_with(beginning)
    };
    let sequences: Vec<SequenceId> =
        plans.iter().flat_map(|plan| &plan.open).filter(begins).map(|open| open.sequence).collect();
    let chunks = plans.iter().flat_map(|plan| &plan.chunks).filter(|chunk| sequences.contains(&chunk.sequence));
    chunks.flat_map(|chunk| chunk.block_table.iter().copied()).collect()
}

#[test]
fn a_poisoned_weight_ends_the_request_that_meets_it_and_is_forgotten() {
    let pair = [request(&prompt(1, 40), 12), request(&prompt(2, 44), 12)];
    let next_pair = [request(&prompt(3, 75), 12), request(&prompt(4, 80), 12)];
    let in_the_prompt = [&prompt(5, 20)[..], &[POISONED], &prompt(6, 19)].concat();
    // The first token is drawn from healthy logits; its embedding is what the second meets.
    let mut drawn = request(&prompt(5, 40), 12);
    drawn["logit_bias"] = json!({ POISONED.to_string(): 100 });
    for device in [lavapipe_as_hardware(), lavapipe_with_integers()] {
        let (alone, _) = serve(executor(&device, 12), &[&pair, &next_pair]);
        assert!(alone.iter().all(|heard| heard.tokens.len() == 12), "{alone:?}");
        for (poisoned, said) in [(request(&in_the_prompt, 12), 0), (drawn.clone(), 1)] {
            let [first, second] = pair.clone();
            let (heard, plans) = serve(executor(&device, 12), &[&[first, poisoned, second], &next_pair]);
            let Heard { tokens: before, error, .. } = &heard[1];
            let error = error.as_ref().expect("it can't end well");
            assert_eq!((error.code.as_deref(), before.len()), (Some("logits_not_finite"), said), "{error:?}");
            assert!(error.message.contains("not finite") && error.message.contains("weights"), "{}", error.message);
            assert!(plans.iter().any(|plan| plan.chunks.len() == 3), "they share steps");
            let others = [&heard[..1], &heard[2..]].concat();
            assert_eq!(tokens(&others), tokens(&alone));
            // The pair that came later has keys and values where those of the poisoned request were.
            let (left, taken) = (blocks_of(&plans, &prompt(5, 20)), blocks_of(&plans, &prompt(4, 80)));
            assert!(!left.is_disjoint(&taken) && !left.is_empty(), "{left:?}, {taken:?}");
        }
    }
}

#[test]
fn what_a_stop_sets_free_serves_another_though_surplus_steps_had_written_there() {
    let device = lavapipe_as_hardware();
    // Five blocks and four: the second waits for the first.
    let (first, second) = (request(&prompt(1, 70), 40), request(&prompt(2, 60), 40));
    let alone = [&first, &second].map(|body| serve(executor(&device, 7), &[slice::from_ref(body)]).0.remove(0).tokens);
    let at = (6..40).find(|&at| !alone[0][..at].contains(&alone[0][at])).expect("it doesn't repeat itself");
    let mut stopped = first;
    stopped["stop_token_ids"] = json!([alone[0][at]]);
    let (heard, plans) = serve(executor(&device, 7), &[&[stopped, second]]);
    assert_eq!(heard[0].finish_reason.as_deref(), Some("stop"));
    assert_eq!(heard[0].tokens, alone[0][..=at]);
    assert_eq!(heard[1].tokens, alone[1]);
    let is_second = |open: &OpenSequence| open.tokens[0].0 == prompt(2, 1)[0];
    let before_it = plans.iter().take_while(|plan| !plan.open.iter().any(is_second));
    let of_first = before_it.filter(|plan| !plan.chunks.is_empty());
    // Three steps read the prompt, the last of which drew a token.
    assert_eq!(of_first.count(), 2 + at + 1 + 2, "two steps were in flight when it stopped");
    assert!(!blocks_of(&plans, &prompt(1, 70)).is_disjoint(&blocks_of(&plans, &prompt(2, 60))));
}
