//! The tuner of an engine: it runs while nobody waits for an answer, and answers what a page asks of it.
//!
//! It begins a while after the model is there, so that a first question goes before it, and anew whenever another GPU computes.
//! Between two pieces of work, some milliseconds each, it sees whether a request has come, to this engine or to another of the
//! site, and then waits until all are answered. What it learns is kept in the browser's storage, where there is one.

use crate::clock::clock;
use crate::engine_locks::EngineLocks;
use crate::tuning_store::JsTuningStore;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, LocalBoxFuture, Shared, abortable};
use futures_util::lock::Mutex;
use gloo_timers::future::sleep;
use js_sys::{Reflect, global};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tilewright_api::ApiError;
use tilewright_autotune::records::{current_kernels, digest, possible};
use tilewright_autotune::status::State;
use tilewright_autotune::{Host, Options, Place, Status, Tuner};
use tilewright_engine::gpu::TunableExecutor;
use tilewright_host::Activity;
use tilewright_tuning_db::exchange::export;
use tilewright_tuning_db::{Browser, Database, Device, ImportReport, ImportRules, Keeper, Provenance, builtin};
use wasm_bindgen::prelude::*;

/// The first question goes first.
const BEGIN_AFTER: Duration = Duration::from_millis(1500);
/// After an answer there may be another question.
const SETTLE: Duration = Duration::from_millis(300);
/// Timestamps in browsers are rounded so, against timing attacks.
const TIMESTAMP_QUANTUM_NS: f64 = 100_000.0;

/// Operations that are searched at a time: while the candidates of some are compiled, those of another are timed.
const MOST_AT_ONCE: usize = 3;
/// One of them keeps so many cores busy.
const CORES_EACH: usize = 4;

/// How many operations are searched at a time on this computer.
pub(crate) fn at_once() -> usize {
    let navigator = Reflect::get(&global(), &"navigator".into());
    let cores = navigator.and_then(|navigator| Reflect::get(&navigator, &"hardwareConcurrency".into()));
    let cores = cores.ok().and_then(|cores| cores.as_f64()).unwrap_or_default() as usize;
    (cores / CORES_EACH).clamp(1, MOST_AT_ONCE)
}

/// `AdapterFacts` of adapter-facts.ts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Facts {
    vendor: String,
    architecture: String,
    device: String,
    description: String,
    subgroup_min: u32,
    subgroup_max: u32,
    features: Vec<String>,
    limits: String,
    browser: Browser,
}

/// What a page asks: `TuningCommand` of tuning.ts.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    Status,
    /// Measure what is not known, or everything again.
    Start {
        #[serde(default)]
        again: bool,
        seconds: Option<f64>,
    },
    Pause,
    Resume,
    /// Forget what was measured and imported.
    Reset,
    Export,
    Import {
        file: String,
    },
}

/// What a page is answered: `TuningAnswer` of tuning.ts.
#[derive(Serialize)]
struct Answer {
    status: Told,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Value>,
}

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    status: Status,
    /// Nothing is measured until somebody says so.
    paused: bool,
    /// Somebody else's answer goes first.
    waiting: bool,
    /// There is a GPU to tune.
    available: bool,
    /// Records that were measured here, imported, and that came with the package.
    records: [usize; 3],
}

/// Where kernels run, from JSON of `AdapterFacts`.
pub(crate) fn place(facts: &str) -> Place {
    let facts: Facts = serde_json::from_str(facts).unwrap_or_default();
    let device = Device {
        vendor: facts.vendor,
        architecture: facts.architecture,
        device: facts.device,
        description: facts.description,
        subgroup_min: facts.subgroup_min,
        subgroup_max: facts.subgroup_max,
        features: facts.features.into_iter().collect(),
        limits_digest: digest(&facts.limits),
    };
    Place { device, browser: facts.browser, timer_quantum_ns: TIMESTAMP_QUANTUM_NS }
}

#[wasm_bindgen]
extern "C" {
    /// `TuningSetup` of wasm-engine.ts.
    pub type TuningSetup;

    /// `auto` or `off`.
    #[wasm_bindgen(method, getter)]
    fn mode(this: &TuningSetup) -> String;

    #[wasm_bindgen(method, getter)]
    fn store(this: &TuningSetup) -> JsTuningStore;

    #[wasm_bindgen(method, getter)]
    fn locks(this: &TuningSetup) -> EngineLocks;
}

