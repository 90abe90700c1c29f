//! How a token is drawn from logits.
//!
//! The stages run in this order, which is that of Hugging Face `transformers` and vLLM: logit bias, penalties, the mask of a
//! grammar ([`TokenMask`](crate::TokenMask)), temperature, top-k, top-p, min-p, draw. With `temperature` 0 the stages after the mask
//! are skipped and the largest logit wins, the lowest id among equals. The draw is a function of `seed` and the sampled token's position only, so
//! batching, preemption and a lost GPU never change what a seeded request says.

use crate::TokenId;
use serde::{Deserialize, Serialize};

/// What a request asks of the sampler. [`SamplingParams::default`] is greedy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingParams {
    /// Logits are divided by it; 0 means greedy. Finite, at least 0.
    pub temperature: f32,
    /// Only the `top_k` most likely tokens are candidates; 0 means all.
    pub top_k: u32,
    /// Only the smallest set of most likely tokens whose probabilities sum to at least `top_p`; in (0, 1].
    pub top_p: f32,
    /// Only tokens at least `min_p` times as likely as the most likely one; in [0, 1].
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens seen in prompt or output (Keskar et al. 2019); 1 is off. Positive.
    pub repetition_penalty: f32,
    /// Subtracted once per earlier occurrence in the output (`OpenAI`); 0 is off.
    pub frequency_penalty: f32,
    /// Subtracted once if the token occurs in the output (`OpenAI`); 0 is off.
    pub presence_penalty: f32,
    /// Added to the logits of single tokens.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// Seed of the counter-based generator.
    pub seed: u64,
    /// How many of the most likely tokens' log-probabilities come back with each token; `None`: not even its own.
    pub top_logprobs: Option<u32>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
            top_logprobs: None,
        }
    }
}
