//! A request's way in: checked, made into a prompt, and handed to the scheduler; or taken up where another engine left it.
//!
//! A request that is resumed comes with the body of its first time and with the tokens that its client has already heard.
//! Body and tokens are all there is to an answer's state: the tokens go through the text side once more, silently, and
//! to the scheduler as already generated. The client's chunks then go on without a seam.

use crate::errors;
use crate::io::Resume;
use crate::requests::Request;
use crate::service::{Outside, Service};
use std::sync::Arc;
use std::time::Duration;
use tilewright_api::{ApiError, Completion, Endpoint, Limits, Prepared};
use tilewright_plan::TokenId;
use tilewright_scheduler::{Event, Priority, RequestSpec};

/// What a client submits.
pub(crate) struct Submission {
    pub(crate) endpoint: Endpoint,
    pub(crate) body: serde_json::Value,
    pub(crate) resume: Option<Resume>,
}

impl Service {
    pub(crate) fn submit(&mut self, name: crate::requests::Name, submission: Submission, outside: &mut Outside<'_>) {
        let (client, request) = name;
        if self.requests.contains_key(&name) {
            return outside.error(name, errors::duplicate(request));
        }
        if let Err(error) = self.executors.retry() {
            return outside.error(name, error);
        }
        let now = (outside.clock)();
        let (live, prepared) = match self.begin(submission, now) {
            Ok(begun) => begun,
            Err(error) => return outside.error(name, error),
        };
        if let Some(reason) = live.resumed_to_its_end(&prepared) {
            return live.end(name, reason, 0, outside);
        }
        let spec = RequestSpec {
            generated: live.output().to_vec(),
            sampling: prepared.sampling,
            min_tokens: prepared.min_tokens,
            // The model's own end ids are among them, unless the request ignores them.
            stop_ids: prepared.stop_ids,
            priority: match prepared.priority {
                tilewright_api::request::Priority::Interactive => Priority::Interactive,
                tilewright_api::request::Priority::Batch => Priority::Batch,
            },
            cache_salt: prepared.cache_salt,
            ..RequestSpec::new(prepared.prompt, prepared.max_tokens)
        };
        self.requests.insert(name, live);
        self.schedule(Event::Submit { client, request, spec }, outside);
    }

    fn begin(&mut self, submission: Submission, now: Duration) -> Result<(Request, Prepared), ApiError> {
        let Submission { endpoint, body, resume } = submission;
        self.begun += 1;
        let nonce = mix(mix(now.as_micros() as u64) ^ self.begun);
        let limits = Limits { max_context: self.max_context() };
        // A template may write the date into the prompt, and a resumed request's prompt has to be the one that it was.
        let created_s = resume.as_ref().map_or(now.as_secs(), |resume| resume.created_s);
        let date_s = created_s.min(now.as_secs()) as i64;
        let prepared = self.model.prepare_at(endpoint, &body, limits, nonce, date_s)?;
        if let Some(resume) = &resume {
            self.check_tokens(&resume.tokens)?;
        }
        let prefix = match endpoint {
            Endpoint::ChatCompletions => "chatcmpl",
            Endpoint::Completions => "cmpl",
        };
        let (id, tokens) =
            resume.map_or_else(|| (format!("{prefix}-{nonce:016x}"), None), |resume| (resume.id, Some(resume.tokens)));
        let completion = Completion::new(Arc::clone(&self.model), &prepared, id, created_s);
        let mut live = Request::new(completion, prepared.prompt.clone(), now);
        if let Some(mut tokens) = tokens {
            tokens.truncate(prepared.max_tokens as usize);
            live.resume(tokens);
        }
        Ok((live, prepared))
    }

    fn check_tokens(&self, tokens: &[TokenId]) -> Result<(), ApiError> {
        let vocabulary = self.capacity().vocabulary.min(self.model.vocabulary());
        match tokens.iter().position(|token| token.0 >= vocabulary) {
            Some(at) => Err(errors::unknown_resumed_token(at, tokens[at], vocabulary)),
            None => Ok(()),
        }
    }
}

/// Spreads a number over all 64 bits: the finalizer of splitmix64 (Steele, Lea, Flood 2014).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