/// The tuner of one engine.
pub(crate) struct Tuning {
    model: String,
    /// Whether anything is measured without being asked for.
    auto: bool,
    place: Place,
    /// Opened when it is first asked: reading storage and what comes with the package would delay a first answer.
    keeper: Shared<LocalBoxFuture<'static, Rc<Mutex<Keeper>>>>,
    gate: Rc<Gate>,
    status: RefCell<Status>,
    executor: RefCell<Option<TunableExecutor>>,
    running: RefCell<Option<AbortHandle>>,
    /// Tells other engines that this one answers.
    announcing: AbortHandle,
}

/// Whose turn it is.
pub(crate) struct Gate {
    clock: Box<dyn Fn() -> Duration>,
    /// Somebody waits for an answer.
    answering: Activity,
    /// Somebody has said so.
    paused: Activity,
    /// What other engines say, if there may be others.
    locks: Option<EngineLocks>,
    /// Another engine's answer is waited for.
    giving_way: Cell<bool>,
}

impl Gate {
    /// Of a tuner that gives way to this.
    pub(crate) fn new(answering: Activity, locks: Option<EngineLocks>) -> Self {
        Self { clock: Box::new(clock()), answering, paused: Activity::default(), locks, giving_way: Cell::default() }
    }

    /// Whether other engines are quiet. If not, waits until they are.
    async fn others_are_quiet(&self) -> bool {
        let Some(locks) = &self.locks else { return true };
        if locks.is_quiet().await {
            return true;
        }
        self.giving_way.set(true);
        locks.wait_for_quiet().await;
        self.giving_way.set(false);
        false
    }
}

impl Host for Gate {
    fn clock_us(&self) -> f64 {
        (self.clock)().as_secs_f64() * 1e6
    }

    fn now_ms(&self) -> u64 {
        (self.clock)().as_millis() as u64
    }

    fn turn(&self) -> LocalBoxFuture<'_, ()> {
        async {
            loop {
                self.paused.idle().await;
                let quiet = !self.answering.is_busy() && self.others_are_quiet().await;
                // Asking the others takes a moment, in which a request may have come.
                if quiet && !self.answering.is_busy() && !self.paused.is_busy() {
                    return;
                }
                self.answering.idle().await;
                sleep(SETTLE).await;
            }
        }
        .boxed_local()
    }

    fn alone(&self) -> LocalBoxFuture<'_, Box<dyn Any>> {
        async {
            match &self.locks {
                Some(locks) => Box::new(locks.turn().await) as Box<dyn Any>,
                None => Box::new(()),
            }
        }
        .boxed_local()
    }
}

impl Tuning {
    /// Of a model's engine, giving way to `answering` and to other engines; `facts` is JSON of `AdapterFacts`.
    pub(crate) fn new(model: String, setup: &TuningSetup, facts: &str, answering: Activity) -> Self {
        let (place, kept, locks) = (place(facts), setup.store(), setup.locks());
        let (announcement, announcing) = abortable(locks.clone().announce(answering.clone()));
        wasm_bindgen_futures::spawn_local(announcement.map(drop));
        Self {
            model,
            auto: setup.mode() != "off",
            keeper: async move {
                let mut keeper = Keeper::open(Box::new(kept), builtin::database().unwrap_or_default()).await;
                keeper.forget_stale(&current_kernels()).await;
                Rc::new(Mutex::new(keeper))
            }
            .boxed_local()
            .shared(),
            gate: Rc::new(Gate::new(answering, Some(locks))),
            announcing,
            status: RefCell::new(Status {
                device: place.device.clone(),
                browser: place.browser.clone(),
                ..Status::default()
            }),
            place,
            executor: RefCell::default(),
            running: RefCell::default(),
        }
    }

    /// Another executor computes; `None`: none that can be tuned.
    pub(crate) fn attach(self: &Rc<Self>, executor: Option<TunableExecutor>) {
        *self.executor.borrow_mut() = executor;
        self.begin(Options { adopt_only: !self.auto, ..Options::default() }, BEGIN_AFTER);
    }

    /// The engine has ended: its memory is given back.
    pub(crate) fn end(&self) {
        self.stop();
        self.executor.take();
        self.announcing.abort();
    }

    fn stop(&self) {
        if let Some(running) = self.running.take() {
            running.abort();
            self.gate.giving_way.set(false);
        }
    }

