//! A client that does not read: its request stands still, costs nobody anything, and goes on when it reads.

mod fake_executor;

use fake_executor::{FakeExecutor, Faults, capacity, chat_model, clock, submit};
use futures_util::stream;
use serde_json::json;
use std::cell::Cell;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use tilewright_host::{ClientId, Endpoint, Input, Output, RequestId, Service};
use tilewright_plan::Capacity;
use tilewright_scheduler::Parked;

/// The scheduler's credit in tokens.
const WINDOW: usize = 256;
const TOKENS: u32 = 700;

fn service() -> Service {
    let roomy = Capacity { blocks: 1000, max_context: 1000, ..capacity(2) };
    Service::new(chat_model(), Box::new(FakeExecutor::with_capacity(roomy, &Faults::default())))
}

fn ack(request: u64, seq: u64) -> Input {
    Input::Ack { client: ClientId(1), request: RequestId(request), seq }
}

/// Lets a service do all that it can without hearing anything more.
fn settle(mut serving: Pin<&mut impl Future<Output = ()>>) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if serving.as_mut().poll(&mut context).is_ready() {
            return;
        }
    }
}

#[test]
fn a_stream_that_nobody_reads_stands_still_after_its_credit_and_goes_on_when_it_is_read() {
    let (sender, inputs) = futures_channel::mpsc::unbounded();
    let say = |input| sender.unbounded_send(input).expect("the service listens");
    let (tokens, newest, done, parked) = (Cell::new(0), Cell::new(0), Cell::new(false), Cell::new(None));
    let emit = |output| match output {
        Output::Chunk { seq, tokens: more, .. } => {
            tokens.set(tokens.get() + more.len());
            newest.set(seq);
        }
        Output::Done { .. } => done.set(true),
        Output::Snapshot { snapshot, .. } => {
            parked.set(snapshot.running.iter().chain(&snapshot.waiting).find_map(|sequence| sequence.parked));
        }
        other => panic!("{other:?}"),
    };
    let mut serving = pin!(service().serve(inputs, clock(), emit));
    say(submit(1, 1, "one", TOKENS));
    settle(serving.as_mut());
    // What is held back because it is half a character counts as well, and is in no chunk.
    assert!((WINDOW - 4..=WINDOW).contains(&tokens.get()), "{}", tokens.get());

    let before = tokens.get();
    for input in [ack(1, newest.get() + 1), ack(1, u64::MAX), ack(2, 0), Input::Inspect { client: ClientId(2), id: 0 }]
    {
        say(input);
    }
    settle(serving.as_mut());
    assert_eq!((tokens.get(), parked.get()), (before, Some(Parked::Credit)), "acknowledged what was never sent");

    say(ack(1, newest.get() / 2));
    settle(serving.as_mut());
    assert!((WINDOW + 60..=2 * WINDOW - 60).contains(&tokens.get()), "half is read: {}", tokens.get());
    for _ in 0..3 {
        say(ack(1, newest.get()));
        settle(serving.as_mut());
    }
    assert_eq!((tokens.get(), done.get()), (TOKENS as usize, true));
}

#[test]
fn an_answer_that_is_not_streamed_needs_no_acknowledgement() {
    let body = json!({ "prompt": "one", "max_tokens": TOKENS, "ignore_eos": true });
    let endpoint = Endpoint::Completions;
    let whole = Input::Submit { client: ClientId(1), request: RequestId(1), endpoint, body, resume: None };
    let mut usage = None;
    let emit = |output| {
        if let Output::Chunk { body, .. } = output {
            usage = body["usage"]["completion_tokens"].as_u64();
        }
    };
    pollster::block_on(service().serve(stream::iter([whole]), clock(), emit));
    assert_eq!(usage, Some(TOKENS.into()));
}

#[test]
fn a_prompt_that_was_there_already_is_counted_as_cached_in_chunks_and_whole_answers() {
    for stream in [true, false] {
        let prompt = "a prompt long enough to fill blocks";
        let body = json!({ "prompt": prompt, "max_tokens": 3, "ignore_eos": true, "stream": stream });
        let submit = |request, body: &serde_json::Value| Input::Submit {
            client: ClientId(1),
            request: RequestId(request),
            endpoint: Endpoint::Completions,
            body: body.clone(),
            resume: None,
        };
        let (sender, inputs) = futures_channel::mpsc::unbounded();
        sender.unbounded_send(submit(0, &body)).expect("it listens");
        let (mut sender, mut cached) = (Some(sender), Vec::new());
        let mut salted = body.clone();
        salted["cache_salt"] = json!("salt");
        let emit = |output| match output {
            Output::Chunk { body, .. } => {
                cached.extend(body["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64());
            }
            Output::Done { request: RequestId(request), .. } => {
                let next = [&body, &salted].get(request as usize).map(|body| submit(request + 1, body));
                match (next, &sender) {
                    (Some(next), Some(open)) => open.unbounded_send(next).expect("it listens"),
                    _ => sender = None,
                }
            }
            other => panic!("{other:?}"),
        };
        pollster::block_on(service().serve(inputs, clock(), emit));
        let [first, second, salted] = cached[..] else { panic!("{cached:?}") };
        assert_eq!((first, salted), (0, 0));
        assert!(second > 8 && second % 4 == 0, "whole blocks: {second}");
    }
}
