//! What the sampler on the device is, beyond that it draws as the CPU does.

use super::rig;
use crate::gpu::check::rig::Random;
use crate::gpu::check::sampling::{Sizes, draw_all};
use crate::kernels::sample::SampledRow;
use crate::sampling::TokenHistory;
use tilewright_plan::SamplingParams;

fn drawn_by(logits: &[f32], vocabulary: u32, rows: &[SampledRow<'_>], sampled: &[u32]) -> Vec<Option<u32>> {
    pollster::block_on(draw_all(&mut rig(), logits, vocabulary, rows, sampled, Sizes::Gpu)).unwrap().tokens
}

/// How many tokens top-k, top-p and min-p leave, by the plainest means: all are sorted, and summed up as f64.
fn survivors(logits: &[f32], params: &SamplingParams) -> usize {
    let mut scaled: Vec<f32> = logits.iter().map(|x| x / params.temperature).collect();
    scaled.sort_by(|a, b| b.total_cmp(a));
    if params.top_k > 0 {
        scaled.truncate(params.top_k as usize);
    }
    let top = scaled[0];
    let weight = |y: f32| f64::from(y - top).exp();
    if params.top_p < 1.0 {
        let wanted = f64::from(params.top_p) * scaled.iter().map(|&y| weight(y)).sum::<f64>();
        let mut sum = 0.0;
        let enough = scaled.iter().position(|&y| {
            sum += weight(y);
            sum >= wanted
        });
        scaled.truncate(enough.map_or(scaled.len(), |last| last + 1));
    }
    if params.min_p > 0.0 {
        scaled.retain(|&y| y >= top + params.min_p.ln());
    }
    scaled.len()
}

/// Logits of many kinds: like a language model's, flat, all equal, of few values, far apart, and one above all.
fn kinds_of_logits(random: &mut Random, vocabulary: u32) -> Vec<(&'static str, Vec<f32>)> {
    let mut made = |make: &dyn Fn(f32, f32) -> f32| -> Vec<f32> {
        (0..vocabulary).map(|_| make(random.float(), random.float())).collect()
    };
    let mut kinds = vec![
        ("a language model's", made(&|a, b| 6.0 * (a + b) + 8.0 * a.powi(7))),
        ("flat", made(&|a, _| 1e-3 * a)),
        ("equal", made(&|_, _| 1.25)),
        ("of few values", made(&|a, _| (a * 3.0).round())),
        ("far apart", made(&|a, b| 3e4 * a * b.abs().powi(9))),
        ("below zero", made(&|a, _| 5.0 * a - 40.0)),
    ];
    let mut peak = kinds[0].1.clone();
    peak[vocabulary as usize / 2] = 60.0;
    kinds.push(("with a peak", peak));
    kinds
}

#[test]
fn filters_on_the_device_leave_as_many_tokens_as_sorting_does() {
    let mut random = Random(77);
    let greedy = SamplingParams { temperature: 1.0, ..SamplingParams::default() };
    let mut params = Vec::new();
    for temperature in [0.7, 1.0, 1e-3, 50.0] {
        let at = SamplingParams { temperature, ..greedy.clone() };
        let by_p = [0.0, 1e-6, 0.5, 0.9, 0.999].map(|top_p| SamplingParams { top_p, ..at.clone() });
        let by_k = [1, 40, 1500, 1_000_000].map(|top_k| SamplingParams { top_k, ..at.clone() });
        let both =
            [(40, 0.9), (3, 0.4), (2000, 0.95)].map(|(k, p)| SamplingParams { top_k: k, top_p: p, ..at.clone() });
        params.extend(by_p.into_iter().chain(by_k).chain(both));
        params.push(SamplingParams { min_p: 0.05, ..at.clone() });
        params.push(SamplingParams { min_p: 0.05, top_p: 0.9, top_k: 100, ..at });
    }
    let history = TokenHistory::default();
    for (vocabulary, sizes) in [(5003, Sizes::Gpu), (5003, Sizes::Software), (49_152, Sizes::Gpu), (9, Sizes::Odd)] {
        for (kind, logits) in kinds_of_logits(&mut random, vocabulary) {
            let rows: Vec<_> = params
                .iter()
                .zip(0..)
                .map(|(params, place)| SampledRow {
                    params,
                    history: &history,
                    position: 5,
                    place,
                    pending: &[],
                    mask: None,
                })
                .collect();
            let repeated = logits.repeat(rows.len());
            let draws = pollster::block_on(draw_all(&mut rig(), &repeated, vocabulary, &rows, &[0, 0], sizes)).unwrap();
            for (params, least) in params.iter().zip(draws.least) {
                let filters = (1..vocabulary).contains(&params.top_k) || params.top_p < 1.0 || params.min_p > 0.0;
                let order = |x: f32| if x.is_sign_negative() { !x.to_bits() } else { x.to_bits() | 1 << 31 };
                let kept = |&(token, x): &(u32, f32)| [order(x / params.temperature), 0xff_ffff - token] >= least;
                let left = (0..).zip(logits.iter().copied()).filter(kept).count();
                let expected = survivors(&logits, params);
                // Sums in f32 and in f64 part where thousands of tokens weigh next to nothing each.
                let slack = if params.top_p < 1.0 { expected / 1000 } else { 0 };
                assert!(
                    !filters || left.abs_diff(expected) <= slack,
                    "{vocabulary} logits {kind}: {left} left instead of {expected} by {params:?}"
                );
            }
        }
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
        .map(|(params, place)| SampledRow { params, history: &history, position: 5, place, pending: &[], mask: None })
        .collect();
    let drawn = drawn_by(&logits.repeat(200), 8, &rows, &[0, 0]);
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
        .map(|place| SampledRow {
            params: &params,
            history: &history,
            position: place,
            place,
            pending: &[],
            mask: None,
        })
        .collect();
    let drawn = drawn_by(&logits.repeat(draws as usize), 10, &rows, &[0, 0]);
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
        let row =
            |place| SampledRow { params: &params, history: &history, position: 1, place, pending: &[], mask: None };
        let drawn = drawn_by(&logits, 100, &[row(0), row(1), row(2)], &[0, 0]);
        assert_eq!(drawn, [Some(0), None, Some(0)], "{poison}");
        // Neither does a mask hide it, which allows the first two here.
        let masked = |place| SampledRow { mask: Some(&[3, 0, 0, 0]), ..row(place) };
        let drawn = drawn_by(&logits, 100, &[masked(0), masked(1), masked(2)], &[0, 0]);
        assert_eq!(drawn, [Some(0), None, Some(0)], "{poison}");
    }
}
