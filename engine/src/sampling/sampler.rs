//! Logits to a token.
//!
//! The stages are those of [`SamplingParams`]. The draw itself is by the Gumbel-max trick: the token with the largest
//! `logit / temperature + noise` has the distribution of softmax(logits / temperature), the noise of each token being a
//! function of (seed, position, token). Unlike a walk along the cumulative distribution it needs no order of the
//! tokens and no sum over them, so a GPU draws the same token as this file whatever order it works in.

use super::{TokenHistory, random::gumbel};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use tilewright_plan::{SamplingParams, TokenId};

/// A token drawn from logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: TokenId,
    /// Its log-probability under the unchanged logits, if asked for.
    pub logprob: Option<f32>,
    /// The most likely tokens and theirs, most likely first.
    pub top_logprobs: Vec<(TokenId, f32)>,
}

/// What the logit of a token becomes that a mask forbids: lower than any, and still finite when it is divided by a temperature, as
/// kernels need not know infinity.
pub const FORBIDDEN: f32 = -1e30;

/// Draws the token at `position` from `logits` f32 `[vocabulary]`, which are finite, among those that the bits of `mask` allow. The
/// logits are changed.
pub fn sample(
    logits: &mut [f32],
    params: &SamplingParams,
    history: &TokenHistory,
    mask: Option<&[u32]>,
    position: u32,
) -> Drawn {
    let natural = params.top_logprobs.map(|count| (log_sum_exp(logits), top(logits, count as usize)));
    let unchanged = params.top_logprobs.map(|_| before(logits, params, history));
    penalize(logits, params, history);
    if let Some(allowed) = mask {
        forbid(logits, allowed);
    }
    let token = if params.temperature <= 0.0 { argmax(logits) } else { draw(logits, params, position) };
    let (norm, top) = natural.unwrap_or_default();
    Drawn {
        token: TokenId(token),
        logprob: unchanged.map(|before| before.get(&token).copied().unwrap_or(logits[token as usize]) - norm),
        top_logprobs: top.into_iter().map(|(token, logit)| (TokenId(token), logit - norm)).collect(),
    }
}

/// The log-probability of `token` and those of the `count` most likely, under `logits` f32 `[vocabulary]`.
pub fn log_probabilities(logits: &[f32], token: TokenId, count: u32) -> (f32, Vec<(TokenId, f32)>) {
    let norm = log_sum_exp(logits);
    let most_likely = top(logits, count as usize).into_iter().map(|(token, logit)| (TokenId(token), logit - norm));
    (logits.get(token.0 as usize).map_or(f32::NEG_INFINITY, |logit| logit - norm), most_likely.collect())
}

/// The logits that biases and penalties may change: a few, where a copy would be the vocabulary.
fn before(logits: &[f32], params: &SamplingParams, history: &TokenHistory) -> BTreeMap<u32, f32> {
    let biased = params.logit_bias.iter().map(|(token, _)| token.0);
    let changed = biased.chain(history.iter().map(|(token, _)| token.0));
    changed.filter_map(|token| logits.get(token as usize).map(|&logit| (token, logit))).collect()
}

/// Adds biases, then applies penalties.
fn penalize(logits: &mut [f32], params: &SamplingParams, history: &TokenHistory) {
    for &(token, bias) in &params.logit_bias {
        if let Some(logit) = logits.get_mut(token.0 as usize) {
            *logit += bias;
        }
    }
    let &SamplingParams { repetition_penalty, frequency_penalty, presence_penalty, .. } = params;
    if repetition_penalty == 1.0 && frequency_penalty == 0.0 && presence_penalty == 0.0 {
        return;
    }
    for (token, count) in history.iter() {
        let Some(logit) = logits.get_mut(token.0 as usize) else { continue };
        *logit = if *logit > 0.0 { *logit / repetition_penalty } else { *logit * repetition_penalty };
        *logit -= count as f32 * frequency_penalty;
        if count > 0 {
            *logit -= presence_penalty;
        }
    }
}

/// Makes logits whose bit is not set the lowest.
fn forbid(logits: &mut [f32], allowed: &[u32]) {
    for (logits, word) in logits.chunks_mut(32).zip(allowed) {
        for (bit, logit) in (0..).zip(logits) {
            if word >> bit & 1 == 0 {
                *logit = FORBIDDEN;
            }
        }
    }
}

/// The largest logit, the lowest id among equals. Two passes, as the compiler has vectors for each of them: what a maximum that
/// remembers its place has not.
fn argmax(logits: &[f32]) -> u32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, rest) = logits.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, logit);
        }
    }
    let best = lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger);
    logits.iter().position(|&logit| logit == best).unwrap_or(0) as u32
}

