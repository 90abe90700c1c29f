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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::repository;

    /// A server of one file that sends at most `most` bytes for each request and then hangs up; knows ranges or not.
    fn unreliable_server(file: &'static [u8], most: usize, ranges: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/file", listener.local_addr().unwrap());
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let head: Vec<String> = BufReader::new(connection.try_clone().unwrap())
                    .lines()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let asked =
                    head.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
                let start = asked.filter(|_| ranges).map(|range| range.trim_end_matches('-').parse::<usize>().unwrap());
                let status = if start.is_some() { "206 Partial Content" } else { "200 OK" };
                let rest = &file[start.unwrap_or(0)..];
                let _ = write!(
                    connection,
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    rest.len()
                );
                let _ = connection.write_all(&rest[..rest.len().min(most)]);
            }
        });
        address
    }

    #[test]
    fn a_transfer_that_breaks_goes_on_where_it_stopped() {
        let part = repository::test_folder("download-breaks").join("part");
        resume(&unreliable_server(b"0123456789", 6, true), &part, 10).unwrap();
        assert_eq!(fs::read(part).unwrap(), b"0123456789");
    }

    #[test]
    fn what_an_earlier_run_left_is_not_fetched_again() {
        let part = repository::test_folder("download-left").join("part");
        fs::write(&part, b"ABCD").unwrap();
        resume(&unreliable_server(b"0123456789", 10, true), &part, 10).unwrap();
        assert_eq!(fs::read(part).unwrap(), b"ABCD456789");
    }

    #[test]
    fn a_server_without_ranges_is_read_from_the_start() {
        let part = repository::test_folder("download-no-ranges").join("part");
        fs::write(&part, b"ABCD").unwrap();
        resume(&unreliable_server(b"0123456789", 10, false), &part, 10).unwrap();
        assert_eq!(fs::read(part).unwrap(), b"0123456789");
    }

    #[test]
    fn a_server_that_brings_nothing_is_an_error_and_keeps_what_there_is() {
        let part = repository::test_folder("download-nothing").join("part");
        fs::write(&part, b"ABCD").unwrap();
        let address = unreliable_server(b"0123456789", 0, true);
        assert!(resume(&address, &part, 10).is_err());
        assert_eq!(fs::read(part).unwrap(), b"ABCD");
    }
}
