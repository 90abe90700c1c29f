//! A whole tuning of a small model on a software device: what is known is not measured again, what has changed is, and steps
//! compute the same before and after.

mod lavapipe;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use futures_util::lock::Mutex;
use lavapipe::{Alone, gpu};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use tilewright_autotune::records::{current_kernels, possible};
use tilewright_autotune::status::{OperationState, State};
use tilewright_autotune::{Host, Options, Place, RaceOptions, Status, Tuner};
use tilewright_engine::gpu::TunableExecutor;
use tilewright_engine::load::load_shape;
use tilewright_engine::model::shapes::Shape;
use tilewright_engine::{Device, Gpu, GpuOptions, LoadOptions};
use tilewright_tuning_db::exchange::export;
use tilewright_tuning_db::store::{FileStore, MemoryStore, Store};
use tilewright_tuning_db::{Database, Entry, ImportRules, Item, Keeper, Outcome, Provenance, Record, Verdict};

const SMALL: Shape = Shape::new("small", [2, 128, 352, 4, 2, 32, 500, 256], 10_000.0, true, true);

struct Tuned {
    status: Status,
    keeper: Rc<Mutex<Keeper>>,
}

fn quick() -> Options {
    let race = RaceOptions { least_us: 200.0, ..RaceOptions::default() };
    Options { model: "small".to_owned(), gpu_us: 1_000_000.0, race, ..Options::default() }
}

fn executor(gpu: Gpu) -> TunableExecutor {
    let loaded = pollster::block_on(load_shape(Device::Gpu(gpu), &SMALL, &LoadOptions::default(), &mut |_, _| ()));
    loaded.unwrap().tunable.expect("a GPU's executor can be tuned")
}

fn keeper(entries: Vec<Entry>) -> Rc<Mutex<Keeper>> {
    let mut known = Database::default();
    for entry in entries {
        known.insert(entry);
    }
    Rc::new(Mutex::new(pollster::block_on(Keeper::open(Box::new(MemoryStore::default()), known))))
}

fn tune(gpu: Gpu, keeper: Rc<Mutex<Keeper>>, options: Options) -> Tuned {
    let (host, place) = (Alone::new(), Place::native(&gpu));
    let executor = executor(gpu);
    let shown = RefCell::new(0);
    let tell = |_: &Status| *shown.borrow_mut() += 1;
    let status = pollster::block_on(Tuner::new(executor, Rc::clone(&keeper), place, options, &host, &tell).run());
    assert!(*shown.borrow() > 3, "progress was told");
    Tuned { status, keeper }
}

/// A host on which another tuner is at work when its turn is waited for, and keeps what it measured in the same file.
struct AfterAnother {
    host: Alone,
    file: PathBuf,
    measured: Vec<Entry>,
}

impl Host for AfterAnother {
    fn clock_us(&self) -> f64 {
        self.host.clock_us()
    }

    fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }

    fn turn(&self) -> LocalBoxFuture<'_, ()> {
        self.host.turn()
    }

    fn alone(&self) -> LocalBoxFuture<'_, Box<dyn Any>> {
        async {
            FileStore::new(&self.file).put(&self.measured).await.unwrap();
            Box::new(()) as Box<dyn Any>
        }
        .boxed_local()
    }
}

/// A host whose device is lost when the second candidate runs for the first time.
struct Losing {
    host: Alone,
    gpu: Gpu,
    turns: Cell<u32>,
}

impl Host for Losing {
    fn clock_us(&self) -> f64 {
        self.host.clock_us()
    }

    fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }

    fn turn(&self) -> LocalBoxFuture<'_, ()> {
        self.turns.set(self.turns.get() + 1);
        if self.turns.get() == 3 {
            self.gpu.destroy();
        }
        async {}.boxed_local()
    }
}

