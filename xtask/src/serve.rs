//! `cargo xtask serve`: the built site over HTTP, with the headers that make a page cross-origin isolated.
//!
//! With COOP and COEP on every answer the page gets `SharedArrayBuffer`, which CPU threads need; CORP lets isolated pages
//! load these files. `tower-http` does the rest: types, ranges, `HEAD`, conditional requests, and no way out of the folder.
//! Nothing is cached without asking back, so a rebuilt file is seen at the next reload.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::routing::get;
use clap::Args;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::repository;

/// What `cargo xtask serve` and `play` take.
#[derive(Args)]
pub(crate) struct Options {
    /// The port on localhost; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

const HEADERS: [(&str, &str); 4] = [
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-cache"),
];

/// Serves playground/dist until interrupted. The address goes to standard output, for a person or a test that waits for it.
pub(crate) fn serve(options: &Options) -> Result<()> {
    let site = repository::site();
    if !site.join("index.html").exists() {
        bail!("there is no site yet: run `cargo xtask build`, or `cargo xtask play`, which builds and serves");
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        let listeners = listen(options.port).await?;
        let port = listeners[0].local_addr()?.port();
        println!("Serving playground/dist at http://localhost:{port} (end with Ctrl-C)");
        std::io::stdout().flush()?;
        for listener in listeners {
            tokio::spawn(axum::serve(listener, router(&site)).into_future());
        }
        tokio::signal::ctrl_c().await.context("Ctrl-C cannot be awaited")
    })
}

/// Browsers take "localhost" for either loopback address, so both are ours; a machine without IPv6 has only the first.
async fn listen(port: u16) -> Result<Vec<TcpListener>> {
    let bind = |address: SocketAddr| async move {
        TcpListener::bind(address).await.map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => anyhow::anyhow!(
                "port {port} is taken, perhaps by another `cargo xtask play`: end that one, or choose another port with --port"
            ),
            ErrorKind::PermissionDenied => {
                anyhow::anyhow!("port {port} is for root only: choose one above 1023 with --port")
            }
            _ => anyhow::Error::new(error).context(format!("port {port} cannot be opened")),
        })
    };
    let first = bind((Ipv4Addr::LOCALHOST, port).into()).await?;
    let port = first.local_addr()?.port();
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("port {port} is taken on [::1]: end the program that has it, or choose another port with --port")
        }
        Err(_) => Ok(vec![first]),
    }
}

/// What a wrong address is answered, for a person who reads it.
async fn not_found(address: Uri) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("There is no {} in playground/dist.\n", address.path()))
}

/// The files of `site` with the isolation headers on every answer, errors included.
fn router(site: &Path) -> Router {
    let missing = get(not_found);
    HEADERS.iter().fold(
        Router::new().fallback_service(ServeDir::new(site).fallback(missing)),
        |router, (name, value)| {
            router.layer(SetResponseHeaderLayer::overriding(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            ))
        },
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use axum::body::Body;
    use axum::http::{Request, Response};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    /// What a site with an `index.html`, a `secret` beside it and a `lib/a.wasm` answers.
    fn answer(test: &str, method: &str, path: &str, range: Option<&str>) -> (Response<()>, Vec<u8>) {
        let folder = repository::test_folder(test);
        let site = folder.join("site");
        fs::create_dir_all(site.join("lib")).unwrap();
        fs::write(folder.join("secret"), "secret").unwrap();
        fs::write(site.join("index.html"), "<p>page").unwrap();
        fs::write(site.join("lib/a.wasm"), "0123456789").unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if let Some(range) = range {
            request = request.header("range", range);
        }
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let answer = router(&site).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let (head, body) = answer.into_parts();
            (Response::from_parts(head, ()), body.collect().await.unwrap().to_bytes().to_vec())
        })
    }

    #[test]
    fn every_answer_isolates_the_page_and_errors_do_too() {
        for (method, path) in [("GET", "/"), ("GET", "/lib/a.wasm"), ("HEAD", "/"), ("GET", "/missing"), ("POST", "/")]
        {
            let (answer, _) = answer("isolation", method, path, None);
            for (name, value) in HEADERS {
                assert_eq!(answer.headers()[name], value, "{method} {path}");
            }
        }
    }

    #[test]
    fn a_module_has_the_type_that_browsers_compile_while_it_streams() {
        let (answer, body) = answer("types", "GET", "/lib/a.wasm", None);
        assert_eq!(answer.headers()["content-type"], "application/wasm");
        assert_eq!(body, b"0123456789");
    }

    #[test]
    fn a_range_is_answered_with_these_bytes_and_one_past_the_end_with_416() {
        let (some, body) = answer("ranges", "GET", "/lib/a.wasm", Some("bytes=3-5"));
        assert_eq!((some.status(), body.as_slice()), (StatusCode::PARTIAL_CONTENT, b"345".as_slice()));
        assert_eq!(some.headers()["content-range"], "bytes 3-5/10");
        let (none, _) = answer("ranges", "GET", "/lib/a.wasm", Some("bytes=10-"));
        assert_eq!(none.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    }

    #[test]
    fn no_address_leads_out_of_the_site() {
        for path in ["/../secret", "/lib/../../secret", "/%2e%2e/secret", "/..%2fsecret", "//secret"] {
            let (answer, body) = answer("traversal", "GET", path, None);
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
            assert_ne!(body, b"secret", "{path}");
        }
    }

    #[test]
    fn a_taken_port_is_an_error_that_says_what_to_do() {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let first = listen(0).await.unwrap();
            let error = listen(first[0].local_addr().unwrap().port()).await.unwrap_err();
            assert!(error.to_string().contains("--port"), "{error}");
        });
    }
}
