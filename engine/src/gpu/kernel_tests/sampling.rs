//! The sampler on the device against the sampler on the CPU.

use super::rig::{Random, bytes, run_counted};
use crate::gpu::dispatch::Counts;
use crate::gpu::pipelines::Access;
use crate::graph::{KeySplit, StepData};
use crate::kernels::KernelVariant;
use crate::kernels::sample::{SampleRecords, SampledRow, draw};
use crate::kernels::source::KernelShape;
use crate::sampling::TokenHistory;
use tilewright_plan::{SamplingParams, TokenId};

/// Draws a token for each row of logits `[rows, vocabulary]`; `None` where logits are not finite.
fn draw_all(
    logits: &[f32],
    vocabulary: u32,
    rows: &[SampledRow<'_>],
    sampled: &[u32],
    software: bool,
) -> Vec<Option<u32>> {
    let stride = vocabulary.next_multiple_of(8);
    let padded: Vec<f32> = logits
        .chunks_exact(vocabulary as usize)
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, (stride - vocabulary) as usize)))
        .collect();
    let records = SampleRecords::new(&rows.iter().copied().map(Some).collect::<Vec<_>>(), vocabulary);
    let step = StepData { output_rows: vec![0; rows.len()], ..StepData::default() };
    let mut words = Vec::new();
    let split = KeySplit { tile: 1, most_parts: 1 };
    let header = step.pack(&[], &records.words, split, 0, &mut words);
    let given = [(0, Access::Uniform, bytes(&[header])), (1, Access::Read, bytes(&words))];
    let shape = KernelShape::Logits { vocabulary, stride };
    let counts = Counts { rows: rows.len() as u32, ..Counts::default() };
    let run = |variant: KernelVariant, bindings: &[(u32, Access, Vec<u8>)]| {
        run_counted(&variant, &shape, &counts, &[&given[..], bindings].concat()).swap_remove(0)
    };
    let (workgroup, chunks, filter) = if software { (4, 2, 16) } else { (64, 8, 128) };
    let mut entries = records.entries.clone();
    entries.extend([0; 3]);
    let adjusted = run(
        KernelVariant::SampleAdjust { workgroup: 32 },
        &[
            (2, Access::ReadWrite, bytes(&padded)),
            (3, Access::Read, bytes(&entries)),
            (4, Access::Read, bytes(sampled)),
        ],
    );
    let least = run(
        KernelVariant::SampleFilter { workgroup: filter },
        &[(2, Access::Read, bytes(&adjusted)), (3, Access::ReadWrite, bytes(&vec![0_u32; 2 * rows.len()]))],
    );
    let parts = vec![0_u32; 4 * chunks as usize * rows.len()];
    let best = run(
        KernelVariant::SampleScan { workgroup, chunks },
        &[(2, Access::Read, bytes(&adjusted)), (3, Access::Read, bytes(&least)), (4, Access::ReadWrite, bytes(&parts))],
    );
    let tokens = run(
        KernelVariant::SamplePick { workgroup: chunks, chunks },
        &[(2, Access::Read, bytes(&best)), (3, Access::ReadWrite, bytes(&vec![0_u32; 2 * rows.len()]))],
    );
    let place = |row: &SampledRow<'_>| &tokens[2 * row.place as usize..][..2];
    rows.iter().map(|row| (place(row)[1].to_bits() == 1).then(|| place(row)[0].to_bits())).collect()
}

/// Parameters of every kind, greedy ones too.
fn some_params(random: &mut Random, index: u32) -> SamplingParams {
    let mut params = SamplingParams { seed: u64::from(random.word()) << 20, ..SamplingParams::default() };
    if !index.is_multiple_of(4) {
        params.temperature = 0.3 + random.float().abs();
    }
    if index.is_multiple_of(3) {
        params.top_k = 1 + random.below(60);
    }
    if index % 5 < 2 {
        params.top_p = 0.99 - 0.4 * random.float().abs();
    }
    if index.is_multiple_of(7) {
        params.min_p = 0.1 * random.float().abs();
    }
    if index.is_multiple_of(2) {
        params.repetition_penalty = 1.2;
        params.frequency_penalty = 0.25;
        params.presence_penalty = 0.5;
    }
    if index.is_multiple_of(6) {
        params.logit_bias = vec![(TokenId(3), 4.0), (TokenId(1), -2.0), (TokenId(9_999_999), 1.0)];
    }
    params
}

