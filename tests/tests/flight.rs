//! Steps that are issued before the ones before were read back: the same tokens, no GPU objects, and errors that end one step.

use tilewright_engine::{Device, Gpu, LoadOptions};
use tilewright_plan::{
    BlockId, Chunk, ChunkOutput, Executor, ExecutorError, OpenSequence, SamplingParams, SequenceId, StepFuture, StepId,
    StepPlan, TokenId, TokenSource,
};
use tilewright_tests::fixture;
use tilewright_tests::model::{
    cpu, lavapipe, lavapipe_as_hardware, lavapipe_with_integers, lavapipe_with_least_limits, open_fixture,
};

fn executor(device: Device) -> Box<dyn Executor> {
    open_fixture("llama", device, LoadOptions { max_context: Some(128), ..LoadOptions::default() }).executor
}

/// Greedy, drawn, filtered, and penalized for tokens that are still in flight.
fn samplings() -> Vec<SamplingParams> {
    let drawn = SamplingParams { temperature: 0.8, seed: 5, ..SamplingParams::default() };
    vec![
        SamplingParams::default(),
        SamplingParams { top_k: 20, top_p: 0.9, ..drawn.clone() },
        SamplingParams { repetition_penalty: 1.3, frequency_penalty: 0.7, presence_penalty: 0.4, ..drawn.clone() },
        SamplingParams { repetition_penalty: 1.5, frequency_penalty: 1.0, ..SamplingParams::default() },
        SamplingParams { min_p: 0.05, logit_bias: vec![(TokenId(9), 3.0)], top_logprobs: Some(2), ..drawn },
    ]
}

/// One prompt per sampling, decoded together for `steps` steps with up to `depth` in flight. Tokens by sequence.
fn decode(executor: &mut dyn Executor, steps: u32, depth: usize, mut each_step: impl FnMut(u32)) -> Vec<Vec<u32>> {
    let samplings = samplings();
    let prompt = |index: u32| (0..5 + index).map(|i| TokenId(7 + 3 * i + index)).collect::<Vec<_>>();
    let mut tokens = vec![Vec::new(); samplings.len()];
    let mut in_flight: std::collections::VecDeque<StepFuture> = std::collections::VecDeque::new();
    let mut read = |future: StepFuture| {
        for sampled in pollster::block_on(future).unwrap().sampled {
            tokens[sampled.sequence.0 as usize].push(sampled.token.0);
        }
    };
    for step in 0..steps {
        let mut plan = StepPlan::default();
        for (index, sampling) in (0..).zip(&samplings) {
            let (sequence, tokens) = (SequenceId(u64::from(index)), prompt(index));
            let block_table: Vec<BlockId> = (4 * index..4 * index + 4).map(BlockId).collect();
            let start = if step == 0 { 0 } else { tokens.len() as u32 + step - 1 };
            let sources = if step == 0 {
                tokens.iter().map(|&token| TokenSource::Id(token)).collect()
            } else {
                vec![TokenSource::SampledBy(StepId(u64::from(step) - 1))]
            };
            if step == 0 {
                let prompt_len = tokens.len() as u32;
                plan.open.push(OpenSequence { sequence, tokens, prompt_len, sampling: sampling.clone() });
            }
            plan.chunks.push(Chunk { sequence, start, tokens: sources, block_table, output: ChunkOutput::Sample });
        }
        in_flight.push_back(executor.issue(StepId(u64::from(step)), plan));
        while in_flight.len() >= depth {
            read(in_flight.pop_front().unwrap());
        }
        each_step(step);
    }
    in_flight.into_iter().for_each(&mut read);
    tokens
}

#[test]
fn tokens_do_not_depend_on_how_many_steps_are_in_flight() {
    let reference = decode(&mut *executor(cpu()), 30, 1, |_| ());
    for device in [lavapipe(), lavapipe_as_hardware(), lavapipe_with_least_limits()] {
        for depth in [1, 2, 3, 5] {
            let tokens = decode(&mut *executor(device.clone()), 30, depth, |_| ());
            assert_eq!(tokens, reference, "{depth} steps in flight");
        }
    }
}

/// Prompts answered one after the other in the same blocks, with three steps in flight: the step that reads a prompt closes the sequence
/// before, two steps of which were not read back.
fn one_after_the_other(executor: &mut dyn Executor, prompts: &[Vec<TokenId>]) -> Vec<Vec<u32>> {
    let mut tokens = vec![Vec::new(); prompts.len()];
    let mut in_flight: std::collections::VecDeque<StepFuture> = std::collections::VecDeque::new();
    let mut read = |future: StepFuture| {
        for sampled in pollster::block_on(future).unwrap().sampled {
            tokens[sampled.sequence.0 as usize].push(sampled.token.0);
        }
    };
    let mut last = None;
    for (index, prompt) in prompts.iter().enumerate() {
        let sequence = SequenceId(index as u64);
        for position in 0..10 {
            let prompt_len = prompt.len() as u32;
            let opens =
                OpenSequence { sequence, tokens: prompt.clone(), prompt_len, sampling: SamplingParams::default() };
            let first = position == 0;
            let chunk = Chunk {
                sequence,
                start: if first { 0 } else { prompt_len + position - 1 },
                tokens: match last {
                    Some(step) if !first => vec![TokenSource::SampledBy(step)],
                    _ => prompt.iter().map(|&token| TokenSource::Id(token)).collect(),
                },
                block_table: (0..4).map(BlockId).collect(),
                output: ChunkOutput::Sample,
            };
            let plan = StepPlan {
                close: if first && index > 0 { vec![SequenceId(index as u64 - 1)] } else { Vec::new() },
                open: if first { vec![opens] } else { Vec::new() },
                chunks: vec![chunk],
                ..StepPlan::default()
            };
            let step = last.map_or(StepId(0), |StepId(step)| StepId(step + 1));
            in_flight.push_back(executor.issue(step, plan));
            last = Some(step);
            if in_flight.len() == 3 {
                read(in_flight.pop_front().unwrap());
            }
        }
    }
    in_flight.into_iter().for_each(&mut read);
    tokens
}

