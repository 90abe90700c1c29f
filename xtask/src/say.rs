//! How the tasks talk: one line per step with what and why, aligned as cargo's own lines are.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Something that is being done now: `   Building the wasm module: ...`.
pub(crate) fn step(verb: &str, what: impl Display) {
    if std::io::stderr().is_terminal() {
        eprintln!("\x1b[1;36m{verb:>12}\x1b[0m {what}");
    } else {
        eprintln!("{verb:>12} {what}");
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

/// A bar for `total` bytes, with speed and the time left. Without a terminal it draws nothing; say a line instead.
pub(crate) fn bytes_bar(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(what);
    let form = "{msg:>12} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
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
