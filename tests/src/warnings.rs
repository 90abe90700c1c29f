//! What the engine warns of. A device that falls back says so in the log alone, so that is where tests have to look.
//!
//! Each test of a binary has a thread, but whether a warning is wanted is remembered for all of them: so there is one listener, who
//! notes what is said on a thread that asked for it.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Once;
use tracing::field::Field;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

thread_local! {
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || !metadata.target().starts_with("tilewright") {
            return;
        }
        event.record(&mut |field: &Field, value: &dyn Debug| {
            if field.name() == "message" {
                HEARD.with_borrow_mut(|heard| heard.iter_mut().for_each(|heard| heard.push(format!("{value:?}"))));
            }
        });
    }
}

/// Does something, and returns with its result what was warned of meanwhile, on this thread.
pub fn with_warnings<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    static LISTENING: Once = Once::new();
    let listener = || tracing_subscriber::registry().with(Listener);
    LISTENING.call_once(|| tracing::subscriber::set_global_default(listener()).expect("nobody else listens"));
    HEARD.set(Some(Vec::new()));
    let result = work();
    (result, HEARD.take().unwrap_or_default())
}
