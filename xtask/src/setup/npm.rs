//! The npm packages of all three workspaces, exactly as package-lock.json lists them.
//!
//! `npm ci` deletes and rebuilds `node_modules`, half a minute that most runs can do without: a stamp inside the
//! folder holds the hash of the lock file it was made from, and goes with the folder when somebody deletes it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{repository, say};

/// The oldest Node that the tools run on.
const OLDEST_NODE: u32 = 20;

/// Installs the packages unless `node_modules` already matches the lock file.
pub(crate) fn ensure() -> Result<()> {
    let root = repository::root();
    let version = node_version()?;
    let stamp = root.join("node_modules/.tilewright-lock");
    let hash = lock_hash()?;
    if fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == hash) {
        say::step("Found", format!("the npm packages of package-lock.json (Node {version})"));
        return Ok(());
    }
    say::step("Installing", "the npm packages of package-lock.json: Vite, TypeScript, ESLint, the browser drivers");
    let status = Command::new("npm")
        .args(["ci", "--prefer-offline", "--no-audit", "--no-fund"])
        .current_dir(&root)
        .status()
        .context("npm could not be started: it comes with Node")?;
    if !status.success() {
        bail!(
            "`npm ci` failed: if npm's message is about the network, connect once and run this again; if it is about \
             package.json and package-lock.json, run `npm install` and commit the lock file"
        );
    }
    fs::write(&stamp, hash).with_context(|| format!("{} could not be written", stamp.display()))
}

fn node_version() -> Result<String> {
    let install = format!("install Node {OLDEST_NODE} or newer (Debian: `sudo apt-get install nodejs npm`)");
    let answer =
        Command::new("node").arg("--version").output().with_context(|| format!("there is no Node: {install}"))?;
    let version = String::from_utf8_lossy(&answer.stdout).trim().trim_start_matches('v').to_owned();
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < OLDEST_NODE {
        bail!("Node {version} is too old: {install}");
    }
    Ok(version)
}

/// SHA-256 over the lock file and each workspace's package.json, in hexadecimal.
fn lock_hash() -> Result<String> {
    let files = [
        "package-lock.json",
        "package.json",
        "web/package.json",
        "playground/package.json",
        "tests/browser/package.json",
    ];
    let mut hash = Sha256::new();
    for file in files {
        hash.update(fs::read(repository::root().join(file)).with_context(|| format!("{file} cannot be read"))?);
    }
    Ok(hex(&hash.finalize()))
}

/// Bytes as lowercase hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
