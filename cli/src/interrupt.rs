//! Ctrl-C ends the answer; pressed where nothing is being answered, the program.

use futures_channel::oneshot;
use std::sync::{Mutex, Once, PoisonError};

static WAITING: Mutex<Option<oneshot::Sender<()>>> = Mutex::new(None);
static INSTALL: Once = Once::new();

/// Resolves at the next Ctrl-C.
pub(crate) async fn pressed() {
    INSTALL.call_once(|| {
        let handler = || {
            let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Nobody waits, or whoever did is gone.
            if waiting.is_none_or(|sender| sender.send(()).is_err()) {
                std::process::exit(130);
            }
        };
        // Where no handler can be set, Ctrl-C ends the program as ever.
        let _ = ctrlc::set_handler(handler);
    });
    let (sender, receiver) = oneshot::channel();
    *WAITING.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    if receiver.await.is_err() {
        std::future::pending::<()>().await;
    }
}
