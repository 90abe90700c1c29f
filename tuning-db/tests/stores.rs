//! Stores: what comes back, what a damaged or busy one costs, and that a keeper goes on whatever happens.

mod made;

use futures_util::future::{FutureExt, LocalBoxFuture, ready};
use made::*;
use pollster::block_on;
use std::fs;
use std::path::PathBuf;
use std::thread;
use tilewright_tuning_db::exchange::export;
use tilewright_tuning_db::keeper::Trouble;
use tilewright_tuning_db::store::{FileStore, Loaded, MemoryStore};
use tilewright_tuning_db::*;

/// An empty folder of this test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("stores").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn here(threads: i64) -> Entry {
    entry(measured(threads, 100.0), Provenance::MeasuredHere)
}

fn imported(threads: i64) -> Entry {
    entry(measured(threads, 100.0), Provenance::Imported)
}

fn kept(store: &dyn Store) -> Database {
    database(block_on(store.load()).unwrap().entries)
}

fn behaves(store: &dyn Store) {
    assert!(kept(store).is_empty());
    block_on(store.put(&[here(1), imported(2)])).unwrap();
    block_on(store.put(&[imported(1), here(2), here(3)])).unwrap();
    assert_eq!(kept(store), database([here(1), here(2), here(3)]), "the more trusted source stays");
    block_on(store.remove(&[here(1).id, here(9).id])).unwrap();
    assert_eq!(kept(store), database([here(2), here(3)]));
    block_on(store.clear()).unwrap();
    assert!(kept(store).is_empty());
}

#[test]
fn a_store_in_memory_keeps_removes_and_clears() {
    behaves(&MemoryStore::default());
}

#[test]
fn a_store_in_a_file_keeps_removes_and_clears() {
    behaves(&FileStore::new(folder("behaves").join("tuning.json")));
}

#[test]
fn a_stores_file_is_what_is_exchanged_and_says_nothing_of_here() {
    let path = folder("exchanged").join("tuning.json");
    block_on(FileStore::new(&path).put(&[here(1), imported(2)])).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, export(&database([here(1), here(2)])));
    // Moved to somebody else, without its companion, all of it is imported.
    let elsewhere = folder("elsewhere").join("tuning.json");
    fs::copy(&path, &elsewhere).unwrap();
    assert_eq!(kept(&FileStore::new(elsewhere)), database([imported(1), imported(2)]));
    assert_eq!(kept(&FileStore::new(path)), database([here(1), imported(2)]));
}

#[test]
fn a_damaged_file_is_set_aside_and_named() {
    let path = folder("damaged").join("tuning.json");
    let store = FileStore::new(&path);
    for number in 1..=2 {
        fs::write(&path, format!("{{\"half a {number}")).unwrap();
        let loaded = block_on(store.load()).unwrap();
        assert!(loaded.entries.is_empty());
        let aside = &loaded.set_aside[0];
        assert!(aside.what.contains(&format!("damaged-{number}")) && aside.why.contains("JSON"), "{aside:?}");
        let copy = path.with_file_name(format!("tuning.json.damaged-{number}"));
        assert_eq!(fs::read_to_string(copy).unwrap(), format!("{{\"half a {number}"));
    }
    block_on(store.put(&[here(1)])).unwrap();
    assert_eq!(kept(&store).len(), 1);
}

#[test]
fn one_damaged_record_costs_itself_and_a_copy_of_it_stays() {
    let path = folder("one").join("tuning.json");
    let store = FileStore::new(&path);
    block_on(store.put(&[here(1), here(2)])).unwrap();
    let damaged = fs::read_to_string(&path).unwrap().replacen("\"outcome\":\"ok\"", "\"outcome\":\"fine\"", 1);
    fs::write(&path, &damaged).unwrap();
    let loaded = block_on(store.load()).unwrap();
    assert_eq!((loaded.entries.len(), loaded.set_aside.len()), (1, 1));
    assert!(loaded.set_aside[0].why.contains("fine"), "{:?}", loaded.set_aside);
    block_on(store.put(&[here(3)])).unwrap();
    assert_eq!(fs::read_to_string(path.with_file_name("tuning.json.damaged-1")).unwrap(), damaged);
    assert!(block_on(store.load()).unwrap().set_aside.is_empty());
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let path = folder("newer").join("tuning.json");
    let text = r#"{"format": "tilewright-tuning", "schema": 99, "records": []}"#;
    fs::write(&path, text).unwrap();
    let store = FileStore::new(&path);
    let error = block_on(store.put(&[here(1)])).unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(words) if words.contains("update")), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn two_writers_at_once_lose_nothing_and_leave_nothing_behind() {
    let folder = folder("two");
    let path = folder.join("tuning.json");
    thread::scope(|scope| {
        for writer in 0..2 {
            let store = FileStore::new(&path);
            scope.spawn(move || {
                for round in 0..20 {
                    block_on(store.put(&[here(1 + writer * 100 + round)])).unwrap();
                }
            });
        }
    });
    assert_eq!(kept(&FileStore::new(&path)).len(), 40);
    let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["tuning.json", "tuning.json.here", "tuning.json.lock"]);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let store = FileStore::new(folder("missing").join("no/such/tuning.json"));
    assert_eq!(block_on(store.load()).unwrap(), Loaded::default());
    let error = block_on(store.put(&[here(1)])).unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(words) if words.contains("no/such")), "{error}");
}

