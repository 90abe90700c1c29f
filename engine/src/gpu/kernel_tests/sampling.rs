//! What the sampler on the device is, beyond that it draws as the CPU does.

use super::rig;
use crate::gpu::check::sampling::draw_all;
use crate::kernels::sample::SampledRow;
use crate::sampling::TokenHistory;
use tilewright_plan::SamplingParams;

fn drawn_by(
    logits: &[f32],
    vocabulary: u32,
    rows: &[SampledRow<'_>],
    sampled: &[u32],
    software: bool,
) -> Vec<Option<u32>> {
    pollster::block_on(draw_all(&mut rig(), logits, vocabulary, rows, sampled, software)).unwrap()
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
    let drawn = drawn_by(&logits.repeat(200), 8, &rows, &[0, 0], false);
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
    let drawn = drawn_by(&logits.repeat(draws as usize), 10, &rows, &[0, 0], false);
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
        let drawn = drawn_by(&logits, 100, &[row(0), row(1), row(2)], &[0, 0], false);
        assert_eq!(drawn, [Some(0), None, Some(0)], "{poison}");
    }
}
