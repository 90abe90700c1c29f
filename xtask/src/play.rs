//! `cargo xtask play`: from a fresh checkout to a chat in the browser.

use anyhow::Result;

use crate::build::{self, build};
use crate::serve::{self, serve};
use crate::setup::{Purpose, setup};

/// Set-up, build, serve.
pub(crate) fn play(options: &serve::Options) -> Result<()> {
    setup(Purpose::Play)?;
    build(&build::Options::default())?;
    serve(options)
}
