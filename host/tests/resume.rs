//! An answer that was begun on one engine and goes on on another: its reader sees no seam, wherever the cut is.

mod fake_executor;

use fake_executor::{FakeExecutor, Faults, chat_model, clock};
use futures_util::stream;
use serde_json::{Value, json};
use tilewright_api::ApiError;
use tilewright_host::{ClientId, Endpoint, Input, Output, RequestId, Resume, Service};
use tilewright_plan::TokenId;

/// What one engine said to one request.
#[derive(Debug, Default)]
struct Answer {
    chunks: Vec<(Value, Vec<TokenId>)>,
    done: bool,
    error: Option<ApiError>,
}

fn ask(endpoint: Endpoint, body: &Value, resume: Option<Resume>) -> Answer {
    let service = Service::new(chat_model(), Box::new(FakeExecutor::new(2, &Faults::default())));
    let body = body.clone();
    let submit = Input::Submit { client: ClientId(1), request: RequestId(1), endpoint, body, resume };
    let mut answer = Answer::default();
    let emit = |output| match output {
        Output::Chunk { body, tokens, seq, .. } => {
            assert_eq!(seq as usize, answer.chunks.len(), "chunks are numbered from 0 on every engine");
            answer.chunks.push((body, tokens));
        }
        Output::Done { .. } => answer.done = true,
        Output::Error { error, .. } => answer.error = Some(error),
        _ => {}
    };
    pollster::block_on(service.serve(stream::iter([submit]), clock(), emit));
    answer
}

fn text_of(chunk: &Value) -> String {
    let choice = &chunk["choices"][0];
    choice["text"].as_str().or(choice["delta"]["content"].as_str()).unwrap_or_default().to_owned()
}

impl Answer {
    /// What a reader of the first `count` chunks has.
    fn read(&self, count: usize) -> (String, Resume) {
        let read = &self.chunks[..count];
        let resume = Resume {
            tokens: read.iter().flat_map(|(_, tokens)| tokens.clone()).collect(),
            id: self.chunks[0].0["id"].as_str().unwrap().to_owned(),
            created_s: self.chunks[0].0["created"].as_u64().unwrap(),
        };
        (read.iter().map(|(chunk, _)| text_of(chunk)).collect(), resume)
    }

    fn whole(&self) -> (String, Resume) {
        self.read(self.chunks.len())
    }

    fn ending(&self) -> (&Value, &Value) {
        let last = &self.chunks.last().expect("chunks").0;
        (&last["choices"][0]["finish_reason"], &last["usage"]["completion_tokens"])
    }
}

/// Cuts the stream after each of its chunks, and has another engine go on.
fn goes_on_after_every_cut(endpoint: Endpoint, body: &Value) -> Answer {
    let uninterrupted = ask(endpoint, body, None);
    let (text, all) = uninterrupted.whole();
    assert!(uninterrupted.done && uninterrupted.chunks.len() > 4, "{uninterrupted:?}");
    for cut in 1..uninterrupted.chunks.len() {
        // The end is said in one turn, so that nobody has only a part of it: text that was held back, with the reason after it.
        let (last, tokens) = &uninterrupted.chunks[cut - 1];
        if tokens.is_empty() && !text_of(last).is_empty() {
            continue;
        }
        let (before, resume) = uninterrupted.read(cut);
        let rest = ask(endpoint, body, Some(resume.clone()));
        assert!(rest.done && rest.error.is_none(), "cut after {cut} chunks: {:?}", rest.error);
        let (after, named) = rest.whole();
        assert_eq!(before + &after, text, "cut after {cut} chunks");
        assert_eq!([resume.tokens, named.tokens].concat(), all.tokens, "cut after {cut} chunks");
        assert_eq!((named.id, named.created_s), (all.id.clone(), all.created_s));
        assert_eq!(rest.ending(), uninterrupted.ending());
        assert!(rest.chunks.iter().all(|(chunk, _)| chunk["choices"][0]["delta"]["role"].is_null()), "one beginning");
    }
    uninterrupted
}

