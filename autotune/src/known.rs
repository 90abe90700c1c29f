//! What the database knows, asked in the engine's words.
//!
//! A tuner thinks in operations and variants of the engine, the database in shapes and variants by value, in records of devices
//! and browsers. Here one is turned into the other, for one device in one browser.

use crate::race::Entry;
use crate::records::{self, Place, RaceFacts};
use futures_util::lock::Mutex;
use std::rc::Rc;
use tilewright_engine::gpu::tuned_op::TunedOp;
use tilewright_engine::kernels::KernelVariant;
use tilewright_tuning_db::lookup::time_in_words;
use tilewright_tuning_db::{
    Answer, Item, Keeper, Kernels, Outcome, Provenance, Query, Rung, Shape, Trial, Variant, Verdict,
};

/// The knowledge of a tuner.
pub(crate) struct Known {
    keeper: Rc<Mutex<Keeper>>,
    /// Where kernels run.
    pub(crate) place: Place,
    kernels: Kernels,
}

impl Known {
    /// Of the kernels of this engine.
    pub(crate) fn new(keeper: Rc<Mutex<Keeper>>, place: Place) -> Self {
        Self { keeper, place, kernels: records::current_kernels() }
    }

    fn query<'a>(&'a self, shape: &'a Shape, default: &'a Variant, permits: &'a dyn Fn(&Variant) -> bool) -> Query<'a> {
        let Place { device, browser, .. } = &self.place;
        Query { shape, device, browser, kernels: &self.kernels, permits, default }
    }

    /// Learns what other tuners have kept since; says whether there was anything.
    pub(crate) async fn refresh(&self) -> bool {
        self.keeper.lock().await.refresh().await
    }

    /// What is best for an operation, of the default and a space.
    pub(crate) async fn answer(&self, op: &TunedOp, default: &KernelVariant, space: &[KernelVariant]) -> Answer {
        let (shape, default) = (records::shape(op), records::variant(default));
        let permitted: Vec<_> = space.iter().map(records::variant).collect();
        let permits = |variant: &_| *variant == default || permitted.contains(variant);
        self.keeper.lock().await.database().look_up(&self.query(&shape, &default, &permits))
    }

    /// Whether an answer spares measuring: variants of the operation were timed here, or a file has such times of this very device
    /// and browser. A GPU whose name is hidden may be any, so no file knows it; and what comes with the package is of somebody
    /// else's device, however alike.
    pub(crate) async fn is_enough(&self, op: &TunedOp, default: &KernelVariant, answer: &Answer) -> bool {
        if answer.needs_check || answer.why.rung != Rung::Exact {
            return false;
        }
        let (shape, default) = (records::shape(op), records::variant(default));
        let query = self.query(&shape, &default, &|_| true);
        let keeper = self.keeper.lock().await;
        let mut timed = keeper.database().tried(&query).filter(|(record, _)| record.time_ns().is_some());
        timed.any(|(_, provenance)| match provenance {
            Provenance::MeasuredHere => true,
            Provenance::Imported => !self.place.device.vendor.is_empty(),
            Provenance::BuiltIn => false,
        })
    }

    /// Microseconds that a variant took here when it was last timed.
    pub(crate) async fn time_us(&self, op: &TunedOp, variant: &KernelVariant) -> Option<f64> {
        let (shape, variant) = (records::shape(op), records::variant(variant));
        let query = self.query(&shape, &variant, &|_| true);
        let keeper = self.keeper.lock().await;
        let tried = keeper.database().tried(&query).filter(|(record, _)| record.variant() == variant);
        let newest =
            tried.filter(|(record, _)| record.time_ns().is_some()).max_by_key(|(record, _)| record.taken_at_ms);
        newest.and_then(|(record, _)| record.time_ns()).map(|ns| ns / 1e3)
    }

    /// Whether an answer may be used without a trial of whole steps: what was fastest alone elsewhere may, what was fastest alone
    /// here has to have been kept by one.
    pub(crate) async fn may_be_used(&self, op: &TunedOp, answer: &Answer) -> bool {
        if answer.needs_check {
            return false;
        }
        if answer.why.rung != Rung::Exact {
            return true;
        }
        let shape = records::shape(op);
        let keeper = self.keeper.lock().await;
        keeper.database().trials().any(|(trial, _)| {
            trial.verdict == Verdict::Kept
                && trial.changes.iter().any(|change| change.shape == shape && change.to == answer.variant)
        })
    }

    /// Why a variant is used, in a sentence.
    pub(crate) fn why(answer: &Answer, used: &KernelVariant) -> String {
        let Answer { variant, why, .. } = answer;
        if *variant == records::variant(used) {
            return why.to_string();
        }
        let time = why.evidence.as_ref().map(|evidence| format!(" with {}", time_in_words(evidence.time_ns)));
        format!(
            "Fastest alone is {variant}{}; it is not used, as no trial has shown that whole steps are faster with it.",
            time.unwrap_or_default()
        )
    }

    /// What took too long here, or lost the device: it is not tried again.
    pub(crate) async fn hanging(&self, op: &TunedOp) -> Vec<KernelVariant> {
        let (shape, none) = (records::shape(op), Variant { kernel: String::new(), parameters: [].into() });
        let query = self.query(&shape, &none, &|_| true);
        let keeper = self.keeper.lock().await;
        let hanging = keeper.database().tried(&query).filter(|(record, _)| record.outcome == Outcome::Timeout);
        hanging.filter_map(|(record, _)| record.variant().decode().ok()).collect()
    }

    /// The best of an operation on any device, the best first.
    pub(crate) async fn fast_anywhere(&self, op: &TunedOp) -> Vec<KernelVariant> {
        let shape = records::shape(op);
        let keeper = self.keeper.lock().await;
        let records = keeper.database().records_of(&shape);
        let mut timed: Vec<(f64, KernelVariant)> = records
            .filter(|(record, _)| self.kernels.is_current(&record.kernel, &record.source_hash))
            .filter_map(|(record, _)| Some((record.time_ns()?, record.variant().decode().ok()?)))
            .collect();
        timed.sort_by(|a, b| a.0.total_cmp(&b.0));
        timed.into_iter().map(|(_, variant)| variant).collect()
    }

    /// Keeps what a race found out.
    pub(crate) async fn keep_race(&self, op: &TunedOp, entries: &[Entry], facts: &RaceFacts, now_ms: u64) {
        let record = |entry| Item::Record(records::record(op, entry, facts, &self.place, now_ms));
        self.keep(entries.iter().map(record).collect()).await;
    }

    /// Keeps what a trial of whole steps found out.
    pub(crate) async fn keep_trial(&self, trial: Trial) {
        self.keep(vec![Item::Trial(trial)]).await;
    }

    async fn keep(&self, items: Vec<Item>) {
        if let Err(fault) = self.keeper.lock().await.record(items).await {
            tracing::warn!("a measurement can't be kept: {fault}");
        }
    }

    /// What is wrong with the store.
    pub(crate) async fn troubles(&self) -> Vec<String> {
        self.keeper.lock().await.troubles().iter().map(ToString::to_string).collect()
    }
}
