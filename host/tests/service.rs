//! What clients of a service hear, whatever happens. The executor is a fake, everything else is real.

mod fake_executor;

use fake_executor::{FakeExecutor, Fault, Faults, ON_ERROR, alone, chat_model, clock, serve, submit};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tilewright_host::{ClientId, Endpoint, FileError, FinishReason, Input, LoadError, RequestId, Service};
use tilewright_plan::Executor;

fn service(depth: u32, faults: &Faults) -> Service {
    Service::new(chat_model(), Box::new(FakeExecutor::new(depth, faults)))
}

/// Makes another fake executor whenever one is lost.
fn with_source(depth: u32, faults: &Faults) -> Service {
    let faults = faults.clone();
    service(depth, &faults).with_executor_source(move || {
        let executor: Box<dyn Executor> = Box::new(FakeExecutor::new(depth, &faults));
        async { Ok(executor) }
    })
}

fn cancel(client: u64, request: u64) -> Input {
    Input::Cancel { client: ClientId(client), request: RequestId(request) }
}

fn chat(client: u64, request: u64, mut body: serde_json::Value) -> Input {
    body["messages"] = json!([{ "role": "user", "content": "hello there" }]);
    let endpoint = Endpoint::ChatCompletions;
    Input::Submit { client: ClientId(client), request: RequestId(request), endpoint, body, resume: None }
}

#[test]
fn clients_that_are_served_at_once_each_hear_what_they_would_hear_alone() {
    for depth in 1..=3 {
        let executor = FakeExecutor::new(depth, &Faults::default());
        let plans = Rc::clone(&executor.plans);
        let inputs = vec![submit(1, 1, "one", 20), submit(2, 1, "another prompt", 25), submit(1, 2, "third", 7)];
        let later = vec![(9, submit(3, 1, "a late one", 12))];
        let heard = serve(Service::new(chat_model(), Box::new(executor)), inputs, later);
        assert_eq!(heard[&(1, 1)], alone("one", 20));
        assert_eq!(heard[&(2, 1)], alone("another prompt", 25));
        assert_eq!(heard[&(1, 2)], alone("third", 7));
        assert_eq!(heard[&(3, 1)], alone("a late one", 12));
        assert!(heard.values().all(|heard| heard.done && heard.finish_reason.as_deref() == Some("length")));
        assert!(plans.borrow().iter().any(|plan| plan.chunks.len() == 3), "one step carries rows of several clients");
    }
}

#[test]
fn a_chat_is_answered_whole_without_stream_and_in_chunks_with_it() {
    let inputs = vec![chat(1, 1, json!({ "max_tokens": 9, "ignore_eos": true, "temperature": 0 })), {
        chat(1, 2, json!({ "max_tokens": 9, "ignore_eos": true, "temperature": 0, "stream": true }))
    }];
    let heard = serve(service(1, &Faults::default()), inputs, Vec::new());
    assert_eq!(heard[&(1, 1)].chunks, 1);
    assert!(heard[&(1, 2)].chunks > 3);
    assert_eq!(heard[&(1, 1)].text, heard[&(1, 2)].text);
    assert!(heard[&(1, 1)].done && heard[&(1, 2)].done);
}

#[test]
fn a_cancelled_request_ends_with_what_it_has_and_the_others_go_on() {
    let heard = serve(
        service(2, &Faults::default()),
        vec![submit(1, 1, "one", 60), submit(2, 1, "two", 30)],
        vec![(12, cancel(1, 1)), (12, cancel(1, 1)), (12, cancel(9, 9))],
    );
    let (cut, whole) = (&heard[&(1, 1)], alone("one", 60));
    assert!(cut.done && cut.finish_reason.as_deref() == Some("abort") && cut.chunks < whole.chunks);
    assert!(whole.text.starts_with(&cut.text) && !cut.text.is_empty());
    assert_eq!(heard[&(2, 1)], alone("two", 30));
}

#[test]
fn nothing_more_is_said_to_a_client_that_left_and_the_others_go_on() {
    let inputs = vec![submit(1, 1, "one", 60), submit(1, 2, "more", 60), submit(2, 1, "two", 30)];
    let heard = serve(service(2, &Faults::default()), inputs, vec![(12, Input::Gone { client: ClientId(1) })]);
    for request in [1, 2] {
        let gone = &heard[&(1, request)];
        assert!(!gone.done && gone.error.is_none() && gone.finish_reason.is_none());
    }
    assert_eq!(heard[&(2, 1)], alone("two", 30));
}