#[test]
fn blocks_may_be_another_s_while_steps_that_write_them_are_in_flight() {
    let prompt = |seed: u32, len: u32| (0..len).map(|i| TokenId((7 + 5 * i + 31 * seed) % 384)).collect::<Vec<_>>();
    // A longer one over a shorter and the other way round, of few rows and of many.
    let prompts = [prompt(1, 20), prompt(2, 45), prompt(3, 1), prompt(4, 33), prompt(5, 40)];
    for device in [lavapipe_as_hardware(), lavapipe_with_integers()] {
        let alone = |prompt: &Vec<TokenId>| {
            one_after_the_other(&mut *executor(device.clone()), std::slice::from_ref(prompt)).remove(0)
        };
        let expected: Vec<Vec<u32>> = prompts.iter().map(alone).collect();
        assert!(expected.iter().all(|tokens| tokens.len() == 10) && expected[0] != expected[1]);
        assert_eq!(one_after_the_other(&mut *executor(device.clone()), &prompts), expected);
    }
}

#[test]
fn a_step_makes_no_gpu_objects_once_its_like_has_run() {
    let device = lavapipe_as_hardware();
    let Device::Gpu(gpu) = &device else { unreachable!("lavapipe is a GPU to us") };
    let gpu: Gpu = gpu.clone();
    let mut executor = executor(device);
    assert_eq!(executor.capacity().depth, 3);
    let mut made = Vec::new();
    decode(&mut *executor, 30, 2, |_| made.push(gpu.objects_made()));
    assert!(made[3..].iter().all(|&count| count == made[3]), "{made:?}");
}

#[test]
fn a_step_whose_future_was_dropped_counts_for_the_penalties_of_later_ones() {
    let reference = decode(&mut *executor(cpu()), 20, 1, |_| ());
    for device in [lavapipe(), cpu()] {
        let mut executor = executor(device);
        let samplings = samplings();
        let index = 3;
        let prompt: Vec<TokenId> = (0..5 + index).map(|i| TokenId(7 + 3 * i + index)).collect();
        let open = OpenSequence {
            sequence: SequenceId(1),
            tokens: prompt.clone(),
            prompt_len: prompt.len() as u32,
            sampling: samplings[index as usize].clone(),
        };
        let mut last = Vec::new();
        for step in 0..20 {
            let sources = if step == 0 {
                prompt.iter().map(|&token| TokenSource::Id(token)).collect()
            } else {
                vec![TokenSource::SampledBy(StepId(step - 1))]
            };
            let start = if step == 0 { 0 } else { prompt.len() as u32 + step as u32 - 1 };
            let chunk = Chunk {
                sequence: SequenceId(1),
                start,
                tokens: sources,
                block_table: (0..4).map(BlockId).collect(),
                output: ChunkOutput::Sample,
            };
            let open = if step == 0 { vec![open.clone()] } else { Vec::new() };
            let future = executor.issue(StepId(step), StepPlan { open, chunks: vec![chunk], ..StepPlan::default() });
            if step % 7 == 6 || step == 19 {
                last = pollster::block_on(future).unwrap().sampled;
            }
        }
        assert_eq!(last[0].token.0, reference[index as usize][19]);
    }
}

#[test]
fn logits_that_are_not_finite_fail_their_step_and_the_executor_goes_on() {
    let poison = SamplingParams { logit_bias: vec![(TokenId(3), f32::INFINITY)], ..SamplingParams::default() };
    for device in [lavapipe(), lavapipe_as_hardware()] {
        let mut executor = executor(device);
        let plan = |sequence: u64, sampling: &SamplingParams| StepPlan {
            close: Vec::new(),
            open: vec![OpenSequence {
                sequence: SequenceId(sequence),
                tokens: vec![TokenId(5)],
                prompt_len: 1,
                sampling: sampling.clone(),
            }],
            chunks: vec![Chunk {
                sequence: SequenceId(sequence),
                start: 0,
                tokens: vec![TokenSource::Id(TokenId(5))],
                block_table: vec![BlockId(sequence as u32)],
                output: ChunkOutput::Sample,
            }],
            masks: Vec::new(),
        };
        let healthy = SamplingParams::default();
        let first = executor.issue(StepId(0), plan(1, &poison));
        let second = executor.issue(StepId(1), plan(2, &healthy));
        assert_eq!(pollster::block_on(first).unwrap_err(), ExecutorError::NotFinite(SequenceId(1)));
        assert_eq!(pollster::block_on(second).unwrap().sampled.len(), 1);
    }
}

#[test]
fn a_device_with_the_least_limits_gives_the_reference_logits() {
    let expected = fixture::expected("llama");
    for device in [lavapipe_with_least_limits(), lavapipe_as_hardware()] {
        let loaded = open_fixture("llama", device, LoadOptions::default());
        let mut driver = tilewright_tests::drive::Driver::new(loaded.executor);
        // In steps of few rows and of many: each has kernels of its own.
        for rows in [1, 7, 32, 48] {
            let logits = driver.logits(&expected.prompt_ids, rows);
            fixture::assert_close(&format!("{rows} rows a step"), &logits, &expected.prompt_logits);
        }
    }
}
