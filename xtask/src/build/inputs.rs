//! Skipping a step whose inputs are what they were: a hash of them, kept beside what cargo builds.
//!
//! Contents and not times: switching branches back and forth touches every file and changes none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::setup::npm::hex;
use crate::{repository, say};

/// Runs an npm script of a workspace, unless `inputs` (files and folders) hash to what they did when it last made `output`.
pub(crate) fn npm_build_if_changed(workspace: &str, inputs: &[PathBuf], output: &Path) -> Result<()> {
    let root = repository::root();
    let hash = hash_of(inputs)?;
    let stamp = repository::target().join("xtask").join(workspace.replace('/', "-"));
    if output.exists() && fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == hash) {
        say::step("Fresh", format!("{workspace}: nothing it is made from has changed"));
        return Ok(());
    }
    say::step("Building", format!("{workspace} (npm run build)"));
    let status = Command::new("npm")
        .args(["run", "--silent", "build", "--workspace", workspace])
        .current_dir(&root)
        .status()
        .context("npm could not be started")?;
    if !status.success() {
        bail!("`npm run build --workspace {workspace}` failed: see its messages above");
    }
    if !output.exists() {
        bail!("`npm run build --workspace {workspace}` made no {}", output.display());
    }
    fs::create_dir_all(stamp.parent().unwrap_or(&root))?;
    fs::write(stamp, hash).context("the stamp of the build cannot be written")
}

/// SHA-256 over names and contents of all files, in order of their names; what was built or installed does not count.
fn hash_of(inputs: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for input in inputs {
        let files = WalkDir::new(input).sort_by_file_name().into_iter().filter_entry(|entry| {
            entry.depth() == 0 || !matches!(entry.file_name().to_str(), Some("dist" | "node_modules"))
        });
        for file in files {
            let file = file.context("a source folder cannot be read")?;
            if file.file_type().is_file() {
                let contents = fs::read(file.path()).with_context(|| format!("{}", file.path().display()))?;
                hash.update(file.path().as_os_str().as_encoded_bytes());
                hash.update((contents.len() as u64).to_le_bytes());
                hash.update(contents);
            }
        }
    }
    Ok(hex(&hash.finalize()))
}
