//! The look-up: which rung answers, what is never used, and what is said about it.

mod made;

use made::*;
use proptest::prelude::*;
use tilewright_tuning_db::*;

/// Asks as the H100 in Chromium; everything is permitted, the default has one thread.
fn ask(database: &Database) -> Answer {
    ask_with(database, &|_| true)
}

fn ask_with(database: &Database, permits: &dyn Fn(&Variant) -> bool) -> Answer {
    let (shape, device, browser, kernels, default) = (shape(), h100(), chromium(), kernels(), variant(1));
    let query =
        Query { shape: &shape, device: &device, browser: &browser, kernels: &kernels, permits, default: &default };
    database.look_up(&query)
}

fn here(record: Record) -> Entry {
    entry(record, Provenance::MeasuredHere)
}

fn imported(record: Record) -> Entry {
    entry(record, Provenance::Imported)
}

fn on(device: Device, browser: Browser, record: Record) -> Record {
    Record { device, browser, ..record }
}

fn trial(to: Variant, verdict: Verdict, taken_at_ms: u64) -> Trial {
    let change = Change { shape: shape(), from: variant(1), to, source_hash: "today".to_owned() };
    let samples = Speeds { before_tokens_per_s: vec![100.0], after_tokens_per_s: vec![90.0], ..Speeds::default() };
    Trial {
        schema: SCHEMA,
        engine: String::new(),
        model: "qwen2-0.5b".to_owned(),
        device: h100(),
        browser: chromium(),
        changes: vec![change],
        decode: Some(samples),
        prefill: None,
        verdict,
        taken_at_ms,
    }
}

#[test]
fn the_nearest_rung_answers_and_says_why() {
    let ladder = [
        (on(device("nvidia", "ampere", "A100"), chromium(), measured(2, 50.0)), Rung::Vendor, "vendor's A100"),
        (on(device("nvidia", "hopper", "H200"), chromium(), measured(4, 60.0)), Rung::Architecture, "on H200"),
        (on(h100(), browser("Edge", "155"), measured(8, 70.0)), Rung::SameGpu, "Edge 155 on Linux"),
        (measured(16, 80.0), Rung::Exact, "this device and this browser"),
    ];
    let mut database = Database::default();
    let default = ask(&database);
    assert_eq!((default.variant, default.why.rung, default.needs_check), (variant(1), Rung::Default, false));
    for (record, rung, words) in ladder {
        let wanted = record.variant();
        database.insert(imported(record));
        let answer = ask(&database);
        assert_eq!((answer.variant, answer.why.rung, answer.needs_check), (wanted, rung, true));
        let why = answer.why.to_string();
        assert!(why.contains(words), "{why}");
    }
    database.insert(imported(on(device("amd", "rdna-3", "W7900"), chromium(), measured(64, 1.0))));
    assert_eq!(ask(&database).variant, variant(16), "another vendor says nothing");
}

#[test]
fn the_median_decides_not_the_luckiest_sample() {
    let lucky = Record { samples_ns: vec![1.0, 200.0, 201.0], ..measured(2, 1.0) };
    let answer = ask(&database([here(lucky), here(measured(4, 100.0))]));
    assert_eq!(answer.variant, variant(4));
    assert_eq!(
        answer.why.to_string(),
        "The fastest of 2 variants measured on this device in this browser: 100 ns, the median of 3 samples."
    );
}

#[test]
fn equals_are_decided_by_name_whatever_came_first() {
    let (a, b) = (here(measured(2, 100.0)), here(measured(4, 100.0)));
    assert_eq!(ask(&database([a.clone(), b.clone()])), ask(&database([b, a])));
}

#[test]
fn a_kernel_whose_source_has_changed_is_never_used() {
    let stale = Record { source_hash: "yesterday".to_owned(), ..measured(2, 1.0) };
    let gone = Record { kernel: "matvec_old".to_owned(), ..measured(2, 1.0) };
    let all = database([here(stale), here(gone)]);
    let answer = ask(&all);
    assert_eq!((answer.why.rung, answer.why.passed_over.stale), (Rung::Default, 2));
    assert!(answer.why.to_string().contains("2 records of kernels that have changed"), "{}", answer.why);
    assert_eq!(all.stale(&kernels()).len(), 2);
}

#[test]
fn only_right_answers_count() {
    for outcome in [Outcome::Wrong, Outcome::Refused, Outcome::Timeout] {
        let bad = Record { outcome, ..measured(2, 1.0) };
        let answer = ask(&database([here(bad), here(measured(4, 100.0))]));
        assert_eq!(answer.variant, variant(4), "{outcome}");
    }
}

#[test]
fn what_was_wrong_here_is_not_used_because_it_was_fast_elsewhere() {
    let elsewhere = on(device("nvidia", "hopper", "H200"), chromium(), measured(2, 1.0));
    let wrong_here = Record { outcome: Outcome::Wrong, samples_ns: vec![], ..measured(2, 1.0) };
    let answer = ask(&database([imported(elsewhere.clone()), here(wrong_here)]));
    assert_eq!((answer.variant, answer.why.passed_over.wrong.len()), (variant(1), 1));
    // But what was wrong on a GPU further away does not count against what is right nearer.
    let wrong_there =
        Record { outcome: Outcome::Wrong, ..on(device("nvidia", "ampere", ""), chromium(), measured(2, 1.0)) };
    assert_eq!(ask(&database([imported(elsewhere), imported(wrong_there)])).variant, variant(2));
}

