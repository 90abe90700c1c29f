//! Lock files: in step with what they lock, and free of addresses.
//!
//! An address in package-lock.json would send everyone to the registry of whoever wrote it; the hashes say what a package
//! is, wherever it comes from.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};

use super::Source;
use crate::repository;

const CRATES_IO: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// Addresses in lock files, but for crates.io's name in Cargo.lock.
pub(super) fn with_addresses(sources: &[Source]) -> Vec<String> {
    let locks = sources.iter().filter(|source| matches!(source.name(), "package-lock.json" | "Cargo.lock"));
    let found = locks.flat_map(|lock| {
        let lines = lock.text.as_deref().unwrap_or_default().lines().enumerate();
        lines.filter_map(move |(index, line)| {
            let line = line.trim();
            let address =
                line.starts_with("\"resolved\": \"http") || line.starts_with("source = ") && line != CRATES_IO;
            address.then(|| format!("{}:{}: an address of a registry: {line}", lock.path, index + 1))
        })
    });
    found.collect()
}

/// Cargo.lock, if some Cargo.toml asks for more than it has.
pub(super) fn out_of_step() -> Result<Option<String>> {
    let answer = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--locked", "--offline", "--format-version=1", "--no-deps"])
        .current_dir(repository::root())
        .output()
        .context("cargo could not be started")?;
    let complaint = || format!("Cargo.lock: {}", String::from_utf8_lossy(&answer.stderr).trim());
    Ok((!answer.status.success()).then(complaint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_lock_file_is_found_and_a_hash_is_not() {
        let lock = |path: &str, text: &str| Source { path: path.to_owned(), text: Some(text.to_owned()) };
        let package =
            lock("package-lock.json", "\"resolved\": \"https://example.org/a.tgz\",\n\"integrity\": \"sha512-x\",");
        let cargo = lock("Cargo.lock", &format!("{CRATES_IO}\nsource = \"registry+https://example.org\"\n"));
        assert_eq!(with_addresses(&[package]).len(), 1);
        assert_eq!(with_addresses(&[cargo]).len(), 1);
    }
}