#[test]
fn a_bad_body_is_an_error_that_names_the_field_and_the_next_request_is_served() {
    let bad = |request, body| Input::Submit {
        client: ClientId(1),
        request: RequestId(request),
        endpoint: Endpoint::Completions,
        body,
        resume: None,
    };
    let inputs = vec![
        bad(1, json!("not an object")),
        bad(2, json!({ "prompt": "hi", "temperature": "hot" })),
        bad(3, json!({ "prompt": "long ".repeat(500) })),
        bad(4, json!({})),
        submit(1, 5, "good", 6),
    ];
    let heard = serve(service(1, &Faults::default()), inputs, Vec::new());
    let error = |request| heard[&(1, request)].error.clone().unwrap_or_else(|| panic!("request {request} is wrong"));
    assert_eq!(error(1).r#type, "invalid_request_error");
    assert_eq!(error(2).param.as_deref(), Some("temperature"));
    assert_eq!(error(3).code.as_deref(), Some("context_length_exceeded"));
    assert_eq!(error(4).param.as_deref(), Some("prompt"));
    assert_eq!(heard[&(1, 5)], alone("good", 6));
}

#[test]
fn a_stop_string_ends_the_answer_before_it_and_frees_the_place() {
    let whole = alone("one", 40);
    let characters: Vec<char> = whole.text.chars().collect();
    let stop: String = characters[6..9].iter().collect();
    let before = whole.text.split(&stop).next().unwrap();
    for depth in 1..=3 {
        let reports = Rc::new(RefCell::new(Vec::new()));
        let listener = Rc::clone(&reports);
        let service = service(depth, &Faults::default()).on_ended(move |report| listener.borrow_mut().push(report));
        let body = json!({ "prompt": "one", "max_tokens": 40, "ignore_eos": true, "stream": true, "stop": [stop] });
        let (client, request, endpoint) = (ClientId(1), RequestId(1), Endpoint::Completions);
        let stopped = Input::Submit { client, request, endpoint, body, resume: None };
        let heard = serve(service, vec![stopped, submit(2, 1, "two", 10)], Vec::new());
        assert_eq!(heard[&(1, 1)].text, before);
        assert_eq!(heard[&(1, 1)].finish_reason.as_deref(), Some("stop"));
        assert_eq!(heard[&(2, 1)], alone("two", 10));
        let reports = reports.borrow();
        let report = reports.iter().find(|report| report.client == ClientId(1)).unwrap();
        assert_eq!(report.reason, FinishReason::Stop);
        assert!(report.output.len() < 40);
    }
}

#[test]
fn a_lost_executor_is_made_anew_and_nobody_hears_of_it() {
    for depth in 1..=3 {
        for lost_at in [0, 1, 5, 9] {
            let faults = Faults::at([(lost_at, Fault::Lose)]);
            let inputs = vec![submit(1, 1, "one", 20), submit(2, 1, "two", 25)];
            let heard = serve(with_source(depth, &faults), inputs, vec![(5, submit(3, 1, "three", 8))]);
            assert!(faults.0.borrow().is_empty(), "it was lost");
            assert_eq!(heard[&(1, 1)], alone("one", 20), "lost at step {lost_at}, depth {depth}");
            assert_eq!(heard[&(2, 1)], alone("two", 25));
            assert_eq!(heard[&(3, 1)], alone("three", 8));
        }
    }
}

#[test]
fn a_request_that_loses_the_executor_twice_is_given_up_and_the_next_is_served() {
    let faults = Faults::at([(3, Fault::Lose), (6, Fault::Lose)]);
    let heard = serve(with_source(1, &faults), vec![submit(1, 1, "one", 20)], vec![(ON_ERROR, submit(1, 2, "two", 8))]);
    let error = heard[&(1, 1)].error.clone().expect("given up");
    assert_eq!((error.code.as_deref(), error.message.contains("twice")), (Some("device_lost"), true));
    assert_eq!(heard[&(1, 2)], alone("two", 8));
}

#[test]
fn without_a_way_to_another_executor_a_loss_ends_all_requests_with_an_error_at_once() {
    for depth in 1..=3 {
        let faults = Faults::at([(4, Fault::Lose)]);
        let inputs = vec![submit(1, 1, "one", 20), submit(2, 1, "two", 20)];
        let heard = serve(service(depth, &faults), inputs, vec![(ON_ERROR, submit(1, 2, "late", 5))]);
        for name in [(1, 1), (2, 1), (1, 2)] {
            let error = heard[&name].error.clone().unwrap_or_else(|| panic!("{name:?} ended well"));
            assert_eq!(error.code.as_deref(), Some("device_lost"));
            assert!(error.message.contains("the test took it away"), "{}", error.message);
        }
    }
}

#[test]
fn when_no_executor_can_be_made_requests_end_and_the_next_one_tries_again() {
    let faults = Faults::at([(4, Fault::Lose)]);
    let (tries, source_faults) = (Rc::new(Cell::new(0)), faults.clone());
    let counted = Rc::clone(&tries);
    let service = service(1, &faults).with_executor_source(move || {
        counted.set(counted.get() + 1);
        let result: Result<Box<dyn Executor>, LoadError> = match counted.get() {
            1 => Err(FileError::read("model.gguf", "the network is down").into()),
            _ => Ok(Box::new(FakeExecutor::new(1, &source_faults))),
        };
        async { result }
    });
    let heard = serve(service, vec![submit(1, 1, "one", 20)], vec![(ON_ERROR, submit(1, 2, "two", 8))]);
    let error = heard[&(1, 1)].error.clone().expect("it ended");
    assert!(error.message.contains("the network is down"), "{}", error.message);
    assert_eq!((&heard[&(1, 2)], tries.get()), (&alone("two", 8), 2));
}

#[test]
fn logits_that_are_not_finite_end_one_request_and_the_others_say_the_same() {
    for depth in 1..=3 {
        let faults = Faults::at([(5, Fault::NotFinite(1))]);
        let inputs = vec![submit(1, 1, "one", 20), submit(2, 1, "two", 20), submit(3, 1, "three", 20)];
        let heard = serve(service(depth, &faults), inputs, vec![(ON_ERROR, submit(2, 2, "again", 6))]);
        let failed: Vec<_> = heard.iter().filter(|(_, heard)| heard.error.is_some()).collect();
        assert_eq!(failed.len(), 1, "depth {depth}");
        assert_eq!(failed[0].1.error.as_ref().unwrap().code.as_deref(), Some("logits_not_finite"));
        for ((client, request), prompt, max_tokens) in
            [((1, 1), "one", 20), ((2, 1), "two", 20), ((3, 1), "three", 20), ((2, 2), "again", 6)]
        {
            if heard[&(client, request)].error.is_none() {
                assert_eq!(heard[&(client, request)], alone(prompt, max_tokens), "depth {depth}");
            }
        }
    }
}

#[test]
fn a_plan_that_the_executor_refuses_ends_its_requests_and_the_next_one_is_served() {
    for depth in 1..=3 {
        let faults = Faults::at([(5, Fault::Refuse)]);
        let later = vec![(ON_ERROR, submit(1, 2, "two", 8))];
        let heard = serve(service(depth, &faults), vec![submit(1, 1, "one", 20)], later);
        let error = heard[&(1, 1)].error.clone().expect("it was refused");
        assert_eq!(error.code.as_deref(), Some("step_failed"));
        assert!(error.message.contains("the test says so"), "{}", error.message);
        assert_eq!(heard[&(1, 2)], alone("two", 8), "depth {depth}");
    }
}

#[test]
fn a_request_id_in_use_is_refused_and_its_owner_goes_on() {
    let heard = serve(service(1, &Faults::default()), vec![submit(1, 1, "one", 9), submit(1, 1, "two", 9)], Vec::new());
    let both = &heard[&(1, 1)];
    assert_eq!(both.error.as_ref().unwrap().code.as_deref(), Some("duplicate_request"));
    assert_eq!((&both.text, both.done), (&alone("one", 9).text, true));
}

#[test]
fn a_full_queue_is_an_error_that_says_so() {
    let long = "x ".repeat(60);
    let inputs = (0..8).map(|request| submit(1, request, &long, 60)).collect();
    let heard = serve(service(1, &Faults::default()), inputs, Vec::new());
    let full: Vec<_> = heard.values().filter_map(|heard| heard.error.clone()).collect();
    assert!(!full.is_empty());
    assert!(full.iter().all(|error| error.r#type == "rate_limit_error" && error.code.as_deref() == Some("queue_full")));
    assert!(heard.values().filter(|heard| heard.error.is_none()).all(|heard| *heard == alone(&long, 60)));
}

#[test]
fn a_request_that_gives_its_place_in_a_full_queue_to_a_focused_one_is_told_so() {
    let long = "x ".repeat(60);
    let state = |client, focused| {
        [
            Input::Hello { client: ClientId(client) },
            Input::State { client: ClientId(client), visible: focused, focused, frozen: false },
        ]
    };
    let hidden = 1..=9;
    let mut inputs: Vec<Input> = hidden.clone().flat_map(|client| state(client, false)).collect();
    inputs.extend(
        hidden
            .flat_map(|client| (0..5).map(move |request| (client, request)))
            .map(|(client, request)| submit(client, request, &long, 8)),
    );
    inputs.extend(state(100, true));
    inputs.push(submit(100, 1, "short", 8));
    let heard = serve(service(1, &Faults::default()), inputs, Vec::new());
    assert_eq!(heard[&(100, 1)], alone("short", 8));
    let displaced: Vec<_> = heard
        .values()
        .filter_map(|heard| heard.error.as_ref())
        .filter(|error| error.code.as_deref() == Some("displaced"))
        .collect();
    assert_eq!(displaced.len(), 1);
    assert_eq!(displaced[0].r#type, "rate_limit_error");
}

#[test]
fn a_shutdown_ends_every_request_with_an_error() {
    let heard = serve(
        service(2, &Faults::default()),
        vec![submit(1, 1, "one", 60), submit(2, 1, "two", 60)],
        vec![(6, Input::Shutdown)],
    );
    for name in [(1, 1), (2, 1)] {
        assert_eq!(heard[&name].error.as_ref().unwrap().code.as_deref(), Some("shut_down"));
    }
}

#[test]
fn a_hidden_client_and_an_acknowledgement_from_the_future_change_no_answer() {
    let client = ClientId(1);
    let inputs = vec![
        Input::Hello { client },
        submit(1, 1, "one", 12),
        Input::State { client, visible: false, focused: false, frozen: false },
        Input::Ack { client, request: RequestId(1), seq: 999 },
        Input::Ack { client, request: RequestId(9), seq: 0 },
    ];
    assert_eq!(serve(service(2, &Faults::default()), inputs, Vec::new())[&(1, 1)], alone("one", 12));
}

#[test]
fn the_pause_after_a_step_is_waited_for() {
    let pauses = Rc::new(Cell::new(0));
    let counted = Rc::clone(&pauses);
    let service = service(1, &Faults::default()).with_pause_after_steps(move || {
        let counted = Rc::clone(&counted);
        Box::pin(async move { counted.set(counted.get() + 1) })
    });
    assert_eq!(serve(service, vec![submit(1, 1, "one", 12)], Vec::new())[&(1, 1)], alone("one", 12));
    assert!(pauses.get() >= 12);
}

#[test]
fn one_request_can_be_run_to_its_end_and_tells_its_ids_and_speed_and_then_another() {
    let mut service = service(2, &Faults::default());
    let body = json!({ "prompt": [5, 6, 7], "max_tokens": 10, "ignore_eos": true, "stream": true });
    let mut text = String::new();
    let first = pollster::block_on(service.complete(
        Endpoint::Completions,
        body.clone(),
        std::future::pending(),
        clock(),
        |chunk| {
            text += chunk["choices"][0]["text"].as_str().unwrap_or_default();
        },
    ))
    .expect("it is answered");
    assert_eq!(first.report.prompt.iter().map(|token| token.0).collect::<Vec<_>>(), [5, 6, 7]);
    assert_eq!((first.report.output.len(), first.report.reason), (10, FinishReason::Length));
    let timings = first.report.timings;
    assert!(timings.time_to_first_token_ms.unwrap() > 0.0 && timings.prefill_tokens_per_s.unwrap() > 0.0);
    assert!(timings.decode_tokens_per_s.unwrap() > 0.0);
    assert!(!text.is_empty());

    let again =
        pollster::block_on(service.complete(Endpoint::Completions, body, std::future::pending(), clock(), |_| ()));
    assert_eq!(again.expect("so is the next").report.output, first.report.output);

    let error = pollster::block_on(service.complete(
        Endpoint::Completions,
        json!({ "prompt": 5 }),
        std::future::pending(),
        clock(),
        |_| (),
    ));
    assert_eq!(error.unwrap_err().param.as_deref(), Some("prompt"));
}

#[test]
fn one_request_can_be_cancelled_and_keeps_what_it_has() {
    let mut service = service(1, &Faults::default());
    let (stop, stopped) = futures_channel::oneshot::channel::<()>();
    let (mut stop, mut chunks) = (Some(stop), 0);
    let body = json!({ "prompt": "one", "max_tokens": 100, "ignore_eos": true, "stream": true });
    let cancelled = async { _ = stopped.await };
    let completed = pollster::block_on(service.complete(Endpoint::Completions, body, cancelled, clock(), |_| {
        chunks += 1;
        if chunks == 5 {
            stop.take().map(|stop| stop.send(()));
        }
    }))
    .expect("it ends well");
    assert_eq!(completed.report.reason, FinishReason::Cancelled);
    assert!(completed.report.output.len() < 100 && completed.report.output.len() >= 4);
}