/// Draws from the candidates that top-k, top-p and min-p leave.
fn draw(logits: &[f32], params: &SamplingParams, position: u32) -> u32 {
    let mut candidates: Vec<(u32, f32)> = (0..).zip(logits.iter().map(|logit| logit / params.temperature)).collect();
    if params.top_k > 0 && (params.top_k as usize) < candidates.len() {
        let k = params.top_k as usize;
        candidates.select_nth_unstable_by(k - 1, by_logit);
        candidates.truncate(k);
    }
    if params.top_p < 1.0 {
        keep_top_p(&mut candidates, params.top_p);
    }
    if params.min_p > 0.0 {
        let top = candidates.iter().map(|candidate| candidate.1).fold(f32::NEG_INFINITY, f32::max);
        let least = top + params.min_p.ln();
        candidates.retain(|candidate| candidate.1 >= least);
    }
    let noisy = candidates.iter().map(|&(token, logit)| (token, logit + gumbel(params.seed, position, token)));
    noisy.min_by(by_logit).map_or(0, |(token, _)| token)
}

/// Keeps the smallest set of most likely candidates whose probabilities sum to at least `top_p`.
///
/// With p for `top_p`, tokens less likely than (1 - p) / n can't be in it, since all of them together weigh less than 1 - p: sorting
/// what is left is cheap.
fn keep_top_p(candidates: &mut Vec<(u32, f32)>, top_p: f32) {
    let logits: Vec<f32> = candidates.iter().map(|candidate| candidate.1).collect();
    let norm = log_sum_exp(&logits);
    let least = ((1.0 - top_p) / candidates.len() as f32).ln() + norm;
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    candidates.retain(|candidate| candidate.1 >= least || candidate.1 == best);
    candidates.sort_unstable_by(by_logit);
    let mut sum = 0.0;
    let kept = candidates.iter().position(|candidate| {
        sum += f64::from((candidate.1 - norm).exp());
        sum >= f64::from(top_p)
    });
    candidates.truncate(kept.map_or(candidates.len(), |last| last + 1));
}

