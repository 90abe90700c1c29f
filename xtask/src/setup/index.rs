//! Where a Python package index keeps a file: the JSON form of its "simple" page (PEP 691).
//!
//! The index is the one that pip would use, so that a mirror set up for pip serves us as well.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::download;

/// The address of `file_name` in the index's listing of `project`.
pub(crate) fn find_file(project: &str, file_name: &str) -> Result<String> {
    let page = format!("{}/{project}/", index_address().trim_end_matches('/'));
    let listing: Value = download::agent()
        .get(&page)
        .header("Accept", "application/vnd.pypi.simple.v1+json")
        .call()
        .and_then(|mut answer| answer.body_mut().read_json())
        .context("the package index gives no listing")?;
    let files = listing["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let address = files.iter().find(|file| file["filename"] == file_name).and_then(|file| file["url"].as_str());
    let address = address.with_context(|| format!("the package index has no {file_name}"))?;
    if !address.starts_with("http") {
        // Allowed, and used by a few mirrors; pip resolves it.
        bail!("the package index lists {file_name} with a relative address");
    }
    Ok(address.to_owned())
}

/// pip's index: its environment variable, its configuration, else PyPI.
fn index_address() -> String {
    let configured = || {
        let answer = Command::new("python3").args(["-m", "pip", "config", "get", "global.index-url"]).output().ok()?;
        answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    };
    env::var("PIP_INDEX_URL")
        .ok()
        .or_else(configured)
        .filter(|address| !address.is_empty())
        .unwrap_or_else(|| "https://pypi.org/simple".to_owned())
}
