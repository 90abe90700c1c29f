//! Plans that break a rule are refused and change nothing; what is allowed does what it says. On both executors.

use tilewright_engine::{Device, LoadOptions};
use tilewright_plan::{
    BlockId, Chunk, ChunkOutput, ExecutorError, OpenSequence, SamplingParams, SequenceId, StepId, StepPlan, TokenId,
    TokenMask, TokenSource,
};
use tilewright_tests::drive::Driver;
use tilewright_tests::model::{cpu, lavapipe, open_fixture};

fn drivers() -> [Driver; 2] {
    drivers_of(8)
}

fn drivers_of(rows: u32) -> [Driver; 2] {
    [cpu(), lavapipe()].map(|device: Device| {
        let options = LoadOptions { max_rows: Some(rows), kv_bytes: Some(16 * 16 * 768), ..LoadOptions::default() };
        Driver::new(open_fixture("llama", device, options).executor)
    })
}

fn open(sequence: u64) -> OpenSequence {
    OpenSequence {
        sequence: SequenceId(sequence),
        tokens: vec![TokenId(5), TokenId(6)],
        prompt_len: 2,
        sampling: SamplingParams::default(),
    }
}

fn chunk(sequence: u64) -> Chunk {
    Chunk {
        sequence: SequenceId(sequence),
        start: 0,
        tokens: vec![TokenSource::Id(TokenId(5)), TokenSource::Id(TokenId(6))],
        block_table: vec![BlockId(3)],
        output: ChunkOutput::Sample,
    }
}

fn plan(open: Vec<OpenSequence>, chunks: Vec<Chunk>) -> StepPlan {
    StepPlan { open, chunks, ..StepPlan::default() }
}

fn mask(sequence: u64, allowed: Vec<u32>) -> TokenMask {
    TokenMask { sequence: SequenceId(sequence), allowed }
}

#[test]
fn every_broken_rule_is_a_typed_error_and_the_executor_goes_on() {
    let token = |id| TokenSource::Id(TokenId(id));
    let masked = |masks| StepPlan { masks, ..plan(vec![open(1)], vec![chunk(1)]) };
    let silent = Chunk { output: ChunkOutput::None, ..chunk(1) };
    let broken: Vec<(&str, StepPlan)> = vec![
        ("no rows", plan(vec![open(1)], vec![Chunk { tokens: vec![], ..chunk(1) }])),
        ("too many rows", plan(vec![open(1)], vec![Chunk { tokens: vec![token(5); 9], ..chunk(1) }])),
        ("a sequence twice", plan(vec![open(1)], vec![chunk(1), chunk(1)])),
        ("a token past the vocabulary", plan(vec![open(1)], vec![Chunk { tokens: vec![token(384)], ..chunk(1) }])),
        ("an opened token past the vocabulary", {
            plan(vec![OpenSequence { tokens: vec![TokenId(u32::MAX); 2], ..open(1) }], vec![chunk(1)])
        }),
        ("a prompt longer than its tokens", plan(vec![OpenSequence { prompt_len: 3, ..open(1) }], vec![chunk(1)])),
        ("a block past the pool", plan(vec![open(1)], vec![Chunk { block_table: vec![BlockId(16)], ..chunk(1) }])),
        ("a table that is too short", plan(vec![open(1)], vec![Chunk { start: 15, ..chunk(1) }])),
        ("a position past the context", plan(vec![open(1)], vec![Chunk { start: u32::MAX, ..chunk(1) }])),
        ("one slot written twice", plan(vec![open(1), open(2)], vec![chunk(1), chunk(2)])),
        ("a token that was never sampled", {
            plan(vec![open(1)], vec![Chunk { tokens: vec![TokenSource::SampledBy(StepId(0))], ..chunk(1) }])
        }),
        ("a mask for nobody", masked(vec![mask(2, vec![1; 12])])),
        ("a mask without a draw", StepPlan { masks: vec![mask(1, vec![1; 12])], ..plan(vec![open(1)], vec![silent]) }),
        ("two masks", masked(vec![mask(1, vec![1; 12]), mask(1, vec![1; 12])])),
        ("a mask of too few tokens", masked(vec![mask(1, vec![1; 11])])),
        ("a mask that allows nothing", masked(vec![mask(1, vec![0; 12])])),
    ];
    for mut driver in drivers() {
        for (what, plan) in &broken {
            let error = driver.issue(plan.clone()).expect_err(what);
            assert!(matches!(error, ExecutorError::InvalidPlan(_)), "{what}: {error}");
            // The plan's `open` did not happen either.
            let error = driver.issue(self::plan(vec![], vec![chunk(1)])).expect_err(what);
            assert_eq!(error, ExecutorError::UnknownSequence(SequenceId(1)), "{what}");
        }
        assert_eq!(driver.issue(plan(vec![open(1)], vec![chunk(1)])).unwrap().sampled.len(), 1);
    }
}

