//! `cargo xtask build`: from sources to the servable site, in three steps that each rely on the one before.

mod wasm;

use anyhow::Result;
use clap::{Args, ValueEnum};

/// What `cargo xtask build` takes.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Only this step, on what the earlier steps left
    #[arg(long, value_enum)]
    only: Option<Step>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Rust to the wasm module in web/dist, and its JavaScript glue
    Wasm,
}

/// Builds the whole site, or one step of it.
pub(crate) fn build(options: &Options) -> Result<()> {
    let wants = |step| options.only.is_none_or(|only| only == step);
    if wants(Step::Wasm) {
        wasm::build()?;
    }
    Ok(())
}
