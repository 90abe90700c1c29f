//! Merging, as algebra; and what a file keeps of a database.

mod made;

use made::*;
use proptest::prelude::*;
use tilewright_tuning_db::exchange::export;
use tilewright_tuning_db::store::{entry_from_text, entry_to_text};
use tilewright_tuning_db::winners::{differences, winners};
use tilewright_tuning_db::*;

fn join(a: &Database, b: &Database) -> Database {
    let mut joined = a.clone();
    joined.merge(b.clone());
    joined
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_is_commutative_associative_and_idempotent([a, b, c] in overlapping()) {
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &a), a.clone());
        prop_assert_eq!(export(&join(&a, &b)), export(&join(&b, &a)), "to the byte");
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_made_up([a, b, _] in overlapping()) {
        let joined = join(&a, &b);
        for entry in joined.entries() {
            let known = [a.get(&entry.id), b.get(&entry.id)].into_iter().flatten();
            let trust = known.inspect(|known| assert_eq!(known.item, entry.item)).map(|known| known.provenance).max();
            prop_assert_eq!(trust, Some(entry.provenance));
        }
        prop_assert!(a.entries().chain(b.entries()).all(|entry| joined.get(&entry.id).is_some()));
    }

    #[test]
    fn a_file_has_every_record_and_no_provenance(entries in proptest::collection::vec(any_entry(), 0..12)) {
        let database = database(entries);
        let file = export(&database);
        let mut read = Database::default();
        let report = read.import(file.as_bytes(), &ImportRules::default()).unwrap();
        prop_assert_eq!((report.taken.len(), report.skipped_count(), report.unknown_fields), (database.len(), 0, 0));
        prop_assert!(read.entries().all(|entry| entry.provenance == Provenance::Imported));
        prop_assert_eq!(export(&read), file);
        let again = read.import(export(&database).as_bytes(), &ImportRules::default()).unwrap();
        prop_assert_eq!((again.taken.len(), again.known), (0, database.len()));
    }

    #[test]
    fn an_entrys_text_is_the_entry(entry in any_entry()) {
        prop_assert_eq!(entry_from_text(&entry_to_text(&entry)).unwrap(), entry);
    }

    #[test]
    fn what_was_removed_leaves_no_trace(mut entries in proptest::collection::vec(any_entry(), 1..8)) {
        let gone = entries.pop().unwrap();
        entries.retain(|entry| entry.id != gone.id);
        let mut with = database(entries.iter().cloned().chain([gone.clone()]));
        prop_assert!(with.remove(&gone.id) && !with.remove(&gone.id));
        prop_assert_eq!(with, database(entries));
    }
}

#[test]
fn winners_differ_by_place_and_the_ratio_is_of_one_database() {
    let of = |records: &[Record]| database(records.iter().map(|r| entry(r.clone(), Provenance::Imported)));
    let first = of(&[measured(16, 800.0), measured(32, 1000.0)]);
    // Another day, a slower clock: both took longer, and 32 won.
    let second = of(&[measured(16, 1600.0), measured(32, 1200.0)]);
    let place = winners(&first).into_keys().next().unwrap();
    assert_eq!(winners(&first)[&place].variant, variant(16));
    let (different, same) = differences(&first, &second);
    assert_eq!((different.len(), same), (1, 0));
    assert_eq!(different[0].ratio(), Some(0.75));
    assert_eq!(differences(&first, &first), (vec![], 1));
    let (different, _) = differences(&first, &Database::default());
    assert_eq!((different[0].second.as_ref(), different[0].ratio()), (None, None));
}

#[test]
fn a_winner_is_of_the_source_that_was_measured_last() {
    let old = Record { source_hash: "yesterday".to_owned(), taken_at_ms: 500, ..measured(8, 1.0) };
    let wrong = Record { outcome: Outcome::Wrong, ..measured(4, 2.0) };
    let all = [old, wrong, measured(16, 800.0)].map(|record| entry(record, Provenance::Imported));
    let winners = winners(&database(all));
    let winner = winners.values().next().unwrap();
    assert_eq!((&winner.variant, winner.time_ns), (&variant(16), 800.0));
    assert_eq!(winner.outcomes, [(Outcome::Ok, 1), (Outcome::Wrong, 1)].into());
}
