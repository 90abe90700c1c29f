//! The tiny checkpoints against `transformers`, on the CPU, on its twins and on lavapipe.

use tilewright_engine::LoadOptions;
use tilewright_plan::{ChunkOutput, SamplingParams};
use tilewright_tests::drive::Driver;
use tilewright_tests::fixture::{self, assert_close};
use tilewright_tests::model::{cpu, cpu_reference, lavapipe, lavapipe_with_bindings_of, open_fixture};

const FIXTURES: [&str; 2] = ["llama", "llama3-rope"];

fn drivers(name: &str) -> [(&'static str, Driver); 3] {
    [("cpu", cpu()), ("twins", cpu_reference()), ("lavapipe", lavapipe())]
        .map(|(label, device)| (label, Driver::new(open_fixture(name, device, LoadOptions::default()).executor)))
}

#[test]
fn every_logit_of_the_prompt_is_that_of_the_reference() {
    for name in FIXTURES {
        let expected = fixture::expected(name);
        for (device, mut driver) in drivers(name) {
            let logits = driver.logits(&expected.prompt_ids, 64);
            let used = assert_close(&format!("{name} on {device}"), &logits, &expected.prompt_logits);
            println!("{name} on {device}: at most {used:.3} of the tolerance");
        }
    }
}

#[test]
fn a_prompt_in_chunks_of_odd_sizes_gives_the_same_logits() {
    for name in FIXTURES {
        let expected = fixture::expected(name);
        for (device, mut driver) in drivers(name) {
            for chunk in [1, 3, 7, 13, 17, 39] {
                let logits = driver.logits(&expected.prompt_ids, chunk);
                assert_close(&format!("{name} on {device} by {chunk}"), &logits, &expected.prompt_logits);
            }
        }
    }
}

/// The reference's continuation is fed back, so that a step where its two best logits are closer than the tolerance
/// doesn't end the comparison: at every other step the choice has to be the same. Up to the first such step, free
/// decoding through the sampler has to give the same ids.
#[test]
fn greedy_decoding_follows_the_reference() {
    for name in FIXTURES {
        let expected = fixture::expected(name);
        let mut text = expected.prompt_ids.clone();
        text.extend(&expected.greedy_ids);
        for (device, mut driver) in drivers(name) {
            let logits = driver.logits(&text, 64);
            let from_prompt = logits.chunks(expected.vocabulary).skip(expected.prompt_ids.len() - 1);
            let (mut compared, mut clear_prefix) = (0, 0);
            for (step, (row, &reference)) in from_prompt.zip(&expected.greedy_ids).enumerate() {
                let mut order: Vec<usize> = (0..row.len()).collect();
                order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
                if row[order[0]] - row[order[1]] > 1e-3 + 2e-3 * row[order[0]].abs() {
                    assert_eq!(order[0] as u32, reference, "{name} on {device}, step {step}");
                    clear_prefix += usize::from(clear_prefix == step);
                    compared += 1;
                }
            }
            assert!(compared >= 20, "{name} on {device}: only {compared} of 24 steps are clear");
            let ids = driver.generate(&expected.prompt_ids, clear_prefix, SamplingParams::default());
            assert_eq!(ids, expected.greedy_ids[..clear_prefix], "{name} on {device}");
            println!("{name} on {device}: {compared} of 24 steps compared, {clear_prefix} decoded freely");
        }
    }
}

#[test]
fn ragged_prompts_give_the_reference_logits_alone_and_as_one_batch() {
    for name in FIXTURES {
        let expected = fixture::expected(name);
        for (device, mut driver) in drivers(name) {
            for (prompt, reference) in expected.ragged.iter().zip(expected.ragged_logits.chunks(expected.vocabulary)) {
                let logits = driver.logits(prompt, 64);
                let last = &logits[logits.len() - expected.vocabulary..];
                assert_close(&format!("{name} on {device}, {} tokens alone", prompt.len()), last, reference);
            }
            let mut sequences: Vec<_> = (0..expected.ragged.len() as u32)
                .map(|i| driver.sequence(u64::from(i), i * 8, 64, SamplingParams::default()))
                .collect();
            let mut parts: Vec<_> = sequences
                .iter_mut()
                .zip(&expected.ragged)
                .map(|(sequence, prompt)| (sequence, prompt.as_slice(), ChunkOutput::LastLogits))
                .collect();
            let rows: usize = expected.ragged.iter().map(Vec::len).sum();
            assert!(rows > 64, "more rows than a tile of the matrix product has");
            let output = step_within_capacity(&mut driver, &mut parts);
            assert_close(&format!("{name} on {device}, one batch"), &output, &expected.ragged_logits);
        }
    }
}

/// Runs ragged prompts together; where a step takes fewer rows, each prompt goes in by chunks of an odd size.
fn step_within_capacity(
    driver: &mut Driver,
    parts: &mut [(&mut tilewright_tests::drive::Sequence, &[u32], ChunkOutput)],
) -> Vec<f32> {
    let longest = parts.iter().map(|(_, tokens, _)| tokens.len()).max().unwrap();
    let mut last = vec![Vec::new(); parts.len()];
    for start in (0..longest).step_by(11) {
        let mut indices = Vec::new();
        let mut step = Vec::new();
        for (index, (sequence, tokens, output)) in parts.iter_mut().enumerate() {
            if start < tokens.len() {
                let end = tokens.len().min(start + 11);
                let output = if end == tokens.len() { *output } else { ChunkOutput::None };
                indices.push((index, end == tokens.len()));
                step.push((&mut **sequence, &tokens[start..end], output));
            }
        }
        let output = driver.step(&mut step).unwrap();
        let finished = indices.iter().filter(|(_, done)| *done).map(|(index, _)| *index);
        let count = finished.clone().count().max(1);
        let vocabulary = output.logits.len() / count;
        for (index, logits) in finished.zip(output.logits.chunks(vocabulary.max(1))) {
            last[index] = logits.to_vec();
        }
    }
    last.concat()
}

#[test]
fn a_matrix_split_over_several_bindings_gives_the_same_logits() {
    let expected = fixture::expected("llama");
    // The embedding is 384 rows of 128 bytes: parts of 128 rows; the KV cache shrinks along.
    let device = lavapipe_with_bindings_of(16_384);
    let mut driver = Driver::new(open_fixture("llama", device, LoadOptions::default()).executor);
    let logits = driver.logits(&expected.prompt_ids, 16);
    assert_close("split", &logits, &expected.prompt_logits);
}
