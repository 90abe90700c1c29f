//! One request to its end, for a program that has only one.

use crate::io::{Input, Output, RequestReport};
use crate::service::{Outside, Service};
use futures_util::future::FutureExt;
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use std::future::{Future, ready};
use std::time::Duration;
use tilewright_api::{ApiError, Endpoint};
use tilewright_scheduler::{ClientId, RequestId};

/// A request that was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// The last body sent: without `stream` the whole answer.
    pub body: Value,
    /// Token ids, how it ended, how fast it was.
    pub report: RequestReport,
}

impl Service {
    /// Runs one request to its end. `on_chunk` gets each chunk as it comes (without `stream`, the one whole answer). When
    /// `cancel` resolves the request ends with what it has; [`std::future::pending`] never does. The clock is that of
    /// [`serve`](Self::serve).
    ///
    /// ```no_run
    /// # async fn example(mut service: tilewright_host::Service, clock: impl Fn() -> std::time::Duration) {
    /// # use tilewright_host::Endpoint;
    /// let body = serde_json::json!({ "prompt": "Once upon a time", "max_tokens": 20, "stream": true });
    /// let print = |chunk: serde_json::Value| print!("{}", chunk["choices"][0]["text"].as_str().unwrap_or_default());
    /// match service.complete(Endpoint::Completions, body, std::future::pending(), clock, print).await {
    ///     Ok(completed) => println!("\n{:?}", completed.report.timings),
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// # }
    /// ```
    pub async fn complete(
        &mut self,
        endpoint: Endpoint,
        body: Value,
        cancel: impl Future<Output = ()>,
        clock: impl Fn() -> Duration,
        mut on_chunk: impl FnMut(Value),
    ) -> Result<Completed, ApiError> {
        let (client, request) = (ClientId(0), RequestId(0));
        let submit = Input::Submit { client, request, endpoint, body, resume: None };
        let cancel = cancel.map(|()| Input::Cancel { client, request });
        let inputs = stream::once(ready(submit)).chain(stream::once(cancel));
        let (mut last, mut failed, mut report) = (None, None, None);
        let mut emit = |output| match output {
            Output::Chunk { body, .. } => {
                last = Some(body.clone());
                on_chunk(body);
            }
            Output::Error { error, .. } => failed = Some(error),
            _ => {}
        };
        let mut ended = |ended| report = Some(ended);
        let mut outside = Outside { clock: &clock, emit: &mut emit, ended: &mut ended };
        self.drive(inputs, &mut outside, true).await;
        match (failed, report) {
            (None, Some(report)) => Ok(Completed { body: last.unwrap_or_default(), report }),
            (Some(error), _) => Err(error),
            (None, None) => Err(ApiError::server("no_answer", "the request ended without an answer; repeat it")),
        }
    }
}
