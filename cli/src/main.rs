//! `tilewright`: the engine in a terminal.
//!
//! - `args`: what may be typed
//! - `open`: a path and a device to a running service
//! - `files`: model files on a disk
//! - `generate`, `logits`, `chat`, `bench`, `tune`, `info`, `db`: the commands
//! - `error`: what can go wrong, for people

mod args;
mod bench;
mod chat;
mod db;
mod error;
mod files;
mod generate;
mod info;
mod interrupt;
mod logits;
mod open;
mod tune;

use args::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // `tilewright bench | head` ends when `head` does, as other programs would, rather than by a panic.
    sigpipe::reset();
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("TILEWRIGHT_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match arguments.command {
        Command::Generate(command) => pollster::block_on(generate::run(command)),
        Command::Logits(command) => pollster::block_on(logits::run(command)),
        Command::Chat(command) => pollster::block_on(chat::run(command)),
        Command::Bench(command) => pollster::block_on(bench::run(command)),
        Command::Tune(command) => pollster::block_on(tune::run(command)),
        Command::Info(command) => info::run(&command),
        Command::Db(command) => db::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
