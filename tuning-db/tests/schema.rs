//! The JSON Schema file defines the format: what is written obeys it, and it names the fields of the Rust types.

mod made;

use jsonschema::Validator;
use made::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tilewright_tuning_db::exchange::{JSON_SCHEMA, export};
use tilewright_tuning_db::*;

fn schema() -> Value {
    serde_json::from_str(JSON_SCHEMA).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// A record and a trial in which no field is absent.
fn complete() -> Value {
    let shape = Shape { extents: [("head_dim".to_owned(), 64)].into(), ..shape() };
    let record = Record { shape: shape.clone(), note: "the compiler's words".to_owned(), ..measured(16, 800.0) };
    let speeds = || Some(Speeds { before_tokens_per_s: vec![1.0], after_tokens_per_s: vec![2.0], ..Speeds::default() });
    let change = Change { shape, from: variant(1), to: variant(2), source_hash: "today".to_owned() };
    let trial = Trial {
        schema: SCHEMA,
        engine: "0.1.0".to_owned(),
        model: "qwen2-0.5b".to_owned(),
        device: h100(),
        browser: chromium(),
        changes: vec![change],
        decode: speeds(),
        prefill: speeds(),
        verdict: Verdict::Kept,
        taken_at_ms: 1,
    };
    let items = [Item::Record(record), Item::Trial(trial)];
    let entries = items.map(|item| Entry::new(item, Provenance::MeasuredHere).unwrap());
    serde_json::from_str(&export(&database(entries))).unwrap()
}

/// Compares the keys of `value` with the properties of `schema`, and goes on into both.
fn same_fields(root: &Value, schema: &Value, value: &Value, at: &str) {
    // What may be absent may also be `null`.
    let schema = schema["anyOf"].get(0).filter(|_| schema["properties"].is_null()).unwrap_or(schema);
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    match value {
        Value::Object(fields) => {
            // Maps by name have no properties of their own.
            let Some(properties) = schema["properties"].as_object() else { return };
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(keys(fields), keys(properties), "fields of {at}");
            for (name, field) in fields {
                same_fields(root, &properties[name], field, &format!("{at}.{name}"));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| same_fields(root, &schema["items"], item, at)),
        _ => {}
    }
}

#[test]
fn the_schema_and_the_types_name_the_same_fields() {
    let schema = schema();
    same_fields(&schema, &schema, &complete(), "the file");
}

#[test]
fn every_field_is_explained_in_the_schema_and_in_the_documentation() {
    fn walk(value: &Value, documentation: &str) {
        let Some(fields) = value.as_object() else { return };
        for (name, field) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let explained = ["description", "$ref", "const", "anyOf"].iter().any(|key| field.get(key).is_some());
            assert!(explained, "{name} has no description");
            assert!(documentation.contains(&format!("`{name}`")), "docs/tuning-db.md does not explain {name}");
        }
        fields.values().for_each(|field| walk(field, documentation));
    }
    walk(&schema(), include_str!("../../docs/tuning-db.md"));
}

#[test]
fn the_outcomes_of_the_schema_are_those_of_the_type() {
    for outcome in schema()["$defs"]["record"]["properties"]["outcome"]["enum"].as_array().unwrap() {
        serde_json::from_value::<Outcome>(outcome.clone()).unwrap();
    }
    let all = [Outcome::Ok, Outcome::Wrong, Outcome::Refused, Outcome::Timeout, Outcome::Constraint];
    assert_eq!(json!(all), schema()["$defs"]["record"]["properties"]["outcome"]["enum"]);
}

#[test]
fn what_only_the_latest_version_writes_may_be_absent() {
    let old = json!({
        "format": "tilewright-tuning",
        "schema": 1,
        "records": [{
            "schema": 1, "kernel": "matvec", "source_hash": "today",
            "shape": { "op": "matmul", "m": 1 }, "outcome": "ok", "taken_at_ms": 1,
        }],
    });
    assert!(validator().is_valid(&old));
    let report = Database::default().import(old.to_string().as_bytes(), &ImportRules::default()).unwrap();
    assert_eq!((report.taken.len(), report.skipped_count()), (1, 0), "{report}");
}

/// Every place in a JSON value, as a pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| places(field, &format!("{at}/{name}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_obeys_the_schema(entries in proptest::collection::vec(any_entry(), 0..6)) {
        let file: Value = serde_json::from_str(&export(&database(entries))).unwrap();
        let errors: Vec<_> = validator().iter_errors(&file).map(|error| error.to_string()).collect();
        prop_assert!(errors.is_empty(), "{errors:?}");
    }

    /// One value replaced by another type or a number out of bounds: what is taken nevertheless, the schema takes too.
    #[test]
    fn nothing_is_taken_that_the_schema_forbids(
        place in any::<proptest::sample::Index>(),
        other in prop_oneof![
            Just(json!(null)), Just(json!(true)), Just(json!(0)), Just(json!(-1)), Just(json!(3)), Just(json!(1e13)), Just(json!(1.5)),
            Just(json!("")), Just(json!("x")), Just(json!("x".repeat(3000))), Just(json!([])), Just(json!({})), Just(json!([{}])),
        ],
    ) {
        let mut file = complete();
        let mut found = Vec::new();
        for list in ["records", "trials"] {
            places(&file[list][0], &format!("/{list}/0"), &mut found);
        }
        let place = place.get::<String>(&found);
        *file.pointer_mut(place).unwrap() = other;
        let report = Database::default().import(file.to_string().as_bytes(), &ImportRules::default()).unwrap();
        let valid = validator().is_valid(&file);
        prop_assert!(valid || report.skipped_count() > 0, "{place} was taken");
    }
}