fn body(extra: &Value) -> Value {
    let mut body = json!({ "prompt": "one", "max_tokens": 40, "ignore_eos": true, "stream": true, "seed": 3 });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[test]
fn a_completion_goes_on_after_every_chunk_also_in_the_middle_of_a_character() {
    let answer = goes_on_after_every_cut(Endpoint::Completions, &body(&json!({})));
    let held = answer.chunks.iter().filter(|(_, tokens)| tokens.len() > 1).count();
    assert!(held > 0, "some token's bytes waited for the next one");
}

#[test]
fn a_chat_goes_on_after_every_chunk() {
    let chat = json!({ "messages": [{ "role": "user", "content": "hello" }], "prompt": null });
    goes_on_after_every_cut(Endpoint::ChatCompletions, &body(&chat));
}

#[test]
fn a_stop_text_is_found_across_the_cut() {
    let (text, _) = ask(Endpoint::Completions, &body(&json!({})), None).whole();
    let characters: Vec<char> = text.chars().collect();
    let piece = |at: usize| characters[at..at + 4].iter().collect::<String>();
    let met = (16..30).map(piece).find(|met| text.find(met) > text.char_indices().nth(12).map(|(at, _)| at)).unwrap();
    // Looks like the stop text for as long as possible, so that text is held back all the time.
    let almost: Vec<String> = (3..6).map(|at| piece(at) + "\u{10ffff}").collect();
    let stop = json!({ "stop": [met, almost[0], almost[1], almost[2]] });
    let answer = goes_on_after_every_cut(Endpoint::Completions, &body(&stop));
    assert_eq!(answer.ending().0, "stop");
}

#[test]
fn a_stop_id_and_log_probabilities_change_nothing() {
    let (_, all) = ask(Endpoint::Completions, &body(&json!({})), None).whole();
    let answer =
        goes_on_after_every_cut(Endpoint::Completions, &body(&json!({ "stop_token_ids": [all.tokens[30].0] })));
    assert_eq!(answer.ending().0, "stop");
    goes_on_after_every_cut(Endpoint::Completions, &body(&json!({ "logprobs": 0 })));
}

#[test]
fn an_answer_that_had_come_to_its_end_ends() {
    let (text, all) = ask(Endpoint::Completions, &body(&json!({})), None).whole();
    // By its length,
    let ended = ask(Endpoint::Completions, &body(&json!({})), Some(all.clone()));
    assert!(ended.done && ended.error.is_none());
    assert_eq!(ended.ending(), (&json!("length"), &json!(40)));
    // by a stop id,
    let by_id = body(&json!({ "stop_token_ids": [all.tokens[39].0], "max_tokens": 60 }));
    assert_eq!(ask(Endpoint::Completions, &by_id, Some(all.clone())).ending().0, "stop");
    // and by a stop text.
    let last: String = text.chars().skip(10).take(3).collect();
    let by_text = body(&json!({ "stop": [last], "max_tokens": 60 }));
    let ended = ask(Endpoint::Completions, &by_text, Some(all));
    assert_eq!((ended.ending().0, ended.whole().0.as_str()), (&json!("stop"), ""));
}

#[test]
fn more_tokens_than_asked_for_are_an_end_at_once() {
    let (_, all) = ask(Endpoint::Completions, &body(&json!({})), None).whole();
    let ended = ask(Endpoint::Completions, &body(&json!({ "max_tokens": 7 })), Some(all));
    assert_eq!(ended.ending(), (&json!("length"), &json!(7)));
    let tokens = vec![TokenId(5); 100_000];
    let resume = Resume { tokens, id: "x".to_owned(), created_s: u64::MAX };
    let ended = ask(Endpoint::Completions, &body(&json!({ "max_tokens": 100_000 })), Some(resume));
    assert_eq!((ended.done, ended.ending().0), (true, &json!("length")), "the context is full");
}

#[test]
fn a_token_that_the_model_does_not_know_is_an_error_that_names_it() {
    let resume = Resume { tokens: vec![TokenId(5), TokenId(u32::MAX)], id: String::new(), created_s: 0 };
    let error = ask(Endpoint::Completions, &body(&json!({})), Some(resume)).error.expect("refused");
    assert_eq!((error.code.as_deref(), error.param.as_deref()), (Some("invalid_resume"), Some("resume.tokens[1]")));
    assert!(error.message.contains("4294967295") && error.message.contains("384"), "{}", error.message);
}

#[test]
fn without_tokens_or_without_a_stream_it_is_answered_whole() {
    let (text, all) = ask(Endpoint::Completions, &body(&json!({})), None).whole();
    let begun = Resume { tokens: Vec::new(), ..all.clone() };
    assert_eq!(ask(Endpoint::Completions, &body(&json!({})), Some(begun)).whole().0, text);
    let half = Resume { tokens: all.tokens[..20].to_vec(), ..all };
    let whole = ask(Endpoint::Completions, &body(&json!({ "stream": false })), Some(half));
    assert_eq!((whole.chunks.len(), whole.whole().0), (1, text));
}
