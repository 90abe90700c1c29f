//! `cargo xtask setup`: what a fresh machine lacks, installed once and found ever after.
//!
//! Each part looks first and acts only on what is missing, so a second run does nothing, and a machine without a network
//! on which everything is there never notices. Nothing outside the checkout is changed but by apt (as root), rustup and the
//! cache folder of `repository::cache`.

pub(crate) mod apt;
mod download;
mod index;
pub(crate) mod model;
pub(crate) mod npm;
pub(crate) mod wasm_toolchain;

use anyhow::Result;

use crate::say;

/// What the task at hand cannot do without.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building and serving: browsers are the user's own business, so that they are missing is only said.
    Play,
    /// Everything, for the tests drive two browsers and a Vulkan driver.
    Test,
}

/// Installs whatever is missing.
pub(crate) fn setup(purpose: Purpose) -> Result<()> {
    say::heading("Set-up");
    apt::ensure_browsers_and_vulkan(purpose)?;
    ensure_build_inputs()
}

/// What `build` needs: a compiler for the browser, the npm packages and the model.
pub(crate) fn ensure_build_inputs() -> Result<()> {
    wasm_toolchain::ensure()?;
    wasm_toolchain::ensure_threaded()?;
    npm::ensure()?;
    model::ensure()?;
    Ok(())
}