    fn begin(self: &Rc<Self>, options: Options, after: Duration) {
        self.stop();
        let Some(executor) = self.executor.borrow().clone() else { return };
        if after.is_zero() {
            // Who asked for it is answered before it has begun, and must not be told of the last one's end.
            let mut status = self.status.borrow_mut();
            (status.state, status.error) = (State::Adopting, None);
        }
        let (weak, gate) = (Rc::downgrade(self), Rc::clone(&self.gate));
        let (keeper, place) = (self.keeper.clone(), self.place.clone());
        let options = Options { model: self.model.clone(), at_once: at_once(), ..options };
        let (tuning, handle) = abortable(async move {
            sleep(after).await;
            let tell = |status: &Status| {
                if let Some(tuning) = weak.upgrade() {
                    tuning.status.replace(status.clone());
                }
            };
            Tuner::new(executor, keeper.await, place, options, &*gate, &tell).run().await;
        });
        *self.running.borrow_mut() = Some(handle);
        wasm_bindgen_futures::spawn_local(tuning.map(drop));
    }

    /// Does what a page asks; JSON of a `TuningAnswer`.
    pub(crate) async fn answer(self: &Rc<Self>, command: &str) -> Result<Value, ApiError> {
        let command: Command = serde_json::from_str(command)
            .map_err(|error| ApiError::invalid("tuning", format!("this is nothing to ask a tuner: {error}")))?;
        let (mut file, mut report) = (None, None);
        match command {
            Command::Status => {}
            Command::Start { again, seconds } => {
                if self.executor.borrow().is_none() {
                    return Err(ApiError::invalid(
                        "tuning",
                        "there is no GPU here whose kernels could be tuned".to_owned(),
                    ));
                }
                let gpu_us = match seconds {
                    None => Options::default().gpu_us,
                    Some(seconds) if seconds > 0.0 && seconds <= 3600.0 => seconds * 1e6,
                    Some(_) => {
                        return Err(ApiError::invalid(
                            "seconds",
                            "seconds must be above 0 and at most 3600".to_owned(),
                        ));
                    }
                };
                self.gate.paused.set(false);
                self.begin(Options { again, gpu_us, ..Options::default() }, Duration::ZERO);
            }
            Command::Pause => self.gate.paused.set(true),
            Command::Resume => self.gate.paused.set(false),
            Command::Reset => {
                self.stop();
                self.keeper().await.lock().await.reset().await;
                self.begin(Options { adopt_only: true, ..Options::default() }, Duration::ZERO);
            }
            Command::Export => {
                let keeper = self.keeper().await;
                let keeper = keeper.lock().await;
                let mut own = Database::default();
                for entry in keeper.database().entries().filter(|entry| entry.provenance != Provenance::BuiltIn) {
                    own.insert(entry.clone());
                }
                file = Some(export(&own));
            }
            Command::Import { file } => {
                let kernels = current_kernels();
                let rules = ImportRules {
                    kernels: Some(&kernels),
                    possible: &possible,
                    now_ms: Some(self.gate.now_ms()),
                    ..ImportRules::default()
                };
                let taken = self.keeper().await.lock().await.import(file.as_bytes(), &rules).await;
                let taken = taken.map_err(|error| ApiError::invalid("file", error.to_string()))?;
                report = Some(told(&taken));
                self.begin(Options { adopt_only: true, ..Options::default() }, Duration::ZERO);
            }
        }
        let answer = Answer { status: self.told().await, file, report };
        Ok(serde_json::to_value(&answer).unwrap_or_default())
    }

    async fn keeper(&self) -> Rc<Mutex<Keeper>> {
        self.keeper.clone().await
    }

    async fn told(&self) -> Told {
        let keeper = self.keeper().await;
        let keeper = keeper.lock().await;
        let mut records = [0; 3];
        for (_, provenance) in keeper.database().records() {
            records[match provenance {
                Provenance::MeasuredHere => 0,
                Provenance::Imported => 1,
                Provenance::BuiltIn => 2,
            }] += 1;
        }
        let mut status = self.status.borrow().clone();
        status.troubles = keeper.troubles().iter().map(ToString::to_string).collect();
        Told {
            status,
            paused: self.gate.paused.is_busy(),
            waiting: self.gate.answering.is_busy() || self.gate.giving_way.get(),
            available: self.executor.borrow().is_some(),
            records,
        }
    }
}

/// `ImportReport` of tuning.ts.
fn told(report: &ImportReport) -> Value {
    let skipped: Vec<Value> = report
        .skipped
        .iter()
        .map(|(reason, skipped)| {
            serde_json::json!({ "reason": reason.code(), "count": skipped.count, "example": skipped.example })
        })
        .collect();
    serde_json::json!({
        "taken": report.taken.len(),
        "known": report.known,
        "skipped": skipped,
        "unknown_fields": report.unknown_fields,
        "words": report.to_string(),
    })
}
