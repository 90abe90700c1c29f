//! What a tuner needs of wherever it runs: clocks, and its turn on the device.

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use std::any::Any;
use std::cell::Cell;

/// Where a tuner runs.
pub trait Host {
    /// Microseconds since some moment; never goes back.
    fn clock_us(&self) -> f64;

    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// Resolves when the device is idle and may be used for some milliseconds; waited for before every piece of work.
    fn turn(&self) -> LocalBoxFuture<'_, ()>;

    /// Resolves when no other tuner measures on this device, to what keeps others away while it is held.
    fn alone(&self) -> LocalBoxFuture<'_, Box<dyn Any>> {
        ready(Box::new(()) as Box<dyn Any>).boxed_local()
    }
}

/// A host whose users know how long they worked, which waiting for a turn is not.
pub struct Worked<'a> {
    host: &'a dyn Host,
    begun_us: f64,
    waited_us: Cell<f64>,
    /// When somebody last stopped waiting: of several who wait at a time, the time counts once.
    waited_until_us: Cell<f64>,
}

impl<'a> Worked<'a> {
    /// Work begins.
    pub fn new(host: &'a dyn Host) -> Self {
        Self { host, begun_us: host.clock_us(), waited_us: Cell::default(), waited_until_us: Cell::default() }
    }

    /// Microseconds of work so far.
    pub fn worked_us(&self) -> f64 {
        self.clock_us() - self.begun_us - self.waited_us.get()
    }

    async fn wait<T>(&self, wanted: impl Future<Output = T>) -> T {
        let begun_us = self.clock_us();
        let got = wanted.await;
        let now_us = self.clock_us();
        let waited_us = now_us - begun_us.max(self.waited_until_us.replace(now_us));
        self.waited_us.set(self.waited_us.get() + waited_us);
        got
    }
}

impl Host for Worked<'_> {
    fn clock_us(&self) -> f64 {
        self.host.clock_us()
    }

    fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }

    fn turn(&self) -> LocalBoxFuture<'_, ()> {
        self.wait(self.host.turn()).boxed_local()
    }

    fn alone(&self) -> LocalBoxFuture<'_, Box<dyn Any>> {
        self.wait(self.host.alone()).boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join;

    /// Everybody's turn comes at 100 us.
    #[derive(Default)]
    struct Slow(Cell<f64>);

    impl Host for Slow {
        fn clock_us(&self) -> f64 {
            self.0.get()
        }

        fn now_ms(&self) -> u64 {
            0
        }

        fn turn(&self) -> LocalBoxFuture<'_, ()> {
            async {
                // Whoever asks at the same time waits, too.
                futures_util::pending!();
                self.0.set(100.0);
            }
            .boxed_local()
        }
    }

    #[test]
    fn waiting_is_no_work_and_counts_once_for_all_who_wait() {
        let host = Slow::default();
        let worked = Worked::new(&host);
        let mut both = Box::pin(join(worked.turn(), worked.turn()));
        assert!((&mut both).now_or_never().is_none());
        assert!((&mut both).now_or_never().is_some());
        assert_eq!((worked.clock_us(), worked.worked_us()), (100.0, 0.0));
        host.0.set(130.0);
        assert_eq!(worked.worked_us(), 30.0);
    }
}