#[test]
fn what_ran_for_the_first_time_when_the_device_was_lost_is_not_tried_again() {
    let lost = gpu(GpuOptions::default());
    let (place, executor) = (Place::native(&lost), executor(lost.clone()));
    let host = Losing { host: Alone::new(), gpu: lost, turns: Cell::new(0) };
    let keeper = keeper(Vec::new());
    let first = pollster::block_on(Tuner::new(executor, Rc::clone(&keeper), place, quick(), &host, &|_| ()).run());
    assert_eq!(first.state, State::Failed);
    let suspects = |keeper: &Mutex<Keeper>| -> Vec<Record> {
        let items = entries(keeper).into_iter().map(|entry| entry.item);
        let records = items.filter_map(|item| if let Item::Record(record) = item { Some(record) } else { None });
        records.filter(|record| record.outcome == Outcome::Timeout).collect()
    };
    let [suspect] = &suspects(&keeper)[..] else { panic!("{:?}", suspects(&keeper)) };
    assert!(suspect.note.contains("lost"), "{}", suspect.note);

    let second = tune(
        gpu(GpuOptions::default()),
        keeper,
        Options { exhaustive: true, phases: vec![0], most_operations: 1, ..quick() },
    );
    assert_eq!(second.status.state, State::Done);
    let op = second.status.operations.iter().find(|op| op.shape == suspect.shape).expect("it is tuned again");
    // All of its space but that one, and the default where that is not of the space.
    assert!(op.tried + 1 >= op.space, "{} of {}", op.tried, op.space);
    let variant = suspect.variant();
    let tried = entries(&second.keeper).into_iter().filter(|entry| {
        matches!(&entry.item, Item::Record(record) if record.shape == suspect.shape && record.variant() == variant)
    });
    assert_eq!(tried.count(), 1, "there is the one record of it");
}

#[test]
fn of_two_tuners_the_one_that_waited_measures_nothing_anew() {
    let first = tune(gpu(GpuOptions::default()), keeper(Vec::new()), quick());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("two tuners");
    // What an earlier run of this test left.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("tuning.json");
    let store: Box<dyn Store> = Box::new(FileStore::new(&file));
    let keeper = Rc::new(Mutex::new(pollster::block_on(Keeper::open(store, Database::default()))));
    let host = AfterAnother { host: Alone::new(), file, measured: entries(&first.keeper) };
    let gpu = gpu(GpuOptions::default());
    let (place, executor) = (Place::native(&gpu), executor(gpu));
    let second = pollster::block_on(Tuner::new(executor, keeper, place, quick(), &host, &|_| ()).run());
    assert_eq!((second.state, second.measured), (State::Done, 0), "{:?}", second.error);
    assert_eq!(second.operations.len(), first.status.operations.len());
    assert!(second.operations.iter().all(|op| op.state == OperationState::Known));
}

fn entries(keeper: &Mutex<Keeper>) -> Vec<Entry> {
    pollster::block_on(keeper.lock()).database().entries().cloned().collect()
}

#[test]
fn what_was_measured_is_known_the_next_time_and_what_has_changed_is_measured_again() {
    let first = tune(gpu(GpuOptions::default()), keeper(Vec::new()), quick());
    assert_eq!((first.status.state, &first.status.error), (State::Done, &None));
    assert!(first.status.measured > first.status.operations.len(), "{}", first.status.measured);
    assert!(first.status.operations.iter().all(|op| op.state == OperationState::Measured && op.default_us.is_some()));

    for op in &first.status.operations {
        // Who is used is the fastest alone, or the reason names another who is.
        let named = op.why.strip_prefix("Fastest alone is ");
        assert_eq!(named.is_none(), op.why.starts_with("The fastest of "), "{}", op.why);
        assert!(named.is_none_or(|named| !named.starts_with(&op.chosen.to_string())), "{}", op.why);
    }
    for shown in &first.status.trials {
        let gain = shown.gain.expect("whole steps were run");
        assert_eq!(shown.trial.verdict == Verdict::Kept, gain > 1.0 + shown.noise, "{shown:?}");
    }
    let Status { adopting_ms, tuning_ms, trying_ms, elapsed_ms, .. } = first.status;
    assert!(tuning_ms > 0.0 && (adopting_ms + tuning_ms + trying_ms - elapsed_ms).abs() < 1.0);

    let second = tune(gpu(GpuOptions::default()), keeper(entries(&first.keeper)), quick());
    assert_eq!((second.status.state, second.status.measured), (State::Done, 0));
    assert!(second.status.operations.iter().all(|op| op.state == OperationState::Known));
    // What the trials kept is used, and nothing else.
    let chosen = |status: &Status| status.operations.iter().map(|op| op.chosen.clone()).collect::<Vec<_>>();
    assert_eq!(chosen(&second.status), chosen(&first.status));

    // Attention has another source than when it was measured.
    let stale = |entry: Entry| match entry.item {
        Item::Record(mut record) if record.shape.op == "attention_split" => {
            record.source_hash = "0123456789abcdef".to_owned();
            Entry::new(Item::Record(record), Provenance::MeasuredHere).unwrap()
        }
        item => Entry { item, ..entry },
    };
    let changed = entries(&first.keeper).into_iter().map(stale).collect();
    let third = tune(gpu(GpuOptions::default()), keeper(changed), quick());
    for op in &third.status.operations {
        let expected = if op.shape.op == "attention_split" { OperationState::Measured } else { OperationState::Known };
        assert_eq!(op.state, expected, "{}", op.label);
    }
}