#[test]
fn the_device_draws_the_tokens_that_the_cpu_draws() {
    let mut random = Random(8000);
    for (vocabulary, software) in [(7, false), (1003, false), (1003, true), (4096, false)] {
        let count = 60;
        let logits: Vec<f32> = (0..count * vocabulary).map(|_| 6.0 * random.float()).collect();
        let params: Vec<SamplingParams> = (0..count).map(|index| some_params(&mut random, index)).collect();
        // What the CPU knows of each sequence, and the two tokens in flight that it doesn't.
        let known: Vec<Vec<TokenId>> =
            (0..count).map(|_| (0..30).map(|_| TokenId(random.below(vocabulary))).collect()).collect();
        let in_flight: Vec<[u32; 2]> = (0..count)
            .map(|index| {
                let [a, b] = [random.below(vocabulary), known[index as usize][3].0];
                if index.is_multiple_of(9) { [a, a] } else { [a, b] }
            })
            .collect();
        let sampled: Vec<u32> = in_flight.iter().flatten().flat_map(|&token| [token, 1]).collect();
        let places: Vec<[u32; 2]> = (0..count).map(|index| [2 * index, 2 * index + 1]).collect();
        let histories: Vec<TokenHistory> = known.iter().map(|tokens| TokenHistory::new(tokens, 20)).collect();
        let row = |index: usize| SampledRow {
            params: &params[index],
            history: &histories[index],
            position: 100 + index as u32,
            place: index as u32,
            pending: &places[index],
        };
        let rows: Vec<_> = (0..count as usize).map(row).collect();
        let drawn = draw_all(&logits, vocabulary, &rows, &sampled, software);
        let mut differing = Vec::new();
        for (index, drawn) in drawn.iter().enumerate() {
            let mut history = histories[index].clone();
            in_flight[index].iter().for_each(|&token| history.push(TokenId(token)));
            let mut logits = logits[index * vocabulary as usize..][..vocabulary as usize].to_vec();
            let expected = draw(&SampledRow { history: &history, ..rows[index] }, &mut logits).token.0;
            if *drawn != Some(expected) {
                differing.push((index, *drawn, expected, params[index].clone()));
            }
        }
        // Two candidates may be too close to call for two ways to take a logarithm.
        assert!(differing.len() <= 1, "vocabulary {vocabulary}: {differing:?}");
    }
}

#[test]
fn equal_logits_at_the_edge_of_top_k_are_told_apart_by_id() {
    let logits = [1.0, 2.0, 2.0, 2.0, 0.5, 2.0, 3.0, 2.0];
    let history = TokenHistory::default();
    let params: Vec<SamplingParams> =
        (0..200).map(|seed| SamplingParams { temperature: 5.0, top_k: 3, seed, ..SamplingParams::default() }).collect();
    let rows: Vec<_> = params
        .iter()
        .zip(0..)
        .map(|(params, place)| SampledRow { params, history: &history, position: 5, place, pending: &[] })
        .collect();
    let drawn = draw_all(&logits.repeat(200), 8, &rows, &[0, 0], false);
    let mut seen: Vec<u32> = drawn.into_iter().flatten().collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [1, 2, 6]);
}

/// Chi-square over nine degrees of freedom: 27.9 is passed by chance once in a thousand.
#[test]
fn draws_on_the_device_follow_the_softmax() {
    let logits: Vec<f32> = (0..10).map(|i| (i as f32 * 1.7).sin() * 2.0).collect();
    let params = SamplingParams { temperature: 0.8, seed: 99, ..SamplingParams::default() };
    let history = TokenHistory::default();
    let draws = 4000;
    let rows: Vec<_> = (0..draws)
        .map(|place| SampledRow { params: &params, history: &history, position: place, place, pending: &[] })
        .collect();
    let drawn = draw_all(&logits.repeat(draws as usize), 10, &rows, &[0, 0], false);
    let weights: Vec<f64> = logits.iter().map(|&x| f64::from(x / 0.8).exp()).collect();
    let all: f64 = weights.iter().sum();
    let chi: f64 = (0..10)
        .map(|token| {
            let seen = drawn.iter().filter(|&&id| id == Some(token)).count() as f64;
            let expected = weights[token as usize] / all * f64::from(draws);
            (seen - expected).powi(2) / expected
        })
        .sum();
    assert!(chi < 27.9, "chi-square {chi}");
}

#[test]
fn logits_that_are_not_finite_are_told_and_their_token_is_in_the_vocabulary() {
    let history = TokenHistory::default();
    let params = SamplingParams::default();
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut logits = vec![0.5; 300];
        logits[123] = poison;
        let row = |place| SampledRow { params: &params, history: &history, position: 1, place, pending: &[] };
        let drawn = draw_all(&logits, 100, &[row(0), row(1), row(2)], &[0, 0], false);
        assert_eq!(drawn, [Some(0), None, Some(0)], "{poison}");
    }
}
