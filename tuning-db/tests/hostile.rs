//! Files that mean harm. Nothing panics, nothing is taken that should not be, and everything is said.

mod made;

use made::*;
use proptest::prelude::*;
use std::time::Instant;
use tilewright_tuning_db::exchange::export;
use tilewright_tuning_db::*;

fn import(text: &str) -> Result<ImportReport, ImportError> {
    Database::default().import(text.as_bytes(), &ImportRules::default())
}

fn file_of(records: &str) -> String {
    format!(r#"{{"format": "tilewright-tuning", "schema": 1, "records": [{records}]}}"#)
}

/// One valid record as JSON, with one field replaced or added.
fn with(field: &str, value: &str) -> String {
    let record = serde_json::to_string(&measured(16, 800.0)).unwrap();
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&record).unwrap();
    fields.remove(field);
    let rest = serde_json::to_string(&fields).unwrap();
    format!("{{\"{field}\": {value}, {}", &rest[1..])
}

/// The only reason for which a record was skipped, and its words.
fn skipped(records: &str) -> (SkipReason, String) {
    let report = import(&file_of(records)).unwrap();
    assert_eq!((report.taken.len(), report.skipped.len()), (0, 1), "{report}");
    let (reason, skipped) = report.skipped.into_iter().next().unwrap();
    (reason, skipped.example)
}

#[test]
fn what_is_no_tuning_database_is_refused_with_words() {
    for text in ["", "nonsense", "{", "[]", "3", "\u{feff}{}", "{\"format\": \"tilewright-tuning\", \"schema\": 1}x"] {
        assert!(matches!(import(text), Err(ImportError::NotJson(_))), "{text:?}");
    }
    for text in ["{}", r#"{"format": "onnx", "schema": 1}"#, r#"{"format": "tilewright-tuning"}"#] {
        assert!(matches!(import(text), Err(ImportError::NotOurs)), "{text:?}");
    }
    let cut = export(&database([entry(measured(16, 800.0), Provenance::Imported)]));
    assert!(matches!(import(&cut[..cut.len() - 3]), Err(ImportError::NotJson(_))));
    let error = Database::default().import(b"\xff\xfe", &ImportRules::default()).unwrap_err();
    assert!(matches!(error, ImportError::NotJson(_)));
}

