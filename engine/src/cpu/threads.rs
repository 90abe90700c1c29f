//! Threads that share a step's work.
//!
//! A step runs on one thread of the pool, and each of its operations hands out disjoint pieces of its output: whole units, of
//! which each is computed on its own, so that the logits don't depend on how many threads there are.
//!
//! Pieces become smaller towards the end (guided self-scheduling, Polychronopoulos and Kuck 1987): whoever asks gets its share of
//! half of what is left. A thread may be held up for a fifth of an operation, by another tab or by whoever shares its core, and
//! the others then wait for a small piece and not for an eighth of the operation.
//!
//! A decoded token is some two hundred operations of 20 to 100 microseconds. Rayon lets a thread sleep that has found no work for a
//! few microseconds, and waking it costs as much as an operation, in a browser above all. So while a step lasts the
//! others look for work without sleeping, and so does its own thread for the last piece of an operation; on a machine that is
//! short of processors they give up after a while.

#[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
use std::sync::{Mutex, PoisonError};

/// Who computes.
pub(crate) struct Threads {
    count: usize,
    #[cfg(not(target_arch = "wasm32"))]
    pool: Option<rayon::ThreadPool>,
}

/// Does a piece of one or more units: the index of its first unit, and the piece.
pub(crate) type Work<'a, T> = &'a (dyn Fn(usize, &mut [T]) + Sync);

#[cfg(not(target_arch = "wasm32"))]
impl Threads {
    /// So many; by default one for each core. One where no more can be started.
    pub(crate) fn new(count: Option<usize>) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = count.unwrap_or_else(cores).max(1);
        let start = || rayon::ThreadPoolBuilder::new().num_threads(count).build().ok();
        let pool = if count > 1 { start() } else { None };
        Self { count: if pool.is_some() { count } else { 1 }, pool }
    }

    /// Runs a step on a thread of the pool.
    pub(crate) fn enter<R: Send>(&self, step: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(|| awake(step)),
            None => step(),
        }
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
impl Threads {
    /// Those of the global pool, which `wasm-bindgen-rayon` starts before. With a `count` of one, the caller alone: rayon is
    /// not asked, because whoever asks before the pool is started has started one of no threads.
    pub(crate) fn new(count: Option<usize>) -> Self {
        Self {
            count: if count == Some(1) {
                1
            } else {
                rayon::current_num_threads().min(count.unwrap_or(usize::MAX)).max(1)
            },
        }
    }

    /// Runs a step on a thread of the pool.
    pub(crate) fn enter<R: Send>(&self, step: impl FnOnce() -> R + Send) -> R {
        if self.count > 1 { awake(step) } else { step() }
    }
}

#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
impl Threads {
    /// One.
    pub(crate) fn new(_count: Option<usize>) -> Self {
        Self { count: 1 }
    }

    /// Runs a step.
    pub(crate) fn enter<R>(&self, step: impl FnOnce() -> R) -> R {
        step()
    }
}

impl Threads {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Does all of `data`, whose units have so many elements; the last may be shorter.
    pub(crate) fn pieces_mut<T: Send>(&self, data: &mut [T], unit: usize, work: Work<'_, T>) {
        let shared = self.count > 1 && data.len() > unit;
        #[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
        if shared {
            let pieces = Pieces { left: data, next: 0, unit: unit.max(1), threads: self.count };
            share(self.count.min(pieces.units()), pieces, work);
            return;
        }
        debug_assert!(!shared, "a module without atomics has one thread");
        if !data.is_empty() {
            work(0, data);
        }
    }

    /// The same, a unit at a time.
    pub(crate) fn units_mut<T: Send>(&self, data: &mut [T], unit: usize, work: Work<'_, T>) {
        let unit = unit.max(1);
        self.pieces_mut(data, unit, &|first, piece| {
            piece.chunks_mut(unit).enumerate().for_each(|(index, data)| work(first + index, data));
        });
    }
}

/// What is left to do.
#[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
struct Pieces<'a, T> {
    left: &'a mut [T],
    /// Unit that is first in it.
    next: usize,
    unit: usize,
    threads: usize,
}

