//! `cargo xtask tidy`: what the style asks for and a program can check.
//!
//! Each check is a function from the repository's files to complaints; all run, and all complaints are shown.
//! What git tracks or would track counts, so that a new file is checked before it is committed.

mod kernels;
mod links;
mod locks;
mod names;
mod paths;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{repository, say};

/// A file of the repository: its path from the root, with `/`, and its text unless it is binary.
struct Source {
    path: String,
    text: Option<String>,
}

impl Source {
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    fn has_extension(&self, extensions: &[&str]) -> bool {
        self.name().rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }
}

/// Runs every check; an error that counts the complaints, after showing each.
pub(crate) fn tidy() -> Result<()> {
    let sources = sources()?;
    let mut complaints = Vec::new();
    complaints.extend(names::lengths(&sources));
    complaints.extend(names::forbidden(&sources));
    complaints.extend(kernels::without_twin(&sources));
    complaints.extend(links::broken(&sources));
    complaints.extend(paths::of_one_machine(&sources));
    complaints.extend(locks::with_addresses(&sources));
    complaints.extend(locks::out_of_step()?);
    for complaint in &complaints {
        say::step("Untidy", complaint);
    }
    if !complaints.is_empty() {
        bail!("{} of {} files are not tidy: see above", complaints.len(), sources.len());
    }
    say::step("Tidy", format!("{} files", sources.len()));
    Ok(())
}

fn sources() -> Result<Vec<Source>> {
    let root = repository::root();
    let answer = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .context("git could not be started")?;
    if !answer.status.success() {
        bail!("git does not list the files here: tidy checks a git checkout");
    }
    let paths = String::from_utf8(answer.stdout).context("a file name is not UTF-8")?;
    let read = |path: &str| -> Option<Source> {
        let bytes = fs::read(root.join(PathBuf::from(path))).ok()?; // deleted, but not yet from the index
        Some(Source { path: path.to_owned(), text: String::from_utf8(bytes).ok() })
    };
    Ok(paths.split('\0').filter(|path| !path.is_empty()).filter_map(read).collect())
}
