//! A Rust compiler for `wasm32-unknown-unknown`: rustup's where it can be had, else Debian's.
//!
//! With rustup one more copy of the standard library is all it takes. Where rustup cannot fetch it (no network, a mirror
//! without it), Debian's `rustc-web` compiles the standard library from its own sources, which is a feature of
//! unstable cargo that `RUSTC_BOOTSTRAP=1` opens. For the module without threads both give the same code.
//!
//! The module with threads needs a standard library compiled with atomics, so from its sources in any case: with Debian's
//! packages, or with rustup's component `rust-src` on the default toolchain and the same `RUSTC_BOOTSTRAP=1`.
//!
//! Nothing is remembered between runs: what is installed decides, so a machine that changes is seen at once.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::apt;
use crate::say;

/// The target triple of the browser.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's packages that compile for the browser together.
pub(crate) const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-19"];

/// The memory is made outside and handed to every thread, each of which sets up its own thread-local storage.
const THREADED_LINK_ARGUMENTS: &[&str] = &[
    "--shared-memory",
    "--import-memory",
    "--max-memory=4294967296",
    "--export=__wasm_init_tls",
    "--export=__tls_size",
    "--export=__tls_align",
    "--export=__tls_base",
];

/// A toolchain that is installed and can compile for the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WasmToolchain {
    /// The default `cargo`, whose standard library for wasm is installed.
    Rustup,
    /// `/usr/bin/cargo` of Debian's package `cargo-web`, which builds the standard library first.
    Debian,
}

impl WasmToolchain {
    /// The toolchain to use now, if one is installed. `TILEWRIGHT_WASM_TOOLCHAIN=rustup|debian` decides between two.
    pub(crate) fn installed() -> Result<Option<Self>> {
        match env::var("TILEWRIGHT_WASM_TOOLCHAIN").as_deref() {
            Ok("rustup") => return Ok(Some(Self::Rustup).filter(|_| rustup_has_target())),
            Ok("debian") => return Ok(Some(Self::Debian).filter(|_| debian_is_installed())),
            Ok("") | Err(_) => {}
            Ok(other) => bail!("TILEWRIGHT_WASM_TOOLCHAIN is {other:?}: it must be `rustup` or `debian`"),
        }
        Ok(if rustup_has_target() {
            Some(Self::Rustup)
        } else if debian_is_installed() {
            Some(Self::Debian)
        } else {
            None
        })
    }

    /// `cargo build --target wasm32-unknown-unknown`, ready for a package and a profile.
    pub(crate) fn cargo_build(self) -> Command {
        let mut cargo = match self {
            Self::Rustup => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
            Self::Debian => {
                let mut cargo = Command::new("/usr/bin/cargo");
                // Explicit paths: rustup's proxies come first in PATH, and their libraries in LD_LIBRARY_PATH.
                cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1").env_remove("LD_LIBRARY_PATH");
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19");
                cargo
            }
        };
        cargo.args(["build", "--target", TARGET]);
        if self == Self::Debian {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        // These would replace the flags of .cargo/config.toml that the target needs.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo
    }

    /// As [`cargo_build`](Self::cargo_build), for a module whose threads share its memory. `features` are added to those that
    /// threads need, each with `,+` before it.
    pub(crate) fn cargo_build_threaded(self, features: &str) -> Command {
        let mut cargo = self.cargo_build();
        if self == Self::Rustup {
            cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
        }
        let mut flags = vec![
            "--cfg=getrandom_backend=\"wasm_js\"".to_owned(),
            format!("-Ctarget-feature=+atomics,+bulk-memory,+mutable-globals,+simd128{features}"),
        ];
        flags.extend(THREADED_LINK_ARGUMENTS.iter().map(|argument| format!("-Clink-arg={argument}")));
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        cargo
    }

    /// What to call it in messages.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Rustup => "rustup's standard library for wasm",
            Self::Debian => "Debian's rustc-web, standard library from source",
        }
    }
}

