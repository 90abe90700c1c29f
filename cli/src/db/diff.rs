//! `tilewright db diff`: where the winners of two databases differ.

use serde_json::{Value, json};
use tilewright_tuning_db::Database;
use tilewright_tuning_db::lookup::time_in_words;
use tilewright_tuning_db::winners::{Difference, Winner, differences};

/// Prints the differences.
pub(super) fn diff(before: &Database, after: &Database, as_json: bool) {
    let (differences, same) = differences(before, after);
    if as_json {
        let differences: Vec<Value> = differences.iter().map(json_of).collect();
        println!("{}", json!({ "same": same, "differences": differences }));
        return;
    }
    let mut last = None;
    for difference in &differences {
        let place = (&difference.place.device, &difference.place.browser);
        if last.replace(place) != Some(place) {
            println!("{}, {}", place.0.name(), place.1);
        }
        print(difference);
    }
    println!("{same} the same, {} different", differences.len());
}

fn print(difference: &Difference) {
    println!("  {}{}", difference.place.shape, difference.ratio().map(verdict).unwrap_or_default());
    for (sign, winner) in [("-", &difference.first), ("+", &difference.second)] {
        match winner {
            Some(winner) => println!("    {sign} {:>8}  {}", time_in_words(winner.time_ns), winner.variant),
            None => println!("    {sign} {:>8}  not measured", ""),
        }
    }
}

/// `: 1.25 times as fast`, of the second one.
fn verdict(ratio: f64) -> String {
    format!(": {:.2} times as fast", 1.0 / ratio)
}

fn json_of(difference: &Difference) -> Value {
    let winner = |winner: &Winner| json!({ "variant": winner.variant, "time_ns": winner.time_ns });
    json!({
        "device": difference.place.device,
        "browser": difference.place.browser,
        "shape": difference.place.shape,
        "before": difference.first.as_ref().map(winner),
        "after": difference.second.as_ref().map(winner),
        "time_ratio": difference.ratio(),
    })
}
