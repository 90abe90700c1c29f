//! Ranges and defaults of everything that says how tokens are drawn.

use super::Endpoint;
use super::body::Body;
use super::fields::{Integer, Logprobs};
use crate::ApiError;
use serde_json::Value;
use tilewright_plan::{SamplingParams, TokenId};

/// A model's own defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Defaults {
    pub(crate) temperature: Option<f32>,
    pub(crate) top_k: Option<u32>,
    pub(crate) top_p: Option<f32>,
    pub(crate) min_p: Option<f32>,
    pub(crate) repetition_penalty: Option<f32>,
}

impl Defaults {
    /// From an object with the names of `generation_config.json`. A value out of range is an error.
    pub(crate) fn read(config: &Value) -> Result<Self, ApiError> {
        let number = |name: &str| config.get(name).and_then(Value::as_f64);
        let top_k = config.get("top_k").and_then(Value::as_i64).map(|top_k| Integer(top_k.into()));
        Ok(Self {
            temperature: TEMPERATURE.check(number("temperature"))?,
            top_k: check_top_k(top_k)?,
            top_p: TOP_P.check(number("top_p"))?,
            min_p: MIN_P.check(number("min_p"))?,
            repetition_penalty: REPETITION_PENALTY.check(number("repetition_penalty"))?,
        })
    }
}

/// A number's name and range.
struct Range {
    name: &'static str,
    least: f32,
    /// `least` itself is out of range.
    open: bool,
    most: f32,
}

const TEMPERATURE: Range = Range { name: "temperature", least: 0.0, open: false, most: 2.0 };
const TOP_P: Range = Range { name: "top_p", least: 0.0, open: true, most: 1.0 };
const MIN_P: Range = Range { name: "min_p", least: 0.0, open: false, most: 1.0 };
const REPETITION_PENALTY: Range = Range { name: "repetition_penalty", least: 0.0, open: true, most: 10.0 };
const FREQUENCY_PENALTY: Range = Range { name: "frequency_penalty", least: -2.0, open: false, most: 2.0 };
const PRESENCE_PENALTY: Range = Range { name: "presence_penalty", least: -2.0, open: false, most: 2.0 };

impl Range {
    fn check(&self, value: Option<f64>) -> Result<Option<f32>, ApiError> {
        let Some(value) = value else { return Ok(None) };
        let number = value as f32;
        let inside = number <= self.most && if self.open { number > self.least } else { number >= self.least };
        if inside {
            return Ok(Some(number));
        }
        let Self { name, least, most, .. } = self;
        let least = if self.open { format!("greater than {least}") } else { format!("at least {least}") };
        Err(ApiError::invalid(name, format!("{name} has to be {least} and at most {most}; it is {value}")))
    }
}

/// An integer from `least` to `most`.
pub(super) fn integer(name: &str, value: Option<Integer>, least: i128, most: i128) -> Result<Option<i128>, ApiError> {
    match value {
        None => Ok(None),
        Some(Integer(value)) if (least..=most).contains(&value) => Ok(Some(value)),
        Some(Integer(value)) => {
            Err(ApiError::invalid(name, format!("{name} has to be at least {least} and at most {most}; it is {value}")))
        }
    }
}

/// -1 and 0 both mean all.
fn check_top_k(value: Option<Integer>) -> Result<Option<u32>, ApiError> {
    let top_k = integer("top_k", value, -1, u32::MAX.into())?;
    Ok(top_k.map(|top_k| u32::try_from(top_k).unwrap_or(0)))
}

/// The most alternatives that a token's log-probability comes with.
const MAX_TOP_LOGPROBS: i128 = 20;

pub(super) fn read(
    body: &Body,
    endpoint: Endpoint,
    defaults: &Defaults,
    vocabulary: u32,
    fallback_seed: u64,
) -> Result<SamplingParams, ApiError> {
    // A negative seed is the 64 bits that it is written with.
    let seed = integer("seed", body.seed, i64::MIN.into(), u64::MAX.into())?.map(|seed| seed as u64);
    let mut logit_bias = Vec::new();
    for (key, &bias) in body.logit_bias.iter().flatten() {
        let path = format!("logit_bias.{key}");
        let id = key.parse().ok().filter(|&id: &u32| id < vocabulary).ok_or_else(|| {
            ApiError::invalid(&path, format!("{path}: names have to be token ids below {vocabulary}"))
        })?;
        if !(-100.0..=100.0).contains(&bias) {
            return Err(ApiError::invalid(
                &path,
                format!("{path} has to be at least -100 and at most 100; it is {bias}"),
            ));
        }
        logit_bias.push((TokenId(id), bias as f32));
    }
    logit_bias.sort_unstable_by_key(|&(id, _)| id);
    Ok(SamplingParams {
        temperature: TEMPERATURE.check(body.temperature)?.or(defaults.temperature).unwrap_or(1.0),
        top_k: check_top_k(body.top_k)?.or(defaults.top_k).unwrap_or(0),
        top_p: TOP_P.check(body.top_p)?.or(defaults.top_p).unwrap_or(1.0),
        min_p: MIN_P.check(body.min_p)?.or(defaults.min_p).unwrap_or(0.0),
        repetition_penalty: REPETITION_PENALTY
            .check(body.repetition_penalty)?
            .or(defaults.repetition_penalty)
            .unwrap_or(1.0),
        frequency_penalty: FREQUENCY_PENALTY.check(body.frequency_penalty)?.unwrap_or(0.0),
        presence_penalty: PRESENCE_PENALTY.check(body.presence_penalty)?.unwrap_or(0.0),
        logit_bias,
        seed: seed.unwrap_or(fallback_seed),
        top_logprobs: top_logprobs(body, endpoint)?,
    })
}

fn top_logprobs(body: &Body, endpoint: Endpoint) -> Result<Option<u32>, ApiError> {
    let top = integer("top_logprobs", body.top_logprobs, 0, MAX_TOP_LOGPROBS)?;
    let top = match (endpoint, body.logprobs) {
        (Endpoint::ChatCompletions, Some(Logprobs::Wanted(true))) => Some(top.unwrap_or(0)),
        (Endpoint::ChatCompletions, None | Some(Logprobs::Wanted(false))) => {
            if top.is_some_and(|top| top > 0) {
                return Err(ApiError::invalid("top_logprobs", "top_logprobs needs logprobs to be true"));
            }
            None
        }
        (Endpoint::Completions, Some(Logprobs::Count(count))) => integer("logprobs", Some(count), 0, MAX_TOP_LOGPROBS)?,
        (Endpoint::Completions, None | Some(Logprobs::Wanted(false))) => None,
        (Endpoint::ChatCompletions, Some(Logprobs::Count(_))) => {
            let message =
                "logprobs has to be true or false for chat.completions; how many alternatives is top_logprobs";
            return Err(ApiError::invalid("logprobs", message));
        }
        (Endpoint::Completions, Some(Logprobs::Wanted(true))) => {
            let message = format!("logprobs has to be an integer from 0 to {MAX_TOP_LOGPROBS} for completions");
            return Err(ApiError::invalid("logprobs", message));
        }
    };
    Ok(top.map(|top| top as u32))
}
