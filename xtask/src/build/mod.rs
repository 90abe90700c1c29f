//! `cargo xtask build`: from sources to the servable site, in three steps that each rely on the one before.
//!
//! web/dist is the npm package: the wasm module and the TypeScript library beside it. playground/dist is the
//! site: the pages, the package again at `/lib/`, and the embedded model at `/models/`.

mod inputs;
mod library;
mod playground;
mod wasm;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{say, setup};

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
    /// TypeScript to the client and the worker in web/dist
    Library,
    /// The pages, the library and the model to playground/dist
    Playground,
}

/// Builds the whole site, or one step of it.
pub(crate) fn build(options: &Options) -> Result<()> {
    let wants = |step| options.only.is_none_or(|only| only == step);
    say::heading("Build");
    if wants(Step::Wasm) {
        wasm::build(setup::wasm_toolchain::ensure()?)?;
    }
    if wants(Step::Library) {
        setup::npm::ensure()?;
        library::build()?;
    }
    if wants(Step::Playground) {
        setup::npm::ensure()?;
        playground::build(&setup::model::ensure()?)?;
    }
    Ok(())
}
