//! What was made on a device, and what of its memory that takes.
//!
//! Nobody can ask a device how much memory it has or has left; WebGPU says neither. So what we take is written down: tests hold it
//! against what is promised, and can pretend that there is no more.

use std::sync::atomic::{AtomicU64, Ordering};

/// Of a device; clones of the device share it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    objects: AtomicU64,
    /// Bytes of buffers.
    held: AtomicU64,
    /// Those of them that were destroyed, but that the device may still be working with.
    leaving: AtomicU64,
    peak: AtomicU64,
}

impl Ledger {
    /// Notes a buffer, bind group or pipeline.
    pub(super) fn object(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
    }

    /// Buffers, bind groups and pipelines so far.
    pub(super) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Notes a buffer's bytes.
    pub(super) fn hold(&self, bytes: u64) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(held, Ordering::Relaxed);
    }

    /// Notes that a buffer was destroyed: its memory comes back when the device is done with it.
    pub(super) fn leave(&self, bytes: u64) {
        self.leaving.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that the device is done with all it was given.
    pub(super) fn settle(&self) {
        self.held.fetch_sub(self.leaving.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Bytes of buffers now.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Most bytes that there were at a time.
    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}