#[test]
fn once_wrong_is_wrong_and_once_refused_may_be_tried_again() {
    let later = Record { taken_at_ms: 2_000, ..measured(2, 50.0) };
    let before = |outcome| here(Record { outcome, ..measured(2, 50.0) });
    assert_eq!(ask(&database([before(Outcome::Refused), here(later.clone())])).variant, variant(2));
    assert_eq!(ask(&database([before(Outcome::Wrong), here(later)])).variant, variant(1));
}

#[test]
fn an_imported_winner_needs_a_check_here_until_it_had_one() {
    let mut database = database([imported(measured(16, 80.0))]);
    assert!(ask(&database).needs_check);
    // The same words from another file are no check.
    let unchecked = Record { samples_ns: vec![], taken_at_ms: 3_000, ..measured(16, 80.0) };
    database.insert(imported(unchecked.clone()));
    assert!(ask(&database).needs_check);
    let check = Record { method: Method::default(), taken_at_ms: 4_000, ..unchecked };
    database.insert(here(check));
    let answer = ask(&database);
    assert_eq!((answer.variant, answer.needs_check), (variant(16), false));
    assert!(!answer.why.evidence.unwrap().measured_here, "a check is no measurement");
}

#[test]
fn made_up_times_do_not_push_a_measured_winner_aside() {
    let answer = ask(&database([here(measured(4, 100.0)), imported(measured(2, 0.001))]));
    assert_eq!((answer.variant, answer.needs_check), (variant(4), false));
}

#[test]
fn what_this_device_does_not_permit_is_passed_over() {
    let all = database([imported(measured(2, 50.0)), imported(measured(4, 60.0))]);
    let answer = ask_with(&all, &|candidate| *candidate != variant(2));
    assert_eq!((answer.variant, answer.why.passed_over.not_permitted.len()), (variant(4), 1));
}

#[test]
fn a_winner_that_did_not_help_end_to_end_is_not_used() {
    let mut all = database([here(measured(2, 50.0)), here(measured(4, 60.0))]);
    let tried =
        |verdict, at| Entry::new(Item::Trial(trial(variant(2), verdict, at)), Provenance::MeasuredHere).unwrap();
    all.insert(tried(Verdict::Reverted, 10));
    let answer = ask(&all);
    assert_eq!((answer.variant, answer.why.passed_over.reverted.len()), (variant(4), 1));
    assert!(answer.why.to_string().contains("did not help end to end"));
    all.insert(tried(Verdict::Kept, 20));
    assert_eq!(ask(&all).variant, variant(2), "the newest trial counts");
}

#[test]
fn several_devices_of_a_rung_decide_by_relative_times() {
    let h200 = || device("nvidia", "hopper", "H200");
    let gh200 = || device("nvidia", "hopper", "GH200");
    // 2 is best by far on the device where times are long, and 4 by little; on the other one 2 is twice as slow.
    let all = database([
        imported(on(h200(), chromium(), measured(2, 1000.0))),
        imported(on(h200(), chromium(), measured(4, 1100.0))),
        imported(on(gh200(), chromium(), measured(2, 20.0))),
        imported(on(gh200(), chromium(), measured(4, 10.0))),
        // Measured on one device only: unknown on the other one, not best there.
        imported(on(gh200(), chromium(), measured(8, 9.9))),
    ]);
    let answer = ask(&all);
    assert_eq!((answer.variant, answer.why.rung), (variant(4), Rung::Architecture));
    assert!(answer.why.to_string().contains("and one other place"), "{}", answer.why);
}

#[test]
fn a_tuner_finds_what_it_need_not_measure_again() {
    let stale = Record { source_hash: "yesterday".to_owned(), ..measured(2, 1.0) };
    let elsewhere = on(h100(), browser("Edge", "155"), measured(8, 70.0));
    let all = database([here(stale), here(elsewhere), here(measured(16, 80.0))]);
    let (shape, device, browser, kernels, default) = (shape(), h100(), chromium(), kernels(), variant(1));
    let permits = |_: &Variant| true;
    let query = Query {
        shape: &shape,
        device: &device,
        browser: &browser,
        kernels: &kernels,
        permits: &permits,
        default: &default,
    };
    let tried: Vec<_> = all.tried(&query).map(|(record, _)| record.variant()).collect();
    assert_eq!(tried, [variant(16)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_depends_on_the_facts_alone_and_is_permitted(
        entries in proptest::collection::vec(any_entry(), 0..24),
        device in any_device(), browser in any_browser(), pick in any::<proptest::sample::Index>(),
    ) {
        let shapes: Vec<Shape> = entries.iter().filter_map(|e| match &e.item {
            Item::Record(record) => Some(record.shape.clone()),
            Item::Trial(_) => None,
        }).collect();
        let shape = if shapes.is_empty() { made::shape() } else { pick.get(&shapes).clone() };
        let kernels: Kernels = [("matvec", "today"), ("matmul", "today")].into_iter().collect();
        let (default, permits) = (variant(1), |variant: &Variant| variant.parameters.len() != 1);
        let query = Query { shape: &shape, device: &device, browser: &browser, kernels: &kernels, permits: &permits, default: &default };
        let answer = database(entries.iter().cloned()).look_up(&query);
        prop_assert_eq!(&database(entries.iter().rev().cloned()).look_up(&query), &answer);
        prop_assert!(answer.variant == default || permits(&answer.variant));
        prop_assert!(answer.why.to_string().ends_with('.'));
    }
}
