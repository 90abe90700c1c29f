//! `cargo xtask`: everything that a developer or the continuous integration does, as one readable function per task.
//!
//! A task is a Rust function and not a shell script, so that it works the same on every machine that has `cargo`,
//! and says in words what is missing. Tasks that build on others call them: `play` is `setup`, `build`, `serve`.

mod build;
mod repository;
mod say;
mod setup;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The developer tasks of Tilewright.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the site: the wasm module, the TypeScript library and the playground, into playground/dist
    Build(build::Options),
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Build(options) => build::build(&options),
    }
}
