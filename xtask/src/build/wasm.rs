//! The engine as one WebAssembly module: cargo compiles it, `wasm-bindgen` writes the JavaScript around it.
//!
//! `wasm-bindgen` is used as a library, pinned in Cargo.lock beside the crate of the same version: a separately installed
//! command line of another version is the commonest way for such a build to break.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

use crate::setup::wasm_toolchain::{TARGET, WasmToolchain};
use crate::{repository, say};

/// Compiles crate `tilewright-web` and writes `tilewright_web.js`, `.d.ts` and `_bg.wasm` to web/dist.
pub(crate) fn build(toolchain: WasmToolchain) -> Result<()> {
    say::step("Building", format!("the engine for the browser ({})", toolchain.describe()));
    // A folder of its own: flags and perhaps the compiler differ from the native build's, and each would evict the other.
    let target = repository::target().join("web");
    let status = toolchain
        .cargo_build()
        .args(["--package", "tilewright-web", "--profile", "wasm"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(repository::root())
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("the engine did not compile for the browser: see cargo's messages above");
    }

    let compiled = target.join(TARGET).join("wasm/tilewright_web.wasm");
    let out = repository::library();
    let module = out.join("tilewright_web_bg.wasm");
    if is_newer(&module, &compiled) {
        say::step("Fresh", "web/dist/tilewright_web_bg.wasm");
        return Ok(());
    }
    bind(&compiled, &out).context("wasm-bindgen rejected the compiled module")?;
    report_size(&module)
}

fn bind(compiled: &Path, out: &Path) -> Result<()> {
    Bindgen::new().input_path(compiled).web(true)?.typescript(true).remove_producers_section(true).generate(out)
}

/// The download that a page's visitor pays, as the file is and as a server would compress it.
fn report_size(module: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("{} was not written", module.display()))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    let compressed = gzip.finish()?.len() as u64;
    let (raw, compressed) = (say::megabytes(bytes.len() as u64), say::megabytes(compressed));
    say::step("Wrote", format!("web/dist/tilewright_web_bg.wasm: {raw}, {compressed} with gzip"));
    Ok(())
}

/// Was `made` written after `source`? (No, if either is missing.)
fn is_newer(made: &Path, source: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|about| about.modified());
    matches!((time(made), time(source)), (Ok(made), Ok(source)) if made > source)
}
