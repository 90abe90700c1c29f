//! Whether something goes on that other work gives way to: somebody waits for an answer, or has said that it is to pause.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A state that is busy or not, and can be waited for. Clones say the same.
#[derive(Clone, Debug, Default)]
pub struct Activity(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    busy: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl Activity {
    /// Whether it is busy now.
    pub fn is_busy(&self) -> bool {
        self.0.busy.get()
    }

    /// Resolves when it is not.
    pub async fn idle(&self) {
        self.until(false).await;
    }

    /// Resolves when it is.
    pub async fn busy(&self) {
        self.until(true).await;
    }

    async fn until(&self, busy: bool) {
        poll_fn(|context| {
            if self.is_busy() == busy {
                return Poll::Ready(());
            }
            self.0.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Begins or ends it.
    pub fn set(&self, busy: bool) {
        if self.0.busy.replace(busy) != busy {
            self.0.wakers.take().into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn whoever_gives_way_waits_until_the_last_request_is_done() {
        let activity = Activity::default();
        assert!(activity.idle().now_or_never().is_some());
        activity.set(true);
        let mut waiting = Box::pin(activity.idle());
        assert!((&mut waiting).now_or_never().is_none() && activity.is_busy());
        activity.set(false);
        assert!((&mut waiting).now_or_never().is_some());
    }

    #[test]
    fn whoever_follows_it_hears_of_each_beginning_and_each_end() {
        let activity = Activity::default();
        for _ in 0..2 {
            let mut begins = Box::pin(activity.busy());
            assert!((&mut begins).now_or_never().is_none());
            activity.set(true);
            assert!(begins.now_or_never().is_some());
            activity.set(false);
        }
    }
}
