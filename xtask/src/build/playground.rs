//! The site: pages built by Vite, and beside them what any same-origin page may use: `/lib/` and `/models/`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use super::inputs::npm_build_if_changed;
use crate::setup::model;
use crate::{repository, say};

/// Builds playground/dist with the library of web/dist and the model at `model`.
pub(crate) fn build(model: &Path) -> Result<()> {
    let root = repository::root();
    let site = repository::site();
    let inputs = [root.join("playground"), root.join("package-lock.json")];
    npm_build_if_changed("@tilewright/playground", &inputs, &site.join("index.html"))?;
    // After Vite, which empties its folder.
    copy_library(&repository::library(), &site.join("lib"))?;
    let models = site.join("models");
    fs::create_dir_all(&models)?;
    place(model, &models.join(model::FILE_NAME))?;
    say::step("Wrote", format!("{}: the pages, /lib/ and /models/", site.display()));
    Ok(())
}

fn copy_library(from: &Path, to: &Path) -> Result<()> {
    if !from.join("tilewright.js").exists() || !from.join("tilewright_web_bg.wasm").exists() {
        bail!("web/dist is not built yet: run `cargo xtask build` without --only");
    }
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} cannot be replaced", to.display()));
        }
        _ => {}
    }
    for entry in WalkDir::new(from) {
        let entry = entry.context("web/dist cannot be read")?;
        let target = to.join(entry.path().strip_prefix(from)?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("{} cannot be written", target.display()))?;
        }
    }
    Ok(())
}

/// The model at `to`: a second name of the same file, or a copy where the cache is on another disk.
fn place(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_file(to)?;
    }
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("{} cannot be written", to.display()))?;
    }
    Ok(())
}