#[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
impl<T> Pieces<'_, T> {
    fn units(&self) -> usize {
        self.left.len().div_ceil(self.unit)
    }
}

#[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
impl<'a, T> Iterator for Pieces<'a, T> {
    type Item = (usize, &'a mut [T]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let (first, count) = (self.next, self.units().div_ceil(self.threads * 2));
        let end = (count * self.unit).min(self.left.len());
        self.next += count;
        Some((first, self.left.split_off_mut(..end)?))
    }
}

/// So often a thread looks for work in vain before it sleeps: about a millisecond.
#[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
const PATIENCE: u32 = 10_000;

/// Does a step on a thread of the pool while the others stay awake.
#[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
fn awake<R: Send>(step: impl FnOnce() -> R + Send) -> R {
    let over = AtomicBool::new(false);
    rayon::scope(|scope| {
        let (own, over) = (rayon::current_thread_index(), &over);
        scope.spawn_broadcast(move |_, thread| {
            // The step's own thread may come by here while it waits for a piece.
            if Some(thread.index()) != own {
                help_until(|| over.load(Ordering::Acquire));
            }
        });
        let result = step();
        over.store(true, Ordering::Release);
        result
    })
}

/// Looks for work until it is over.
#[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
fn help_until(over: impl Fn() -> bool) {
    let mut idle = 0;
    while idle < PATIENCE && !over() {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            idle = 0;
        } else {
            idle += 1;
            std::hint::spin_loop();
        }
    }
}

/// Pieces go to whoever asks next.
#[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
fn share<T: Send>(threads: usize, pieces: Pieces<'_, T>, work: Work<'_, T>) {
    let pieces = Mutex::new(pieces);
    let take = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    let some = || {
        while let Some((first, piece)) = take() {
            work(first, piece);
        }
    };
    let (some, busy) = (&some, &AtomicUsize::new(threads - 1));
    rayon::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(move |_| {
                some();
                busy.fetch_sub(1, Ordering::Release);
            });
        }
        some();
        help_until(|| busy.load(Ordering::Acquire) == 0);
    });
}

#[cfg(test)]
mod tests {
    use super::{Pieces, Threads};

    #[test]
    fn every_unit_is_done_once_with_its_own_index_on_any_number_of_threads() {
        for count in [1, 2, 3, 8] {
            let threads = Threads::new(Some(count));
            for (length, unit) in [(0, 4), (3, 4), (1000, 7), (4096, 1)] {
                let mut data = vec![0; length];
                // Many operations in a step, as it is in earnest.
                for _ in 0..20 {
                    threads.enter(|| {
                        for _ in 0..5 {
                            threads.units_mut(&mut data, unit, &|index, piece| {
                                for value in piece {
                                    *value += index + 1;
                                }
                            });
                        }
                    });
                }
                let expected: Vec<usize> = (0..length).map(|at| 100 * (at / unit + 1)).collect();
                assert_eq!(data, expected, "{count} threads, {length} by {unit}");
            }
        }
    }

    #[test]
    fn pieces_are_whole_units_and_become_smaller() {
        for (length, unit, threads) in [(1, 1, 2), (36, 1, 2), (1001, 5, 3), (49152, 16, 8)] {
            let mut data = vec![0_u8; length];
            let pieces = Pieces { left: &mut data, next: 0, unit, threads };
            let sizes: Vec<(usize, usize)> = pieces.map(|(first, piece)| (first, piece.len())).collect();
            let mut expected = 0;
            for (first, size) in &sizes {
                assert_eq!((*first * unit, size % unit), (expected, (length - expected).min(*size) % unit));
                expected += size;
            }
            assert_eq!(expected, length);
            assert!(sizes.is_sorted_by(|a, b| a.1 >= b.1), "{sizes:?}");
            assert!(sizes.last().is_some_and(|last| last.1 <= unit), "{sizes:?}");
        }
    }

    #[test]
    #[should_panic(expected = "unit 5")]
    fn a_piece_that_panics_ends_the_step_with_it() {
        let threads = Threads::new(Some(2));
        let mut data = vec![0; 16];
        threads.enter(|| threads.units_mut(&mut data, 1, &|index, _| assert!(index != 5, "unit 5")));
    }
}