/// Larger logits first, lower ids first among equals.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that sorting asks for; on wasm32 it is none to complain of"
)]
fn by_logit(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

fn top(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut all: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    let count = count.min(all.len());
    if count == 0 {
        return Vec::new();
    }
    all.select_nth_unstable_by(count - 1, by_logit);
    all.truncate(count);
    all.sort_unstable_by(by_logit);
    all
}

/// ln(sum(exp(logits)))
fn log_sum_exp(logits: &[f32]) -> f32 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - top).exp()).sum();
    top + sum.ln() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 6] = [1.0, 3.0, -2.0, 2.5, 0.0, -1.0];

    fn frequencies(params: &SamplingParams, draws: u32) -> Vec<f64> {
        let mut counts = vec![0_u32; LOGITS.len()];
        for position in 0..draws {
            let drawn = sample(&mut LOGITS.clone(), params, &TokenHistory::default(), None, position);
            counts[drawn.token.0 as usize] += 1;
        }
        counts.iter().map(|&count| f64::from(count) / f64::from(draws)).collect()
    }

    fn softmax(logits: &[f32]) -> Vec<f64> {
        let norm = log_sum_exp(logits);
        logits.iter().map(|logit| f64::from(logit - norm).exp()).collect()
    }

    fn draw_all() -> SamplingParams {
        SamplingParams { temperature: 1.0, seed: 42, ..SamplingParams::default() }
    }

    /// Chi-square over five degrees of freedom: 20.5 is passed by chance once in a thousand.
    #[test]
    fn draws_follow_the_softmax_at_any_temperature() {
        for temperature in [0.5, 1.0, 2.0] {
            let params = SamplingParams { temperature, ..draw_all() };
            let draws = 40_000;
            let expected = softmax(&LOGITS.map(|logit| logit / temperature));
            let seen = frequencies(&params, draws);
            let chi: f64 = seen.iter().zip(&expected).map(|(s, e)| (s - e).powi(2) / e * f64::from(draws)).sum();
            assert!(chi < 20.5, "temperature {temperature}: chi-square {chi}");
        }
    }

    #[test]
    fn greedy_takes_the_largest_logit_and_the_lowest_id_among_equals() {
        let drawn =
            |logits: &mut [f32]| sample(logits, &SamplingParams::default(), &TokenHistory::default(), None, 0).token;
        assert_eq!(drawn(&mut LOGITS.clone()), TokenId(1));
        assert_eq!(drawn(&mut [0.0, 2.0, 2.0]), TokenId(1));
        assert_eq!(drawn(&mut [-5.0, -4.0]), TokenId(1));
    }

    #[test]
    fn filters_leave_just_the_candidates_that_they_promise() {
        let support = |params: SamplingParams| -> Vec<usize> {
            let seen = frequencies(&params, 4000);
            (0..LOGITS.len()).filter(|&token| seen[token] > 0.0).collect()
        };
        // Softmax of LOGITS: .074 .551 .004 .334 .027 .010 (rounded)
        assert_eq!(support(SamplingParams { top_k: 2, ..draw_all() }), [1, 3]);
        assert_eq!(support(SamplingParams { top_p: 0.5, ..draw_all() }), [1]);
        assert_eq!(support(SamplingParams { top_p: 0.85, ..draw_all() }), [1, 3]);
        assert_eq!(support(SamplingParams { top_p: 0.95, ..draw_all() }), [0, 1, 3]);
        assert_eq!(support(SamplingParams { min_p: 0.1, ..draw_all() }), [0, 1, 3]);
        assert_eq!(support(SamplingParams { min_p: 1.0, ..draw_all() }), [1]);
        assert_eq!(support(SamplingParams { top_p: 0.95, top_k: 2, ..draw_all() }), [1, 3]);
    }

    #[test]
    fn a_mask_leaves_what_it_allows_in_the_proportions_that_it_had() {
        let draws = 4000;
        let drawn = |position| {
            sample(&mut LOGITS.clone(), &draw_all(), &TokenHistory::default(), Some(&[0b10_1001]), position).token.0
        };
        let mut counts = [0; 6];
        (0..draws).for_each(|position| counts[drawn(position) as usize] += 1);
        let expected = softmax(&[LOGITS[0], LOGITS[3], LOGITS[5]]);
        let seen = [0, 3, 5].map(|token: usize| f64::from(counts[token]));
        assert_eq!(seen.iter().sum::<f64>(), f64::from(draws), "{counts:?}");
        for (seen, expected) in seen.iter().zip(expected) {
            assert!((seen / f64::from(draws) - expected).abs() < 0.02, "{counts:?}");
        }
        let greedy =
            sample(&mut LOGITS.clone(), &SamplingParams::default(), &TokenHistory::default(), Some(&[0b1_0100]), 0);
        assert_eq!(greedy.token, TokenId(4));
    }

    #[test]
    fn a_draw_depends_on_seed_and_position_only() {
        let at = |seed, position| {
            let params = SamplingParams { seed, ..draw_all() };
            sample(&mut LOGITS.clone(), &params, &TokenHistory::default(), None, position).token
        };
        let run = |seed| (0..50).map(|position| at(seed, position)).collect::<Vec<_>>();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert_eq!(
            run(1).iter().rev().collect::<Vec<_>>(),
            (0..50).rev().map(|p| at(1, p)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn penalties_and_biases_move_the_logits_that_they_name() {
        let history = TokenHistory::new(&[TokenId(1), TokenId(2), TokenId(3), TokenId(3)], 2);
        let after = |params: SamplingParams| {
            let mut logits = LOGITS;
            penalize(&mut logits, &params, &history);
            logits
        };
        let greedy = SamplingParams::default;
        assert_eq!(after(greedy()), LOGITS);
        assert_eq!(after(SamplingParams { repetition_penalty: 2.0, ..greedy() }), [1.0, 1.5, -4.0, 1.25, 0.0, -1.0]);
        assert_eq!(after(SamplingParams { frequency_penalty: 0.5, ..greedy() }), [1.0, 3.0, -2.0, 1.5, 0.0, -1.0]);
        assert_eq!(after(SamplingParams { presence_penalty: 0.5, ..greedy() }), [1.0, 3.0, -2.0, 2.0, 0.0, -1.0]);
        let bias = vec![(TokenId(0), 10.0), (TokenId(99), 1.0)];
        assert_eq!(after(SamplingParams { logit_bias: bias, ..greedy() }), [11.0, 3.0, -2.0, 2.5, 0.0, -1.0]);
    }

    #[test]
    fn log_probabilities_are_those_of_the_unchanged_logits() {
        let params = SamplingParams {
            top_logprobs: Some(2),
            logit_bias: vec![(TokenId(4), 100.0)],
            ..SamplingParams::default()
        };
        let drawn = sample(&mut LOGITS.clone(), &params, &TokenHistory::default(), None, 0);
        let expected = softmax(&LOGITS);
        assert_eq!(drawn.token, TokenId(4));
        assert!((f64::from(drawn.logprob.unwrap()).exp() - expected[4]).abs() < 1e-6);
        assert_eq!(drawn.top_logprobs.iter().map(|(token, _)| token.0).collect::<Vec<_>>(), [1, 3]);
        assert!((f64::from(drawn.top_logprobs[0].1).exp() - expected[1]).abs() < 1e-6);
    }
}
