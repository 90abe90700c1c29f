//! `cargo xtask test`: set-up, then every check and every test, cheap ones first.
//!
//! A failing phase does not hide the others: all run, a table says how each went and how long it took, and the last line
//! counts the tests as their runners reported them. A check that counts nothing itself (formatting, lints, a build) adds
//! one failure when it fails, so that the line never says `0 failed` when something did.

mod phases;
mod runner;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::say;
use crate::setup::{Purpose, setup};

/// What `cargo xtask test` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these phases (may be given several times)
    #[arg(long, value_enum)]
    only: Vec<Phase>,
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
}

/// The parts of the whole test, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// cargo fmt and prettier, changing nothing
    Format,
    /// sizes, names, links, lock files
    Tidy,
    /// cargo clippy without warnings
    Clippy,
    /// unit, property and parity tests, on the CPU and on Vulkan
    Rust,
    /// the site
    Build,
    /// eslint and the TypeScript compiler
    Lint,
    /// the TypeScript library's unit tests
    Library,
    /// Chromium and Firefox over the built site
    Browser,
}

/// How a phase went: tests as counted by their runner, and what failed, by name where the runner says it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
}

impl Outcome {
    /// One failure that no test runner counted.
    fn failure(what: impl fmt::Display) -> Self {
        say::step("Failed", &what);
        Self { failed: 1, failures: vec![what.to_string()], ..Self::default() }
    }

    /// Takes in another part of the same phase.
    fn add_all(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
    }
}

struct Report {
    phase: Phase,
    outcome: Outcome,
    time: Duration,
}

/// Runs everything, or the phases of `--only`; an error if anything failed.
pub(crate) fn test(options: &Options) -> Result<()> {
    let start = Instant::now();
    setup(Purpose::Test)?;
    let set_up = start.elapsed();
    let mut reports: Vec<Report> = Vec::new();
    for &phase in Phase::value_variants() {
        if !options.only.is_empty() && !options.only.contains(&phase) {
            continue;
        }
        say::heading(phase);
        let broken = reports.iter().any(|report| report.phase == Phase::Build && report.outcome.failed > 0);
        let start = Instant::now();
        let outcome = if phase == Phase::Browser && broken {
            Outcome::failure("not run: the site was not built")
        } else {
            phase.run(options.filter.as_deref()).unwrap_or_else(|error| Outcome::failure(format!("{error:#}")))
        };
        reports.push(Report { phase, outcome, time: start.elapsed() });
    }
    summarize(&reports, set_up, start.elapsed())
}

fn summarize(reports: &[Report], set_up: Duration, whole: Duration) -> Result<()> {
    let sum = |count: fn(&Outcome) -> u64| reports.iter().map(|report| count(&report.outcome)).sum::<u64>();
    let (passed, failed) = (sum(|outcome| outcome.passed), sum(|outcome| outcome.failed));
    println!("\n{:<10}{:>14}{:>9}{:>9}{:>9}", "phase", "time", "passed", "failed", "skipped");
    println!("{:<10}{:>14}", "set-up", say::duration(set_up));
    for Report { phase, outcome, time } in reports {
        let Outcome { passed, failed, skipped, .. } = outcome;
        println!("{:<10}{:>14}{passed:>9}{failed:>9}{skipped:>9}", phase.to_string(), say::duration(*time));
    }
    println!("{:<10}{:>14}\n", "together", say::duration(whole));
    for Report { phase, outcome, .. } in reports {
        for failure in &outcome.failures {
            println!("failed in {phase}: {failure}");
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        // The line above is the last of standard output; this one goes to standard error.
        bail!("not everything passed: see above");
    }
    Ok(())
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Format => "format",
            Self::Tidy => "tidy",
            Self::Clippy => "clippy",
            Self::Rust => "rust",
            Self::Build => "build",
            Self::Lint => "lint",
            Self::Library => "library",
            Self::Browser => "browser",
        })
    }
}