#[test]
fn a_newer_schema_is_refused_and_says_what_to_do() {
    let error = import(r#"{"records": [], "schema": 2, "format": "tilewright-tuning"}"#).unwrap_err();
    assert!(error.to_string().contains("schema 2") && error.to_string().contains("update"), "{error}");
    assert!(matches!(
        import(r#"{"format": "tilewright-tuning", "schema": "one"}"#),
        Err(ImportError::NewerSchema { .. })
    ));
    assert_eq!(skipped(&with("schema", "2")).0, SkipReason::NewerSchema);
}

#[test]
fn size_and_depth_are_seen_before_anything_is_parsed() {
    let limits = Limits { bytes: 1000, ..Limits::default() };
    let rules = ImportRules { limits, ..ImportRules::default() };
    let error = Database::default().import(&[b' '; 1001], &rules).unwrap_err();
    assert!(error.to_string().contains("1001 bytes"), "{error}");
    let deep = "[".repeat(1_000_000);
    assert!(matches!(import(&deep), Err(ImportError::TooDeep { most: 16 })));
    let deep = with("unknown", &format!("{}{}", "[".repeat(40), "]".repeat(40)));
    assert!(matches!(import(&file_of(&deep)), Err(ImportError::TooDeep { .. })));
}

#[test]
fn numbers_that_cannot_be_cost_their_record_alone() {
    let good = serde_json::to_string(&measured(16, 800.0)).unwrap();
    for samples in ["[1e999]", "[-1]", "[0]", "[1e13]", "[null]", "[\"1\"]", "[true]", "1", "{}"] {
        let report = import(&file_of(&format!("{}, {good}", with("samples_ns", samples)))).unwrap();
        assert_eq!((report.taken.len(), report.skipped_count()), (1, 1), "{samples}: {report}");
    }
    // What JSON does not have costs the file.
    for samples in ["[NaN]", "[Infinity]", "[+1]", "[0x10]", "[1.]"] {
        assert!(matches!(import(&file_of(&with("samples_ns", samples))), Err(ImportError::NotJson(_))), "{samples}");
    }
    let huge = format!("{}{}", 9, "9".repeat(100_000));
    for field in ["taken_at_ms", "timer_quantum_ns", "schema"] {
        assert_eq!(skipped(&with(field, &huge)).0, SkipReason::Malformed, "{field}");
        assert_ne!(import(&file_of(&with(field, "-1"))).unwrap().skipped_count(), 0, "{field}");
    }
}

#[test]
fn strings_of_ten_megabytes_end_where_they_are() {
    let long = format!("\"{}\"", "x".repeat(10_000_000));
    assert_eq!(skipped(&with("kernel", &long)).0, SkipReason::TooLarge);
    let around = format!(r#"{{"format": "tilewright-tuning", "schema": 1, "more": {long}, "records": []}}"#);
    assert_eq!(import(&around).unwrap().unknown_fields, 1);
    let name = format!(r#"{{{long}: 1, "format": "tilewright-tuning", "schema": 1}}"#);
    assert_eq!(import(&name).unwrap().unknown_fields, 1);
    let shorter = format!("\"{}\"", "x".repeat(100_000));
    let (reason, words) = skipped(&with("kernel", &shorter));
    assert!(reason == SkipReason::Invalid && words.len() < 300, "{words}");
    let (reason, words) = skipped(&with("outcome", &shorter));
    assert!(reason == SkipReason::Malformed && words.len() < 300, "{} bytes of words", words.len());
}

#[test]
fn keys_that_come_twice_are_refused() {
    let twice = r#"{"format": "tilewright-tuning", "schema": 1, "schema": 1}"#;
    assert!(matches!(import(twice), Err(ImportError::NotJson(_))));
    for (field, value) in [("parameters", r#"{"a": 1, "a": 2}"#), ("shape", r#"{"op": "x", "op": "y", "m": 1}"#)] {
        let (reason, words) = skipped(&with(field, value));
        assert_eq!(reason, SkipReason::Malformed, "{field}: {words}");
    }
    let record = serde_json::to_string(&measured(16, 800.0)).unwrap();
    assert_eq!(skipped(&format!("{{\"kernel\": \"x\", {}", &record[1..])).0, SkipReason::Malformed);
}

#[test]
fn unknown_fields_are_counted_and_the_record_is_taken() {
    let report = import(&file_of(&with("colour", r#"{"of": ["the", "case"]}"#))).unwrap();
    assert_eq!((report.taken.len(), report.unknown_fields), (1, 1));
    assert!(report.to_string().contains("1 unknown field was ignored"), "{report}");
}

#[test]
fn unknown_stale_impossible_and_future_records_are_skipped_and_counted() {
    let of = |record: Record| serde_json::to_string(&record).unwrap();
    let records = [
        of(measured(16, 800.0)),
        of(Record { kernel: "warp_drive".to_owned(), ..measured(16, 800.0) }),
        of(Record { source_hash: "yesterday".to_owned(), ..measured(16, 800.0) }),
        of(measured(0, 800.0)),
        of(Record { taken_at_ms: 300_000_000, ..measured(16, 800.0) }),
        "17".to_owned(),
    ];
    let kernels = kernels();
    let possible = |_: &Shape, variant: &Variant| match variant.parameters.get("threads") {
        Some(ParameterValue::Number(1..)) => Ok(()),
        _ => Err("threads has to be at least 1".to_owned()),
    };
    let rules =
        ImportRules { kernels: Some(&kernels), possible: &possible, now_ms: Some(1_000_000), ..ImportRules::default() };
    let mut database = Database::default();
    let report = database.import(file_of(&records.join(",")).as_bytes(), &rules).unwrap();
    let reasons: Vec<_> = report.skipped.iter().map(|(reason, skipped)| (reason.code(), skipped.count)).collect();
    let wanted = ["unknown_kernel", "stale", "impossible", "malformed", "from_the_future"];
    assert_eq!(reasons, wanted.map(|reason| (reason, 1)));
    let words = report.to_string();
    assert!(words.starts_with("1 record taken, 0 already known, 5 skipped"), "{words}");
    assert!(words.contains("warp_drive") && words.contains("at least 1"), "{words}");
    assert_eq!(database.len(), 1);
}

#[test]
fn a_text_that_would_move_a_terminals_cursor_is_refused() {
    let (reason, words) = skipped(&with("note", r#""\u001b[2J""#));
    assert!(reason == SkipReason::Invalid && words.contains("control characters"), "{words}");
    let (_, words) = skipped(&with("outcome", r#""\u001b[2J""#));
    assert!(!words.contains('\u{1b}'), "{words:?}");
}

#[test]
fn more_records_than_are_read_are_counted() {
    let limits = Limits { items: 2, ..Limits::default() };
    let records = [1, 2, 3, 4].map(|threads| serde_json::to_string(&measured(threads, 1.0)).unwrap()).join(",");
    let rules = ImportRules { limits, ..ImportRules::default() };
    let report = Database::default().import(file_of(&records).as_bytes(), &rules).unwrap();
    assert_eq!((report.taken.len(), report.skipped[&SkipReason::TooMany].count), (2, 2));
}

#[test]
fn a_file_of_nothing_but_elements_is_read_one_at_a_time() {
    let text = file_of(&vec!["0"; 5_000_000].join(","));
    let started = Instant::now();
    let report = import(&text).unwrap();
    assert_eq!((report.taken.len(), report.skipped_count()), (0, 5_000_000));
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_error_or_a_report(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Database::default().import(&bytes, &ImportRules::default());
    }

    #[test]
    fn any_json_words_are_an_error_or_a_report(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"records\"", "\"trials\"", "\"format\"", "\"tilewright-tuning\"", "\"schema\"", "1",
            "1e999", "-0", "null", "true", "\"\\ud800\"", "\"shape\"", "\"op\"", "\"kernel\"", "\"\\u0000\"", " ",
        ]), 0..60),
    ) {
        let _ = import(&words.concat());
        let _ = import(&file_of(&words.concat()));
    }

    /// Bytes of a valid file overwritten, dropped or doubled: what is taken still obeys the format.
    #[test]
    fn a_valid_file_that_was_tampered_with_gives_nothing_invalid(
        entries in proptest::collection::vec(any_entry(), 1..4),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0..3_u8, any::<u8>()), 1..6),
    ) {
        let mut bytes = export(&database(entries)).into_bytes();
        for (index, edit, byte) in edits {
            let at = index.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => _ = bytes.remove(at),
                _ => bytes.insert(at, byte),
            }
        }
        let mut database = Database::default();
        let before = database.clone();
        match database.import(&bytes, &ImportRules::default()) {
            Ok(report) => {
                prop_assert_eq!(report.taken.len(), database.len());
                prop_assert!(database.entries().all(|entry| entry.item.check().is_ok()));
                let _ = report.to_string();
            }
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                prop_assert_eq!(database, before, "nothing of a refused file is taken");
            }
        }
    }
}
