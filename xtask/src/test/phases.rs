//! What each phase runs: the same commands that a developer would type.

use std::env;
use std::process::Command;

use anyhow::Result;

use super::runner::{check, count};
use super::{Outcome, Phase};
use crate::build::{self, build};
use crate::{repository, tidy};

impl Phase {
    /// Runs the phase; tests outside `filter` are left out where a runner can do that.
    pub(super) fn run(self, filter: Option<&str>) -> Result<Outcome> {
        match self {
            Self::Format => format(),
            Self::Tidy => tidy::tidy().map(|()| Outcome::default()),
            Self::Clippy => {
                check(cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))
            }
            Self::Rust => rust(filter),
            Self::Build => build(&build::Options::default()).map(|()| Outcome::default()),
            Self::Lint => lint(),
            Self::Library => library(filter),
            Self::Browser => browser(filter),
        }
    }
}

/// What `cargo fmt` and `npm run format` would change.
fn format() -> Result<Outcome> {
    let rust = check(cargo(&["fmt", "--all", "--check"]));
    let folders = ["web", "playground", "tests/browser", "eslint.config.js", "prettier.config.js"];
    let mut prettier = npm(&["exec", "--", "prettier", "--log-level=warn", "--check"]);
    prettier.args(folders);
    rust.and(check(prettier))
}

/// The product, then the tasks. Cargo gives all packages of one command the same features of what they share, so one
/// command for both would compile 65 dependencies of the tasks a second time, with features that `cargo xtask` lacks.
fn rust(filter: Option<&str>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for packages in [["--workspace", "--exclude=xtask"], ["--package=xtask", "--bins"]] {
        let mut command = cargo(&["test", "--locked", "--no-fail-fast"]);
        command.args(packages);
        if let Some(filter) = filter {
            command.args(["--", filter]);
        }
        outcome.add_all(count(command)?);
    }
    Ok(outcome)
}

/// ESLint over all workspaces, then each workspace's `check` script, which is `tsc --noEmit`.
fn lint() -> Result<Outcome> {
    let rules = check(npm(&["run", "--silent", "lint"]));
    let types = check(npm(&["run", "--silent", "check"]));
    rules.and(types)
}

fn library(filter: Option<&str>) -> Result<Outcome> {
    let mut command = npm(&["test", "--silent", "--workspace", "web", "--workspace", "playground"]);
    if let Some(filter) = filter {
        command.args(["--", "--testNamePattern", filter]);
    }
    count(command)
}

fn browser(filter: Option<&str>) -> Result<Outcome> {
    let mut command = npm(&["test", "--silent", "--workspace", "tests/browser"]);
    if let Some(filter) = filter {
        command.args(["--", "--test-name-pattern", filter]);
    }
    count(command)
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(repository::root());
    // Mesa's Vulkan driver looks for a display there, and complains at every device where it isn't set.
    if env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", env::temp_dir());
    }
    command
}

fn npm(arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(repository::root()).env("NO_COLOR", "1");
    command
}
