//! `cargo xtask native`: the command line `tilewright`, optimized.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{repository, say};

/// `cargo build --release --package tilewright-cli`, saying where the program is.
pub(crate) fn native() -> Result<()> {
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--package", "tilewright-cli"])
        .current_dir(repository::root())
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("the command line did not compile: see cargo's messages above");
    }
    say::step("Wrote", repository::target().join("release/tilewright").display());
    Ok(())
}
