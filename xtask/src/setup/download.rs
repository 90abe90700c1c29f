//! One large file over HTTP, in as many pieces as the network needs.
//!
//! Bytes go to a `.part` file; whatever breaks, they stay, and the next attempt (of this run or another) asks for the rest
//! with a `Range` header. Whether the pieces fit is for the caller's checksum to say.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use crate::say;

/// Attempts that bring nothing new before we give up; one that brings bytes starts the count again.
const FRUITLESS_ATTEMPTS: u32 = 3;

/// An HTTP client that trusts what the system trusts (company proxies have certificates of their own) and never hangs.
pub(crate) fn agent() -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(Duration::from_secs(15)))
        .timeout_recv_response(Some(Duration::from_mins(1)))
        .timeout_per_read(Some(Duration::from_secs(30)))
        .build()
        .into()
}

/// Brings `part` to `total` bytes, from wherever it is now.
pub(crate) fn resume(address: &str, part: &Path, total: u64) -> Result<()> {
    let agent = agent();
    let mut fruitless = 0;
    loop {
        let before = length(part);
        if before == total {
            return Ok(());
        }
        let error = match one_attempt(&agent, address, part, total) {
            Ok(()) if length(part) == total => return Ok(()),
            Ok(()) => anyhow::anyhow!("the connection ended early"),
            Err(error) => error,
        };
        fruitless = if length(part) > before { 0 } else { fruitless + 1 };
        if fruitless == FRUITLESS_ATTEMPTS {
            return Err(error.context("the download stopped"));
        }
        say::step("Retrying", format!("{error:#} at {}", say::megabytes(length(part))));
        sleep(Duration::from_secs(1 << fruitless));
    }
}

fn one_attempt(agent: &Agent, address: &str, part: &Path, total: u64) -> Result<()> {
    let mut start = length(part);
    if start > total {
        fs::remove_file(part)?;
        start = 0;
    }
    let mut request = agent.get(address);
    if start > 0 {
        request = request.header("Range", format!("bytes={start}-"));
    }
    let mut answer = request.call().context("the server did not answer")?;
    match answer.status().as_u16() {
        206 if start > 0 => say::step("Resuming", format!("at {}", say::megabytes(start))),
        // The whole file: a server that knows no ranges.
        200 => start = 0,
        other => bail!("the server answered {other}"),
    }
    let mut file = OpenOptions::new().create(true).append(start > 0).write(true).truncate(start == 0).open(part)?;
    let mut body = answer.body_mut().with_config().limit(total + 1).reader();
    let mut progress = say::Progress::new("Fetching", start, total);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = body.read(&mut buffer).context("the connection broke")?;
        if read == 0 {
            return Ok(());
        }
        file.write_all(&buffer[..read]).with_context(|| format!("{} cannot be written", part.display()))?;
        progress.add(read as u64);
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}
