//! SmolLM2-135M-Instruct against the reference: six prompts on the CPU twins, two on lavapipe.
//!
//! The reference's own answer is fed back after the prompt, all in one pass: every step is compared, also those after one
//! where the two best tokens are too close to call.

use serde_json::Value;
use std::fs;
use tilewright_engine::{Device, LoadOptions};
use tilewright_plan::SamplingParams;
use tilewright_tests::drive::Driver;
use tilewright_tests::fixture;
use tilewright_tests::model::{cpu, lavapipe, lavapipe_with_integers, open_smollm2};

struct Case {
    name: String,
    prompt: Vec<u32>,
    /// Chosen id and the ten best with their log-probabilities, by step.
    steps: Vec<(u32, Vec<(usize, f32)>)>,
}

fn cases() -> Vec<Case> {
    let path = fixture::folder("smollm2-135m-instruct").join("reference.json");
    let reference: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let number = |value: &Value| value.as_u64().unwrap() as u32;
    let case = |case: &Value| Case {
        name: case["name"].as_str().unwrap().to_owned(),
        prompt: case["prompt_ids"].as_array().unwrap().iter().map(number).collect(),
        steps: case["greedy"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| {
                let pair = |pair: &Value| (number(&pair[0]) as usize, pair[1].as_f64().unwrap() as f32);
                (number(&step["id"]), step["top"].as_array().unwrap().iter().map(pair).collect())
            })
            .collect(),
    };
    reference.as_array().expect("the reference lists its prompts").iter().map(case).collect()
}

fn compare(device: Device, label: &str, cases: &[Case]) {
    let options = LoadOptions { max_context: Some(1024), ..LoadOptions::default() };
    let mut driver = Driver::new(open_smollm2(device, options).executor);
    for case in cases {
        let mut text = case.prompt.clone();
        text.extend(case.steps.iter().map(|(id, _)| id));
        text.pop();
        let logits = driver.logits(&text, 64);
        let vocabulary = logits.len() / text.len();
        let mut worst = 0.0_f32;
        let mut clear_prefix = 0;
        for (step, (row, (id, top))) in
            logits.chunks(vocabulary).skip(case.prompt.len() - 1).zip(&case.steps).enumerate()
        {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let norm = largest + row.iter().map(|&logit| f64::from(logit - largest).exp()).sum::<f64>().ln() as f32;
            let at = || format!("{} on {label}, step {step}", case.name);
            for &(token, reference) in top {
                let difference = (row[token] - norm - reference).abs();
                assert!(difference <= 0.02, "{}: token {token} has {}, not {reference}", at(), row[token] - norm);
                worst = worst.max(difference);
            }
            if top[0].1 - top[1].1 > 0.02 {
                let best = (0..vocabulary).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
                assert_eq!(best as u32, *id, "{}", at());
                clear_prefix += usize::from(clear_prefix == step);
            }
        }
        let ids = driver.generate(&case.prompt, clear_prefix, SamplingParams::default());
        let reference: Vec<u32> = case.steps[..clear_prefix].iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, reference, "{} on {label}", case.name);
        println!("{} on {label}: log-probabilities within {worst:.4}, {clear_prefix} steps decoded freely", case.name);
    }
}

#[test]
fn all_six_prompts_agree_on_the_cpu_twins() {
    let cases = cases();
    assert_eq!(cases.len(), 6);
    compare(cpu(), "cpu", &cases);
}

#[test]
fn two_prompts_agree_on_lavapipe() {
    let mut cases = cases();
    cases.sort_by_key(|case| case.prompt.len() + case.steps.len());
    compare(lavapipe(), "lavapipe", &cases[..2]);
}

/// Products of 8-bit integers round activations, so their logits are not the reference's to a few digits. What they may cost is a
/// little of the distribution: the mean Kullback-Leibler divergence from the twins' and how often the best token is the same, both with
/// the reference's text fed in. Rows come 16 at a time, as when many sequences decode, and 64 at a time, as in prefill.
#[test]
fn integer_products_cost_less_than_a_hundredth_of_a_nat_on_lavapipe() {
    let mut cases = cases();
    cases.sort_by_key(|case| case.prompt.len() + case.steps.len());
    let options = LoadOptions { max_context: Some(1024), ..LoadOptions::default() };
    let [mut exact, mut integers] =
        [cpu(), lavapipe_with_integers()].map(|device| Driver::new(open_smollm2(device, options.clone()).executor));
    let (mut positions, mut agreed) = (0, 0);
    for (case, rows) in cases[..2].iter().zip([16, 64]) {
        let mut text = case.prompt.clone();
        text.extend(case.steps.iter().map(|(id, _)| id));
        let [expected, actual] = [&mut exact, &mut integers].map(|driver| driver.logits(&text, rows));
        let vocabulary = expected.len() / text.len();
        let (mut divergence, mut agree) = (0.0, 0);
        for (p, q) in expected.chunks(vocabulary).zip(actual.chunks(vocabulary)) {
            let [log_p, log_q] = [p, q].map(log_softmax);
            divergence += log_p.iter().zip(&log_q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            let best = |row: &[f32]| (0..vocabulary).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            agree += usize::from(best(p) == best(q));
        }
        let (mean, share) = (divergence / text.len() as f64, agree as f64 / text.len() as f64);
        println!(
            "{}, {rows} rows at a time: {mean:.5} nats a token, the same best token in {:.1} %",
            case.name,
            share * 100.0
        );
        assert!(mean < 0.01, "{}: {mean} nats a token", case.name);
        (positions, agreed) = (positions + text.len(), agreed + agree);
    }
    assert!(agreed * 100 >= positions * 95, "the best token is the same at {agreed} of {positions} positions");
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let norm = row.iter().map(|&logit| f64::from(logit - largest).exp()).sum::<f64>().ln();
    row.iter().map(|&logit| f64::from(logit - largest) - norm).collect()
}
