//! The TypeScript half of the npm package `tilewright`: client and worker, beside the wasm module in web/dist.

use anyhow::Result;

use super::inputs::npm_build_if_changed;
use crate::repository;

/// Builds web/dist/tilewright.js and tilewright-worker.js. The wasm module is an input: the build's id covers it.
pub(crate) fn build() -> Result<()> {
    let root = repository::root();
    let library = repository::library();
    let module = library.join("tilewright_web_bg.wasm");
    let mut inputs = vec![root.join("web"), root.join("package-lock.json")];
    if module.exists() {
        inputs.push(module);
    }
    npm_build_if_changed("tilewright", &inputs, &library.join("tilewright.js"))
}