#[test]
fn a_token_may_come_from_the_step_that_sampled_it() {
    for mut driver in drivers() {
        let expected = driver.generate(&[5, 6], 3, SamplingParams::default());
        let first = driver.issue(plan(vec![open(1)], vec![chunk(1)])).unwrap();
        assert_eq!(first.sampled[0].token.0, expected[0]);
        // `generate` took three steps and one to close, so the step above was number 4.
        let next = Chunk { start: 2, tokens: vec![TokenSource::SampledBy(StepId(4))], ..chunk(1) };
        let second = driver.issue(plan(vec![], vec![next])).unwrap();
        assert_eq!(second.sampled[0].token.0, expected[1]);
    }
}

#[test]
fn a_mask_leaves_what_it_allows_to_its_own_sequence_and_the_same_on_both_executors() {
    let allowed = |sequence: u64| (0..12).map(|word| 0x0100_0401_u32.rotate_left(sequence as u32 + word)).collect();
    let drawn = drivers().map(|mut driver| {
        let mut drawn = Vec::new();
        for round in 0..12_u64 {
            // Three with masks, of which the device has room for one at first, and one without; some greedy.
            let sampling = |sequence: u64| SamplingParams {
                temperature: if round % 4 == 0 { 0.0 } else { 1.5 },
                top_k: if round % 3 == 0 { 20 } else { 0 },
                top_p: if round % 3 == 1 { 0.8 } else { 1.0 },
                repetition_penalty: 1.3,
                logit_bias: vec![(TokenId(sequence as u32), 100.0)],
                seed: round,
                top_logprobs: sequence.is_multiple_of(2).then_some(0),
                ..SamplingParams::default()
            };
            let sequences = 4 * round..4 * round + 4;
            let open = sequences.clone().map(|id| OpenSequence { sampling: sampling(id % 4), ..open(id) }).collect();
            let table = |id: u64| vec![BlockId(id as u32 % 16)];
            let chunks = sequences.clone().map(|id| Chunk { block_table: table(id), ..chunk(id) }).collect();
            let masks = if round == 0 { 0..1 } else { 0..3 }.map(|id| mask(4 * round + id, allowed(id))).collect();
            let close = if round == 0 { vec![] } else { (4 * round - 4..4 * round).map(SequenceId).collect() };
            let plan = StepPlan { close, open, chunks, masks };
            let output = driver.issue(plan.clone()).unwrap();
            for sampled in &output.sampled {
                let mask = plan.mask(sampled.sequence);
                let token = sampled.token.0 as usize;
                assert!(mask.is_none_or(|allowed| allowed[token / 32] >> (token % 32) & 1 == 1), "{sampled:?}");
                // The bias wins where nothing forbids its token.
                assert!(mask.is_some() || token as u64 == sampled.sequence.0 % 4, "{sampled:?}");
            }
            drawn.extend(output.sampled);
        }
        drawn
    });
    let [cpu, gpu] = &drawn;
    for (cpu, gpu) in cpu.iter().zip(gpu) {
        assert_eq!((cpu.sequence, cpu.token), (gpu.sequence, gpu.token));
        assert!((cpu.logprob.unwrap_or(1.0) - gpu.logprob.unwrap_or(1.0)).abs() < 1e-3, "{cpu:?} {gpu:?}");
    }
}

