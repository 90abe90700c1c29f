//! `cargo xtask`: everything that a developer or the continuous integration does, as one readable function per task.
//!
//! A task is a Rust function and not a shell script, so that it works the same on every machine that has `cargo`,
//! and says in words what is missing. Tasks that build on others call them: `play` is `setup`, `build`, `serve`.

mod bench;
mod build;
mod native;
mod play;
mod repository;
mod say;
mod screenshot;
mod serve;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

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
    /// Set up what is missing, build, and serve the playground: a chat on localhost:8080
    Play(serve::Options),
    /// Set up what is missing and run every check and test, as the continuous integration does
    Test(test::Options),
    /// Install what is missing: system packages, the wasm compiler, npm packages, the model
    Setup,
    /// Build the site: the wasm module, the TypeScript library and the playground, into playground/dist
    Build(build::Options),
    /// Serve the built site
    Serve(serve::Options),
    /// Check what the style asks for: sizes, names, links, lock files
    Tidy,
    /// Build the command line `tilewright`, optimized
    Native,
    /// Time ours and @wllama/wllama side by side in Chromium
    Bench(bench::Options),
    /// Take the README's pictures of the working site
    Screenshot,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        // In words and without a backtrace: what goes wrong here is a machine or a test, rarely this program.
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Play(options) => play::play(&options),
        Task::Test(options) => test::test(&options),
        Task::Setup => setup::setup(setup::Purpose::Test),
        Task::Build(options) => build::build(&options),
        Task::Serve(options) => serve::serve(&options),
        Task::Tidy => tidy::tidy(),
        Task::Native => native::native(),
        Task::Bench(options) => bench::bench(&options),
        Task::Screenshot => screenshot::screenshot(),
    }
}
