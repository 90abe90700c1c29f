//! `cargo xtask screenshot`: the pictures of the documents, taken of the real site by the tests' own tooling.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::{self, build};
use crate::setup::{Purpose, setup};
use crate::{repository, say};

/// Builds the site and has tests/browser write docs/chat-light.png, docs/tabs-light.png, docs/autotune-light.png and
/// their dark twins.
pub(crate) fn screenshot() -> Result<()> {
    setup(Purpose::Test)?;
    build(&build::Options::default())?;
    say::heading("Screenshots");
    let status = Command::new("npm")
        .args(["run", "--silent", "screenshot", "--workspace", "tests/browser"])
        .current_dir(repository::root())
        .status()
        .context("npm could not be started")?;
    if !status.success() {
        bail!("the screenshots could not be taken: see the messages above");
    }
    Ok(())
}