#[test]
fn logits_come_back_of_the_rows_that_ask_for_them_also_where_a_device_takes_them_in_segments() {
    // Output rows: one drawn, 70 of a text, one drawn with its log-probability, one drawn; 64 are computed at a time.
    let with_logprobs = |sequence| OpenSequence {
        sampling: SamplingParams { top_logprobs: Some(2), ..SamplingParams::default() },
        ..open(sequence)
    };
    let text = Chunk {
        tokens: (0..70).map(|i| TokenSource::Id(TokenId(i * 5 % 384))).collect(),
        block_table: (4..9).map(BlockId).collect(),
        output: ChunkOutput::AllLogits,
        ..chunk(2)
    };
    let at = |sequence: u64| Chunk { block_table: vec![BlockId(sequence as u32 + 8)], ..chunk(sequence) };
    let plan = plan(vec![open(1), open(2), with_logprobs(3), open(4)], vec![at(1), text, at(3), at(4)]);
    let [cpu, gpu] = drivers_of(100).map(|mut driver| driver.issue(plan.clone()).unwrap());
    assert_eq!((cpu.logits.len(), gpu.logits.len()), (70 * 384, 70 * 384));
    for (cpu, gpu) in cpu.logits.iter().zip(&gpu.logits) {
        assert!((cpu - gpu).abs() < 2e-3, "{cpu} {gpu}");
    }
    for (cpu, gpu) in cpu.sampled.iter().zip(&gpu.sampled) {
        assert_eq!((cpu.token, cpu.logprob.is_some()), (gpu.token, gpu.logprob.is_some()));
        assert!((cpu.logprob.unwrap_or(1.0) - gpu.logprob.unwrap_or(1.0)).abs() < 1e-3, "{cpu:?} {gpu:?}");
    }
    assert_eq!(gpu.sampled.iter().map(|sampled| sampled.logprob.is_some()).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn a_closed_sequence_is_unknown_and_a_step_may_only_close() {
    for mut driver in drivers() {
        driver.issue(plan(vec![open(1)], vec![chunk(1)])).unwrap();
        driver.issue(StepPlan { close: vec![SequenceId(1), SequenceId(9)], ..StepPlan::default() }).unwrap();
        let error = driver.issue(plan(vec![], vec![chunk(1)])).unwrap_err();
        assert_eq!(error, ExecutorError::UnknownSequence(SequenceId(1)));
    }
}

#[test]
fn a_lost_device_is_an_error_at_every_later_step() {
    let device = lavapipe();
    let Device::Gpu(gpu) = &device else { unreachable!("lavapipe is a GPU to us") };
    let gpu = gpu.clone();
    let mut driver = Driver::new(open_fixture("llama", device, LoadOptions::default()).executor);
    driver.issue(plan(vec![open(1)], vec![chunk(1)])).unwrap();
    gpu.destroy();
    for _ in 0..2 {
        let error = driver.issue(plan(vec![open(2)], vec![chunk(2)])).unwrap_err();
        assert!(error.is_loss() && error.to_string().contains("llvmpipe"), "{error}");
    }
    assert!(gpu.check().is_err());
}

#[test]
fn seeded_sampling_and_log_probabilities_are_the_same_on_both_executors() {
    let sampling = SamplingParams {
        temperature: 0.9,
        top_p: 0.95,
        repetition_penalty: 1.1,
        seed: 7,
        top_logprobs: Some(3),
        ..SamplingParams::default()
    };
    let [cpu, gpu] = drivers().map(|mut driver| {
        let mut sequence = driver.sequence(1, 0, 40, sampling.clone());
        let mut next = vec![9, 8, 7];
        (0..20)
            .map(|_| {
                let output = driver.step(&mut [(&mut sequence, &next, ChunkOutput::Sample)]).unwrap();
                next = vec![output.sampled[0].token.0];
                output.sampled[0].clone()
            })
            .collect::<Vec<_>>()
    });
    for (cpu, gpu) in cpu.iter().zip(&gpu) {
        assert_eq!(cpu.token, gpu.token);
        assert!((cpu.logprob.unwrap() - gpu.logprob.unwrap()).abs() < 1e-3);
        assert_eq!(cpu.top_logprobs.len(), 3);
    }
}
