//! The TypeScript half of the npm package `tilewright`: client and workers, beside the wasm modules in web/dist.

use anyhow::Result;

use super::inputs::npm_build_if_changed;
use super::wasm;
use crate::repository;

/// Builds web/dist/tilewright.js and the workers' scripts. The wasm modules are inputs: the build's id covers them.
pub(crate) fn build() -> Result<()> {
    let root = repository::root();
    let library = repository::library();
    let mut inputs = vec![root.join("web"), root.join("package-lock.json")];
    inputs.extend(wasm::modules().map(|module| library.join(module)).filter(|module| module.exists()));
    npm_build_if_changed("tilewright", &inputs, &library.join("tilewright.js"))
}
