//! `tilewright generate`

use crate::args::Generate;
use crate::error::CliError;
use crate::{interrupt, open};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::Path;
use tilewright_host::{Endpoint, FinishReason};
use tilewright_plan::TokenId;

/// Streams text, or prints one JSON object.
pub(crate) async fn run(command: Generate) -> Result<(), CliError> {
    let (endpoint, body) = request(&command)?;
    let mut service = open::service(&command.model).await?;
    let stream = !command.json;
    let print = |chunk: Value| {
        if stream {
            print_text(&chunk);
        }
    };
    let completed = service.complete(endpoint, body, interrupt::pressed(), open::clock, print).await?;
    if stream {
        println!();
        return Ok(());
    }
    let report = completed.report;
    let ids = |tokens: &[TokenId]| tokens.iter().map(|token| token.0).collect::<Vec<_>>();
    let choice = &completed.body["choices"][0];
    let text = choice["text"].as_str().or_else(|| choice["message"]["content"].as_str()).unwrap_or_default();
    let object = json!({
        "prompt_ids": ids(&report.prompt),
        "output_ids": ids(&report.output),
        "text": text,
        "finish_reason": finish_reason(report.reason),
        "timings": {
            "prefill_tokens_per_s": report.timings.prefill_tokens_per_s,
            "decode_tokens_per_s": report.timings.decode_tokens_per_s,
            "time_to_first_token_ms": report.timings.time_to_first_token_ms,
        },
        "device": service.device(),
    });
    println!("{object}");
    Ok(())
}

fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Cancelled => "cancelled",
        FinishReason::DeviceLost => "device_lost",
        FinishReason::CapacityReduced => "capacity_reduced",
        _ => "failed",
    }
}

/// Writes a chunk's text at once. A reader that has gone away ends the output, not the program.
pub(crate) fn print_text(chunk: &Value) -> String {
    let choice = &chunk["choices"][0];
    let text = choice["text"].as_str().or_else(|| choice["delta"]["content"].as_str()).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    text.to_owned()
}

fn request(command: &Generate) -> Result<(Endpoint, Value), CliError> {
    let mut body = Map::new();
    body.insert("max_tokens".into(), command.max_tokens.into());
    body.insert("temperature".into(), 0.into());
    open::add_sampling(&mut body, &command.sampling);
    body.insert("stream".into(), (!command.json).into());
    if !command.stop.is_empty() {
        body.insert("stop".into(), command.stop.clone().into());
    }
    if command.ignore_eos {
        body.insert("ignore_eos".into(), true.into());
    }
    let endpoint = match (&command.input.messages, &command.input.ids, &command.input.prompt) {
        (Some(path), ..) => {
            body.insert("messages".into(), messages(path)?);
            Endpoint::ChatCompletions
        }
        (_, Some(ids), _) => {
            body.insert("prompt".into(), ids.clone().into());
            Endpoint::Completions
        }
        (.., prompt) => {
            body.insert("prompt".into(), prompt.clone().into());
            Endpoint::Completions
        }
    };
    Ok((endpoint, body.into()))
}

/// A list of messages, or a request's body with one.
fn messages(path: &Path) -> Result<Value, CliError> {
    let text = std::fs::read_to_string(path).map_err(|source| CliError::File { path: path.to_owned(), source })?;
    let json: Value = serde_json::from_str(&text).map_err(|source| CliError::Json { path: path.to_owned(), source })?;
    Ok(match json {
        Value::Object(mut body) if body.contains_key("messages") => body.remove("messages").unwrap_or_default(),
        other => other,
    })
}
