//! What the engine warns of. A device that falls back says so in the log alone, so that is where tests have to look.
//!
//! Each test of a binary has a thread, but whether a warning is wanted is remembered for all of them: so there is one listener, who
//! notes what is said on a thread that asked for it.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Once;
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("tilewright")
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut |field: &Field, value: &dyn Debug| {
            if field.name() == "message" {
                HEARD.with_borrow_mut(|heard| heard.iter_mut().for_each(|heard| heard.push(format!("{value:?}"))));
            }
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Does something, and returns with its result what was warned of meanwhile, on this thread.
pub fn with_warnings<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| tracing::subscriber::set_global_default(Listener).expect("nobody else listens"));
    HEARD.set(Some(Vec::new()));
    let result = work();
    (result, HEARD.take().unwrap_or_default())
}
