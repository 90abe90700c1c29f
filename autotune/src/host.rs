//! What a tuner needs of wherever it runs: clocks, and its turn on the device.

use futures_util::future::LocalBoxFuture;

/// Where a tuner runs.
pub trait Host {
    /// Microseconds since some moment; never goes back.
    fn clock_us(&self) -> f64;

    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// Resolves when the device is idle and may be used for some milliseconds; waited for before every piece of work.
    fn turn(&self) -> LocalBoxFuture<'_, ()>;
}
