//! `tilewright db show`: per device, the fastest variant of every shape, and what tuning did to tokens/s.

use super::contents;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tilewright_tuning_db::lookup::time_in_words;
use tilewright_tuning_db::statistics::median;
use tilewright_tuning_db::winners::{Place, Winner, winners};
use tilewright_tuning_db::{Browser, Database, Device, Outcome, Speeds, Trial};

/// What is known of one device in one browser.
#[derive(Default)]
struct Known<'a> {
    records: usize,
    winners: Vec<(&'a Place, &'a Winner)>,
    trials: Vec<&'a Trial>,
}

/// Prints what a database knows.
pub(super) fn show(database: &Database, as_json: bool) {
    let winners = winners(database);
    let mut devices: BTreeMap<(&Device, &Browser), Known<'_>> = BTreeMap::new();
    for (record, _) in database.records() {
        devices.entry((&record.device, &record.browser)).or_default().records += 1;
    }
    for (place, winner) in &winners {
        devices.entry((&place.device, &place.browser)).or_default().winners.push((place, winner));
    }
    for (trial, _) in database.trials() {
        devices.entry((&trial.device, &trial.browser)).or_default().trials.push(trial);
    }
    for known in devices.values_mut() {
        known.trials.sort_by_key(|trial| (&trial.model, trial.taken_at_ms));
    }
    if as_json {
        let devices: Vec<Value> = devices.iter().map(|(place, known)| known.json(*place)).collect();
        println!("{}", json!({ "devices": devices }));
        return;
    }
    println!("{}", contents(database));
    for ((device, browser), known) in &devices {
        println!("\n{}, {browser}: {} records", device.name(), known.records);
        known.print();
    }
}

impl Known<'_> {
    fn print(&self) {
        let width = self.winners.iter().map(|(place, _)| place.shape.to_string().chars().count()).max().unwrap_or(0);
        for (place, winner) in &self.winners {
            let shape = place.shape.to_string();
            println!("  {shape:<width$}  {:>8}  {}", time_in_words(winner.time_ns), winner.variant);
            println!("  {:width$}  {:>8}  {}", "", "", among(winner));
        }
        for trial in &self.trials {
            let phases = [("decode", &trial.decode), ("prefill", &trial.prefill)];
            let phases =
                phases.into_iter().filter_map(|(name, speeds)| Some(format!("{name} {}", gain(speeds.as_ref()?)?)));
            let changes = trial.changes.len();
            let changes = if changes == 1 { "1 change".to_owned() } else { format!("{changes} changes") };
            println!("  {}, {changes} {}: {}", trial.model, trial.verdict, phases.collect::<Vec<_>>().join(", "));
        }
    }

    fn json(&self, (device, browser): (&Device, &Browser)) -> Value {
        let winner = |(place, winner): &(&Place, &Winner)| {
            json!({
                "shape": place.shape,
                "variant": winner.variant,
                "time_ns": winner.time_ns,
                "variants": winner.outcomes.values().sum::<usize>(),
                "outcomes": winner.outcomes.iter().map(|(o, count)| (o.to_string(), *count)).collect::<BTreeMap<_, _>>(),
            })
        };
        json!({
            "device": device,
            "browser": browser,
            "records": self.records,
            "winners": self.winners.iter().map(winner).collect::<Vec<_>>(),
            "trials": self.trials,
        })
    }
}

/// `best of 212, 1.31 times as fast as the median; 2 wrong`.
fn among(winner: &Winner) -> String {
    let times: Vec<f64> = winner.times_ns.values().copied().collect();
    let mut words = match (times.len(), median(&times)) {
        (2.., Some(middle)) => {
            format!("best of {}, {:.2} times as fast as the median", times.len(), middle / winner.time_ns)
        }
        _ => "the only one".to_owned(),
    };
    let failed = winner.outcomes.iter().filter(|(outcome, _)| **outcome != Outcome::Ok);
    let failed: Vec<String> = failed.map(|(outcome, count)| format!("{count} {outcome}")).collect();
    if !failed.is_empty() {
        words = format!("{words}; {}", failed.join(", "));
    }
    words
}

/// `540 -> 610 tokens/s (+13.0 %)`.
fn gain(speeds: &Speeds) -> Option<String> {
    let (before, after) = (median(&speeds.before_tokens_per_s)?, median(&speeds.after_tokens_per_s)?);
    Some(format!("{before:.1} -> {after:.1} tokens/s ({:+.1} %)", 100.0 * (speeds.gain()? - 1.0)))
}
