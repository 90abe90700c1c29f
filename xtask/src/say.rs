//! How the tasks talk: one line per step with what and why, aligned as cargo's own lines are.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Something that is being done now: `   Building the wasm module`.
pub(crate) fn step(verb: &str, what: impl Display) {
    if std::io::stderr().is_terminal() {
        eprintln!("\x1b[1;36m{verb:>12}\x1b[0m {what}");
    } else {
        eprintln!("{verb:>12} {what}");
    }
}

/// Why a task ended, with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    if std::io::stderr().is_terminal() {
        eprintln!("\n\x1b[1;31merror\x1b[0m: {error:#}");
    } else {
        eprintln!("\nerror: {error:#}");
    }
}

/// A heading between the phases of a long task.
pub(crate) fn heading(title: impl Display) {
    if std::io::stderr().is_terminal() {
        eprintln!("\n\x1b[1m── {title}\x1b[0m");
    } else {
        eprintln!("\n── {title}");
    }
}

/// A bar for `total` bytes, with speed and the time left. Without a terminal it draws nothing: fine for a second's work.
pub(crate) fn bytes_bar(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(what);
    let form = "{msg:>12} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// Progress over minutes: a bar on a terminal, a line for each tenth in a log.
pub(crate) struct Progress {
    bar: ProgressBar,
    verb: &'static str,
    done: u64,
    total: u64,
}

impl Progress {
    /// Starts at `done` of `total` bytes.
    pub(crate) fn new(verb: &'static str, done: u64, total: u64) -> Self {
        let bar = bytes_bar(total, verb).with_position(done);
        bar.reset_eta();
        Self { bar, verb, done, total }
    }

    /// Counts `bytes` more.
    pub(crate) fn add(&mut self, bytes: u64) {
        let tenth = |done: u64| done * 10 / self.total.max(1);
        let (before, after) = (tenth(self.done), tenth(self.done + bytes));
        self.done += bytes;
        self.bar.inc(bytes);
        if self.bar.is_hidden() && after > before {
            step(self.verb, format!("{} of {}", megabytes(self.done), megabytes(self.total)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// `1.2 MB`: decimal units, as download pages count.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// `2 min 05 s`, or `3.4 s` for something short.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 60 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
