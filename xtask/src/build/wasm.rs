//! The engine as WebAssembly modules: cargo compiles them, `wasm-bindgen` writes the JavaScript around each.
//!
//! `wasm-bindgen` is used as a library, pinned in Cargo.lock beside the crate of the same version: a separately installed
//! command line of another version is the commonest way for such a build to break.
//!
//! There are two modules, since one with atomics can't be loaded in a `SharedWorker`, and the one with atomics is compiled
//! twice, since a module with one instruction that a browser doesn't know (relaxed SIMD) is refused whole. Each has a
//! target folder of its own: flags and perhaps the compiler differ, and each would evict the others.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use walkdir::WalkDir;
use wasm_bindgen_cli_support::Bindgen;

use crate::setup::wasm_toolchain::{self, TARGET, WasmToolchain};
use crate::{repository, say};

/// One compilation.
struct Module {
    /// What web/dist has: `NAME.js`, `NAME.d.ts` and `NAME_bg.wasm`.
    name: &'static str,
    /// For a person to read.
    what: &'static str,
    package: &'static str,
    /// What cargo calls the compiled library.
    compiled: &'static str,
    /// Target folder, below cargo's own.
    folder: &'static str,
    /// Threads, and these features besides those that threads need; `None`: the flags of .cargo/config.toml.
    threaded: Option<&'static str>,
}

const MODULES: [Module; 3] = [
    Module {
        name: "tilewright_web",
        what: "the engine for the browser",
        package: "tilewright-web",
        compiled: "tilewright_web",
        folder: "web",
        threaded: None,
    },
    Module {
        name: "tilewright_cpu",
        what: "the CPU engine for the browser",
        package: "tilewright-web-cpu",
        compiled: "tilewright_cpu",
        folder: "cpu",
        threaded: Some(",+relaxed-simd"),
    },
    Module {
        name: "tilewright_cpu_plain",
        what: "the CPU engine for browsers without relaxed SIMD",
        package: "tilewright-web-cpu",
        compiled: "tilewright_cpu",
        folder: "cpu-plain",
        threaded: Some(""),
    },
];

/// Compiles every module, and writes it to web/dist.
pub(crate) fn build(toolchain: WasmToolchain) -> Result<()> {
    MODULES.iter().try_for_each(|module| module.build(toolchain))
}

/// The files that [`build`] writes, without their JavaScript.
pub(super) fn modules() -> impl Iterator<Item = String> {
    MODULES.iter().map(|module| format!("{}_bg.wasm", module.name))
}

impl Module {
    fn build(&self, toolchain: WasmToolchain) -> Result<()> {
        let toolchain = if self.threaded.is_some() { wasm_toolchain::ensure_threaded()? } else { toolchain };
        say::step("Building", format!("{} ({})", self.what, toolchain.describe()));
        let target = repository::target().join(self.folder);
        let mut cargo = match self.threaded {
            None => toolchain.cargo_build(),
            Some(features) => toolchain.cargo_build_threaded(features),
        };
        let status = cargo
            .args(["--package", self.package, "--profile", "wasm"])
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(repository::root())
            .status()
            .context("cargo could not be started")?;
        if !status.success() {
            bail!("{} did not compile: see cargo's messages above", self.what);
        }

        let compiled = target.join(TARGET).join("wasm").join(format!("{}.wasm", self.compiled));
        let out = repository::library();
        let file = format!("{}_bg.wasm", self.name);
        let module = out.join(&file);
        if is_newer(&module, &compiled) {
            say::step("Fresh", format!("web/dist/{file}"));
            return Ok(());
        }
        Bindgen::new()
            .input_path(compiled)
            .out_name(self.name)
            .web(true)?
            .typescript(true)
            .remove_producers_section(true)
            .generate(&out)
            .context("wasm-bindgen rejected the compiled module")?;
        quiet_threads(&out)?;
        report_size(&module)
    }
}

/// `wasm-bindgen-rayon` starts each thread through a form of the glue's function that complains to the user's console.
fn quiet_threads(out: &Path) -> Result<()> {
    let scripts = WalkDir::new(out.join("snippets")).into_iter().flatten();
    for script in scripts.filter(|script| script.file_name() == "workerHelpers.no-bundler.js") {
        let text = fs::read_to_string(script.path())?;
        let quiet = text.replace(
            "pkg.default(data.module, data.memory)",
            "pkg.default({ module_or_path: data.module, memory: data.memory })",
        );
        fs::write(script.path(), quiet)?;
    }
    Ok(())
}

/// The download that a page's visitor pays, as the file is and as a server would compress it.
fn report_size(module: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("{} was not written", module.display()))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    let compressed = gzip.finish()?.len() as u64;
    let (raw, compressed) = (say::megabytes(bytes.len() as u64), say::megabytes(compressed));
    let name = module.file_name().unwrap_or_default().to_string_lossy();
    say::step("Wrote", format!("web/dist/{name}: {raw}, {compressed} with gzip"));
    Ok(())
}

/// Was `made` written after `source`? (No, if either is missing.)
fn is_newer(made: &Path, source: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|about| about.modified());
    matches!((time(made), time(source)), (Ok(made), Ok(source)) if made > source)
}