#[test]
fn what_others_measured_is_checked_here_before_it_is_used_and_what_is_wrong_here_is_not() {
    let first = tune(gpu(GpuOptions::default()), keeper(Vec::new()), quick());
    // A file says that some variant takes no time at all.
    let mut database = Database::default();
    let mut best = None;
    for entry in entries(&first.keeper) {
        let Item::Record(mut record) = entry.item else { continue };
        // Not what is used anyhow, which needs no check.
        let is_default =
            first.status.operations.iter().any(|op| op.shape == record.shape && op.default == record.variant());
        let is_product = !is_default && record.shape.op.starts_with("product") && record.outcome == Outcome::Ok;
        if is_product && record.shape.m == 1 && best.is_none() && !record.samples_ns.is_empty() {
            record.samples_ns = vec![1.0; 5];
            best = Some(record.clone());
        }
        // Of the same GPU elsewhere.
        "another".clone_into(&mut record.browser.name);
        database.insert(Entry::new(Item::Record(record), Provenance::MeasuredHere).unwrap());
    }
    let best = best.expect("a product was measured");
    let variant = best.variant().decode().unwrap();
    let kernels = current_kernels();
    let rules = ImportRules { kernels: Some(&kernels), possible: &possible, ..ImportRules::default() };
    for plant in [Vec::new(), vec![(variant, tilewright_engine::gpu::PlantedFault::Wrong)]] {
        let is_wrong = !plant.is_empty();
        let keeper = keeper(Vec::new());
        let report =
            pollster::block_on(async { keeper.lock().await.import(export(&database).as_bytes(), &rules).await });
        assert!(report.unwrap().taken.len() > first.status.operations.len());
        let adopted =
            tune(gpu(GpuOptions { plant, ..GpuOptions::default() }), keeper, Options { adopt_only: true, ..quick() });
        assert_eq!((adopted.status.state, adopted.status.measured), (State::Done, 0), "{:?}", adopted.status.error);
        let op = adopted.status.operations.iter().find(|op| op.shape == best.shape).unwrap();
        assert_eq!(op.chosen == best.variant(), !is_wrong, "{}: {}", op.label, op.why);
        assert_eq!(op.why.contains("wrong"), is_wrong, "{}", op.why);
    }
}

#[test]
fn what_was_measured_on_such_a_device_in_such_a_browser_is_not_measured_again() {
    let first = tune(gpu(GpuOptions::default()), keeper(Vec::new()), quick());
    let mut database = Database::default();
    for entry in entries(&first.keeper) {
        database.insert(entry);
    }
    let keeper = keeper(Vec::new());
    let file = export(&database);
    pollster::block_on(async { keeper.lock().await.import(file.as_bytes(), &ImportRules::default()).await }).unwrap();
    let second = tune(gpu(GpuOptions::default()), Rc::clone(&keeper), quick());
    assert_eq!((second.status.state, second.status.measured), (State::Done, 0), "{:?}", second.status.error);
    assert!(second.status.operations.iter().all(|op| op.state == OperationState::Known));
}

#[test]
fn a_choice_that_the_device_refuses_changes_nothing_and_one_that_it_takes_is_used() {
    let clean = executor(gpu(GpuOptions::default()));
    let operations = clean.operations(1, 1);
    let op = operations.iter().find(|op| op.op.rows() == 1 && op.default.kernel() == "matvec_serial").unwrap();
    let other = tilewright_autotune::space::variants(&op.op, &clean.gpu().limits())
        .into_iter()
        .find(|variant| *variant != op.default)
        .unwrap();
    let current = |executor: &TunableExecutor| {
        executor.operations(1, 1).into_iter().find(|known| known.op == op.op).map(|known| known.current)
    };
    pollster::block_on(clean.choose(&[(op.op, Some(other))])).unwrap();
    assert_eq!(current(&clean), Some(other));
    pollster::block_on(clean.choose(&[(op.op, None)])).unwrap();
    assert_eq!(current(&clean), Some(op.default));

    let plant = vec![(other, tilewright_engine::gpu::PlantedFault::Refused)];
    let refusing = executor(gpu(GpuOptions { plant, ..GpuOptions::default() }));
    let refused = pollster::block_on(refusing.choose(&[(op.op, Some(other))])).unwrap_err();
    assert!(refused.to_string().contains("refused matvec"), "{refused}");
    assert_eq!(current(&refusing), Some(op.default));
    assert!(refusing.gpu().check().is_ok(), "the device goes on");
}
