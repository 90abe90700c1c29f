//! Where things are: the checkout, what is built, and the cache that outlives both.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The root of the checkout, from where this crate was compiled.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}

/// The folder for everything built by cargo: `CARGO_TARGET_DIR`, else `target/`.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The built npm package `tilewright`; the playground serves a copy at `/lib/`.
pub(crate) fn library() -> PathBuf {
    root().join("web/dist")
}

/// The servable site.
pub(crate) fn site() -> PathBuf {
    root().join("playground/dist")
}

/// Downloads that should survive `cargo clean` and serve every checkout:
/// `TILEWRIGHT_CACHE`, else `$XDG_CACHE_HOME/tilewright`, else `~/.cache/tilewright`.
pub(crate) fn cache() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("TILEWRIGHT_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("tilewright")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/tilewright")))
        .context("there is no folder for downloads: set TILEWRIGHT_CACHE to one")
}

/// An empty folder for the test `name`, under what cargo builds.
#[cfg(test)]
pub(crate) fn test_folder(name: &str) -> PathBuf {
    let folder = target().join("xtask/tests").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
