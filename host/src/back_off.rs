//! How long to wait before each attempt at a new executor.
//!
//! A GPU process that crashed once gives another device at once. One that crashes again soon does not: browsers then answer
//! "no adapter" for several seconds (Chromium 156: at least 8), and asking more often does not help. So pauses grow from
//! attempt to attempt, and go on growing if what was made does not last.

use std::time::Duration;

/// Before each attempt, in seconds. Requests wait meanwhile, so that it has an end; the next request begins anew.
const PAUSES_S: [u64; 7] = [0, 2, 10, 30, 30, 60, 120];

/// An executor that lives this long was none of a series of failures.
const LASTING: Duration = Duration::from_mins(1);

/// Pauses between attempts. It keeps no time of its own: it is told.
#[derive(Debug, Default)]
pub struct BackOff {
    attempts: usize,
    made: Duration,
}

impl BackOff {
    /// An executor was lost, or its user asks again after all attempts have failed.
    pub fn begin(&mut self, now: Duration) {
        if self.attempts >= PAUSES_S.len() || now.saturating_sub(self.made) >= LASTING {
            self.attempts = 0;
        }
    }

    /// How long to wait before the next attempt; `None` if there have been enough.
    pub fn pause(&mut self) -> Option<Duration> {
        let pause = PAUSES_S.get(self.attempts)?;
        self.attempts += 1;
        Some(Duration::from_secs(*pause))
    }

    /// The attempt succeeded.
    pub fn made(&mut self, now: Duration) {
        self.made = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(back_off: &mut BackOff, count: usize) -> Vec<Option<u64>> {
        (0..count).map(|_| back_off.pause().map(|pause| pause.as_secs())).collect()
    }

    #[test]
    fn pauses_grow_until_there_have_been_enough_and_then_begin_anew() {
        let mut back_off = BackOff::default();
        let all = [Some(0), Some(2), Some(10), Some(30), Some(30), Some(60), Some(120), None, None];
        back_off.begin(Duration::from_secs(1000));
        assert_eq!(seconds(&mut back_off, 9), all);
        back_off.begin(Duration::from_secs(1001));
        assert_eq!(seconds(&mut back_off, 9), all);
    }

    #[test]
    fn an_executor_that_is_lost_soon_is_no_success() {
        let mut back_off = BackOff::default();
        for (lost_at, pause) in [(100, 0), (101, 2), (110, 10), (169, 30), (229, 0)] {
            back_off.begin(Duration::from_secs(lost_at));
            assert_eq!(back_off.pause(), Some(Duration::from_secs(pause)), "lost at {lost_at} s");
            back_off.made(Duration::from_secs(lost_at));
        }
    }
}