/// Does the default `rustc` have a standard library for the browser?
fn rustup_has_target() -> bool {
    let answer = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let Ok(answer) = answer else { return false };
    let folder = String::from_utf8_lossy(&answer.stdout);
    let Ok(files) = std::fs::read_dir(folder.trim()) else { return false };
    files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

/// Does the default `rustc` have the sources of its standard library?
fn rustup_has_sources() -> bool {
    let answer = Command::new("rustc").args(["--print", "sysroot"]).output();
    let Ok(answer) = answer else { return false };
    let root = String::from_utf8_lossy(&answer.stdout);
    Path::new(root.trim()).join("lib/rustlib/src/rust/library/std/Cargo.toml").exists()
}

/// Are Debian's compiler, its sources and the linker all there?
fn debian_is_installed() -> bool {
    ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/bin/wasm-ld-19", "/usr/lib/rustlib/src/rust/library/std/Cargo.toml"]
        .iter()
        .all(|path| Path::new(path).exists())
}

/// Makes sure of a toolchain: what is installed, else rustup's, else Debian's.
pub(crate) fn ensure() -> Result<WasmToolchain> {
    if let Some(toolchain) = WasmToolchain::installed()? {
        say::step("Found", format!("a compiler for the browser: {}", toolchain.describe()));
        return Ok(toolchain);
    }
    say::step("Missing", format!("a Rust compiler for {TARGET}: the engine runs in the browser as WebAssembly"));
    if !matches!(env::var("TILEWRIGHT_WASM_TOOLCHAIN").as_deref(), Ok("debian")) && rustup_adds_target() {
        return require();
    }
    match apt::missing(DEBIAN_PACKAGES) {
        Some(missing) if !missing.is_empty() => apt::install(&missing)
            .with_context(|| format!("rustup could not add {TARGET}, and Debian's compiler is not installed"))?,
        _ => {}
    }
    require()
}

/// Makes sure of a toolchain for the module with threads: whichever has the standard library's sources, else rustup's with
/// `rust-src`, else Debian's.
pub(crate) fn ensure_threaded() -> Result<WasmToolchain> {
    let forced = env::var("TILEWRIGHT_WASM_TOOLCHAIN").unwrap_or_default();
    let installed = || match forced.as_str() {
        "rustup" => rustup_has_sources().then_some(WasmToolchain::Rustup),
        "debian" => debian_is_installed().then_some(WasmToolchain::Debian),
        _ if debian_is_installed() => Some(WasmToolchain::Debian),
        _ => rustup_has_sources().then_some(WasmToolchain::Rustup),
    };
    if let Some(toolchain) = installed() {
        return Ok(toolchain);
    }
    say::step("Missing", "the standard library's sources: threads in the browser need it compiled with atomics");
    if forced != "debian" && rustup_tries(&["component", "add", "rust-src"]) && rustup_has_sources() {
        return Ok(WasmToolchain::Rustup);
    }
    match apt::missing(DEBIAN_PACKAGES) {
        Some(missing) if !missing.is_empty() && forced != "rustup" => apt::install(&missing)?,
        _ => {}
    }
    installed().with_context(|| {
        format!(
            "no sources of Rust's standard library: run `rustup component add rust-src`, or on Debian `sudo apt-get install {}`",
            DEBIAN_PACKAGES.join(" ")
        )
    })
}

/// Asks rustup for the target. It gets one try: where it cannot reach its server, Debian's compiler is the better use of time.
fn rustup_adds_target() -> bool {
    let added = rustup_tries(&["target", "add", TARGET]) && rustup_has_target();
    if !added {
        say::step("Note", "rustup cannot get it here; Debian's compiler can do it too");
    }
    added
}

fn rustup_tries(arguments: &[&str]) -> bool {
    say::step("Trying", format!("rustup {}", arguments.join(" ")));
    let answer = Command::new("timeout")
        .args(["180", "rustup"])
        .args(arguments)
        .env("RUSTUP_MAX_RETRIES", "1")
        .stdin(Stdio::null())
        .output();
    answer.is_ok_and(|answer| answer.status.success())
}

/// The installed toolchain, or an error that says how to get one.
pub(crate) fn require() -> Result<WasmToolchain> {
    WasmToolchain::installed()?.with_context(|| {
        format!(
            "no Rust compiler for {TARGET}: run `rustup target add {TARGET}`, or on Debian \
             `sudo apt-get install {}`",
            DEBIAN_PACKAGES.join(" ")
        )
    })
}
