//! The site that the comparison runs on: the built playground, compare.html, and wllama beside it.
//!
//! A folder of its own: what is published must not hold another engine. It is also what is carried to a host with a GPU.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use walkdir::WalkDir;

use crate::{repository, say};

/// Puts the site together from what is built; `model` is served under its own name.
pub(super) fn assemble(model: &Path) -> Result<PathBuf> {
    let root = repository::root();
    let site = repository::target().join("bench-site");
    let pages = root.join("tests/browser/compare");
    let wllama = root.join("node_modules/@wllama/wllama");
    match fs::remove_dir_all(&site) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} cannot be replaced", site.display()));
        }
        _ => {}
    }
    link(&repository::site(), &site)?;
    for page in ["compare.html", "compare.js"] {
        place(&pages.join(page), &site.join(page))?;
    }
    for file in ["index.js", "wasm/wllama.wasm"] {
        place(&wllama.join("esm").join(file), &site.join("wl").join(file))?;
    }
    let name = model.file_name().context("the model is a folder: name a GGUF file with --model")?;
    place(model, &site.join("models").join(name))?;
    let about =
        fs::read(wllama.join("package.json")).context("@wllama/wllama is not installed: run `cargo xtask setup`")?;
    let about: Value = serde_json::from_slice(&about)?;
    let versions = json!({ "tilewright": env!("CARGO_PKG_VERSION"), "wllama": about["version"] });
    fs::write(site.join("versions.json"), versions.to_string())?;
    say::step("Wrote", format!("{}: the site of the comparison", site.display()));
    Ok(site)
}

fn link(from: &Path, to: &Path) -> Result<()> {
    for entry in WalkDir::new(from) {
        let entry = entry.context("the built site cannot be read")?;
        if entry.file_type().is_file() {
            place(entry.path(), &to.join(entry.path().strip_prefix(from)?))?;
        }
    }
    Ok(())
}

/// A second name of the same file, or a copy where that can't be.
fn place(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
    }
    Ok(())
}
