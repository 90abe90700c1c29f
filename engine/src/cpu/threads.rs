//! Threads that share a step's work.
//!
//! A step runs on one thread of the pool, and each of its operations hands out disjoint pieces of its output. What is in a piece
//! does not depend on how many threads there are, so neither do the logits.

/// Who computes.
pub(crate) struct Threads {
    count: usize,
    #[cfg(not(target_arch = "wasm32"))]
    pool: Option<rayon::ThreadPool>,
}

/// Does a piece: its index, and the piece.
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
            Some(pool) => pool.install(step),
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
        if self.count > 1 { rayon::scope(|_| step()) } else { step() }
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

    /// Does all pieces of `chunk` elements, and the rest.
    pub(crate) fn chunks_mut<T: Send>(&self, data: &mut [T], chunk: usize, work: Work<'_, T>) {
        #[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
        if self.count > 1 && data.len() > chunk {
            use rayon::iter::{IndexedParallelIterator, ParallelIterator};
            use rayon::slice::ParallelSliceMut;
            data.par_chunks_mut(chunk).enumerate().for_each(|(index, piece)| work(index, piece));
            return;
        }
        for (index, piece) in data.chunks_mut(chunk.max(1)).enumerate() {
            work(index, piece);
        }
    }
}
