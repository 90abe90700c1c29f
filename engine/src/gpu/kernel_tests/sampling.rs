//! What the sampler on the device is, beyond that it draws as the CPU does.

use super::rig;
use crate::gpu::check::rig::Random;
use crate::gpu::check::sampling::Sampled;
use crate::kernels::sample::SampledRow;
use crate::sampling::TokenHistory;
use tilewright_plan::SamplingParams;

/// What the device leaves of each row, most likely first.
fn left_by(logits: &[f32], vocabulary: u32, params: &[SamplingParams], software: bool) -> Vec<Vec<u32>> {
    let history = TokenHistory::default();
    let row = |params, place| SampledRow { params, history: &history, position: 5, place, pending: &[] };
    let rows: Vec<_> = params.iter().zip(0..).map(|(params, place)| row(params, place)).collect();
    let sampled = Sampled::new(logits, vocabulary, &rows, software);
    let padded: Vec<f32> = logits
        .chunks(vocabulary as usize)
        .flat_map(|row| [row, &vec![0.0; (vocabulary.next_multiple_of(8) - vocabulary) as usize]].concat())
        .collect();
    let least = pollster::block_on(sampled.least(&mut rig(), &padded)).unwrap();
    let order = |x: f32| if x.is_sign_negative() { !x.to_bits() } else { x.to_bits() | 1 << 31 };
    let left = |((row, params), least): ((&[f32], &SamplingParams), &[u32; 2])| {
        let y = |id: u32| row[id as usize] / params.temperature;
        let mut ids: Vec<u32> = (0..vocabulary).filter(|&id| [order(y(id)), 0x00ff_ffff - id] >= *least).collect();
        ids.sort_by(|&a, &b| y(b).total_cmp(&y(a)).then(a.cmp(&b)));
        ids
    };
    logits.chunks(vocabulary as usize).zip(params).zip(&least).map(left).collect()
}

/// All ids, most likely first, and how many of them sorting and adding up in f64 leaves: at least and at most, as sums of f32 may lack
/// a little of what is wanted.
fn left_by_sorting(logits: &[f32], params: &SamplingParams) -> (Vec<u32>, [usize; 2]) {
    const SLACK: f64 = 3e-5;
    let y = |id: u32| logits[id as usize] / params.temperature;
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    ids.sort_by(|&a, &b| y(b).total_cmp(&y(a)).then(a.cmp(&b)));
    let top = y(ids[0]);
    let ranked = if params.top_k > 0 { &ids[..params.top_k as usize] } else { &ids };
    let weight = |&id: &u32| f64::from(y(id) - top).exp();
    let all: f64 = ranked.iter().map(weight).sum();
    let needed = |share: f64| {
        let mut sum = 0.0;
        let last = ranked.iter().position(|id| {
            sum += weight(id);
            sum / all >= share
        });
        last.map_or(ranked.len(), |last| last + 1)
    };
    let likely = ranked.iter().take_while(|&&id| params.min_p == 0.0 || y(id) >= top + params.min_p.ln()).count();
    let share = f64::from(params.top_p);
    let counts = if share < 1.0 { [share - SLACK, share + SLACK].map(needed) } else { [ranked.len(); 2] };
    let counts = counts.map(|count| count.min(likely));
    (ids, counts)
}

#[test]
fn what_filters_leave_is_what_sorting_leaves_of_any_row() {
    let mut random = Random(31);
    let vocabulary = 20_011;
    let mut rows: Vec<Vec<f32>> = Vec::new();
    // As a model has them: few stand out. Then flat, with many equals, all equal, and one far above.
    rows.push((0..vocabulary).map(|_| 3.0 * random.float() + 14.0 * random.float().powi(31)).collect());
    rows.push((0..vocabulary).map(|_| random.float()).collect());
    rows.push((0..vocabulary).map(|_| (random.float() * 9.0).round()).collect());
    rows.push(vec![-2.5; vocabulary as usize]);
    rows.push((0..vocabulary).map(|id| if id == 777 { 80.0 } else { -random.float().abs() }).collect());
    let filters = [
        (40, 1.0, 0.0),
        (0, 0.9, 0.0),
        (50, 0.9, 0.02),
        (0, 0.0, 0.0),
        (0, 0.999_999, 0.0),
        (0, 1.0, 0.1),
        (3000, 0.5, 0.0),
        (19_000, 1.0, 0.0),
        (1, 1.0, 0.0),
        (0, 0.5, 0.0),
    ];
    for software in [false, true] {
        for (kind, logits) in rows.iter().enumerate() {
            let params: Vec<SamplingParams> = filters
                .iter()
                .map(|&(top_k, top_p, min_p)| SamplingParams {
                    temperature: 0.7,
                    top_k,
                    top_p,
                    min_p,
                    ..SamplingParams::default()
                })
                .collect();
            let left = left_by(&logits.repeat(params.len()), vocabulary, &params, software);
            for (params, left) in params.iter().zip(left) {
                let (ids, [least, most]) = left_by_sorting(logits, params);
                let count = left.len();
                assert!((least..=most).contains(&count), "row {kind}, {params:?}: {count} left, not {least} to {most}");
                assert_eq!(left, ids[..count], "row {kind}, {params:?}");
            }
        }
    }
}

fn drawn_by(
    logits: &[f32],
    vocabulary: u32,
    rows: &[SampledRow<'_>],
    sampled: &[u32],
    software: bool,
) -> Vec<Option<u32>> {
    pollster::block_on(Sampled::new(logits, vocabulary, rows, software).draw(&mut rig(), sampled)).unwrap()
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