/// A store where everything fails.
struct Broken;

impl Store for Broken {
    fn load(&self) -> LocalBoxFuture<'_, Result<Loaded, StoreError>> {
        ready(Err(StoreError::Unavailable("a private window".to_owned()))).boxed_local()
    }

    fn put<'a>(&'a self, _: &'a [Entry]) -> LocalBoxFuture<'a, Result<(), StoreError>> {
        ready(Err(StoreError::Full("0 bytes".to_owned()))).boxed_local()
    }

    fn remove<'a>(&'a self, _: &'a [RecordId]) -> LocalBoxFuture<'a, Result<(), StoreError>> {
        ready(Err(StoreError::Blocked("another tab".to_owned()))).boxed_local()
    }

    fn clear(&self) -> LocalBoxFuture<'_, Result<(), StoreError>> {
        ready(Err(StoreError::Failed("gone".to_owned()))).boxed_local()
    }
}

#[test]
fn a_store_where_everything_fails_costs_nothing_but_tomorrow() {
    block_on(async {
        let mut keeper = Keeper::open(Box::new(Broken), Database::default()).await;
        keeper.record([Item::Record(measured(1, 100.0))]).await.unwrap();
        keeper.record([Item::Record(measured(2, 100.0))]).await.unwrap();
        assert_eq!(keeper.database().len(), 2);
        assert_eq!(keeper.forget_stale(&Kernels::default()).await, 2);
        keeper.reset().await;
        let words: Vec<_> = keeper.troubles().iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), 4, "each once: {words:?}");
        assert!(words[0].contains("private window") && words[1].contains("room"), "{words:?}");
    });
}

#[test]
fn a_keeper_finds_tomorrow_what_it_kept_today() {
    let path = folder("keeper").join("tuning.json");
    let shared = export(&database([imported(7), imported(1)]));
    block_on(async {
        let built_in = || database([entry(measured(5, 100.0), Provenance::BuiltIn)]);
        let mut today = Keeper::open(Box::new(FileStore::new(&path)), built_in()).await;
        today.record([Item::Record(measured(1, 100.0))]).await.unwrap();
        let report = today.import(shared.as_bytes(), &ImportRules::default()).await.unwrap();
        assert_eq!((report.taken.len(), report.known), (1, 1));
        let fault = today.record([Item::Record(measured(2, f64::NAN)), Item::Record(measured(3, 9.0))]).await;
        assert!(fault.unwrap_err().to_string().contains("NaN"));

        let tomorrow = Keeper::open(Box::new(FileStore::new(&path)), built_in()).await;
        assert_eq!(tomorrow.database(), today.database());
        assert_eq!((tomorrow.database().len(), tomorrow.troubles()), (4, &[][..]));

        let mut reset = tomorrow;
        reset.reset().await;
        assert_eq!(reset.database(), &built_in());
        assert!(kept(&FileStore::new(&path)).is_empty());
    });
}

#[test]
fn what_a_store_set_aside_is_a_trouble_to_be_shown() {
    let path = folder("trouble").join("tuning.json");
    fs::write(&path, "rubbish").unwrap();
    let keeper = block_on(Keeper::open(Box::new(FileStore::new(&path)), Database::default()));
    assert!(matches!(keeper.troubles(), [Trouble::SetAside(_)]));
    assert!(keeper.troubles()[0].to_string().contains("damaged-1"));
}
