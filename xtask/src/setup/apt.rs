//! Debian's packages: installed when we are root, else named in a command to copy.
//!
//! `apt-get update` runs only when something is missing: it needs the network, and its lists are in nobody's cache.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Purpose;
use crate::say;

/// What the tests drive, and why each is there.
const BROWSERS_AND_VULKAN: &[(&str, &str)] = &[
    ("chromium", "the browser tests; WebGPU in software through SwiftShader"),
    ("firefox-esr", "the browser tests in a second browser"),
    ("mesa-vulkan-drivers", "lavapipe, a Vulkan driver in software, for the native GPU tests"),
    ("libvulkan1", "the loader that finds Vulkan drivers"),
];

/// Installs the browsers and the Vulkan driver that the tests drive. Playing goes on without them.
pub(crate) fn ensure_browsers_and_vulkan(purpose: Purpose) -> Result<()> {
    let names: Vec<&str> = BROWSERS_AND_VULKAN.iter().map(|(name, _)| *name).collect();
    let Some(missing) = missing(&names) else {
        say::step(
            "Note",
            "this is no Debian: the tests need Chromium, Firefox and a Vulkan driver, installed your way",
        );
        return Ok(());
    };
    if missing.is_empty() {
        say::step("Found", format!("the system packages {}", names.join(", ")));
        return Ok(());
    }
    for (name, reason) in BROWSERS_AND_VULKAN.iter().filter(|(name, _)| missing.contains(name)) {
        say::step("Missing", format!("{name}: {reason}"));
    }
    match install(&missing) {
        Err(error) if purpose == Purpose::Play => {
            say::step("Note", format!("going on without them, they are for the tests: {error:#}"));
            Ok(())
        }
        result => result,
    }
}

/// The packages of `names` that are not installed; `None` where there is no dpkg to ask.
pub(crate) fn missing<'a>(names: &[&'a str]) -> Option<Vec<&'a str>> {
    let answer =
        Command::new("dpkg-query").args(["-W", "-f", "${Package} ${db:Status-Status}\n"]).args(names).output().ok()?;
    let answer = String::from_utf8_lossy(&answer.stdout);
    let installed: BTreeSet<&str> = answer.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    Some(names.iter().copied().filter(|name| !installed.contains(name)).collect())
}

/// `apt-get install`, as root; otherwise an error with the command to run.
pub(crate) fn install(names: &[&str]) -> Result<()> {
    let list = names.join(" ");
    let by_hand = format!("sudo apt-get update && sudo apt-get install --no-install-recommends {list}");
    if !is_root() {
        bail!("only root installs system packages: run `{by_hand}` and try again");
    }
    say::step("Installing", format!("{list} (apt)"));
    let apt = |arguments: &[&str]| -> Result<()> {
        let status = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("apt-get could not be started")?;
        if !status.success() {
            bail!("`apt-get {}` failed: is there a network? By hand it is `{by_hand}`", arguments.join(" "));
        }
        Ok(())
    };
    apt(&["update", "--quiet=2"])?;
    let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    arguments.extend(names);
    apt(&arguments)
}

fn is_root() -> bool {
    let answer = Command::new("id").arg("-u").output();
    answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).trim() == "0")
}
