//! An executor whose memory shrinks while it works, and a look at what goes on.

mod fake_executor;

use fake_executor::{FakeExecutor, Faults, alone, chat_model, clock, serve, submit};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tilewright_host::{ClientId, Input, Output, Service, Snapshot};

fn service(depth: u32) -> Service {
    Service::new(chat_model(), Box::new(FakeExecutor::new(depth, &Faults::default())))
}

#[test]
fn half_the_memory_gone_in_the_middle_changes_no_answer() {
    for depth in 1..=3 {
        let inputs = (1..=4).map(|client| submit(client, 1, "a prompt of some length", 25)).collect();
        let cut = vec![(12, Input::Capacity { blocks: 20 }), (60, Input::Capacity { blocks: 4000 })];
        let heard = serve(service(depth), inputs, cut);
        for client in 1..=4 {
            assert_eq!(heard[&(client, 1)], alone("a prompt of some length", 25), "depth {depth}");
        }
    }
}

#[test]
fn what_no_longer_fits_ends_with_an_error_that_says_so_and_the_others_go_on() {
    let inputs = vec![submit(1, 1, &"long ".repeat(12), 40), submit(2, 1, "short", 9)];
    // 8 blocks of 4 tokens hold the short one only.
    let heard = serve(service(2), inputs, vec![(4, Input::Capacity { blocks: 8 })]);
    let error = heard[&(1, 1)].error.clone().expect("it has no room");
    assert_eq!(error.code.as_deref(), Some("capacity_reduced"));
    assert!(error.message.contains("32 tokens"), "{}", error.message);
    assert_eq!(heard[&(2, 1)], alone("short", 9));
}

#[test]
fn a_look_shows_who_runs_and_where_every_block_is() {
    let (sender, inputs) = futures_channel::mpsc::unbounded();
    sender.unbounded_send(submit(1, 7, "one", 30)).expect("the service listens");
    let mut sender = Some(sender);
    let seen: Rc<RefCell<Vec<Snapshot>>> = Rc::default();
    let (mut chunks, looks) = (0, Rc::clone(&seen));
    let emit = |output| match output {
        Output::Chunk { .. } => {
            chunks += 1;
            if chunks == 5 {
                let look = Input::Inspect { client: ClientId(2), id: 11 };
                sender.as_ref().expect("not closed").unbounded_send(look).expect("the service listens");
            }
        }
        Output::Done { .. } => {
            let sender = sender.take().expect("one request");
            sender.unbounded_send(Input::Inspect { client: ClientId(2), id: 12 }).expect("the service listens");
        }
        Output::Snapshot { client, id, snapshot } => {
            assert_eq!((client, id), (ClientId(2), 11 + looks.borrow().len() as u64));
            looks.borrow_mut().push(*snapshot);
        }
        other => panic!("{other:?}"),
    };
    pollster::block_on(service(1).serve(inputs, clock(), emit));
    let [during, after] = &seen.borrow()[..] else { panic!("two looks") };
    assert_eq!((during.running.len(), during.running[0].request.0), (1, 7));
    assert_eq!((during.block_size, during.blocks.len()), (4, 40));
    assert!(!during.running[0].block_table.is_empty());
    assert!(after.running.is_empty() && after.waiting.is_empty());
    let json = serde_json::to_value(during).expect("it is plain data");
    assert_eq!(json["blocks"][during.running[0].block_table[0].0 as usize], serde_json::json!({ "referenced": 1 }));
}

#[test]
fn steps_that_are_issued_ahead_are_timed_one_after_the_other() {
    for depth in 1..=3 {
        let time = Rc::new(Cell::new(Duration::from_micros(1_800_000_000_000_001)));
        let passing = Rc::clone(&time);
        let clock = move || {
            passing.set(passing.get() + Duration::from_micros(700));
            passing.get()
        };
        let begun = time.get();
        let (sender, inputs) = futures_channel::mpsc::unbounded();
        sender.unbounded_send(submit(1, 1, "one", 30)).expect("the service listens");
        let (mut sender, mut steps) = (Some(sender), Vec::new());
        let emit = |output| match output {
            Output::Done { .. } => {
                let sender = sender.take().expect("one request");
                sender.unbounded_send(Input::Inspect { client: ClientId(1), id: 1 }).expect("the service listens");
            }
            Output::Snapshot { snapshot, .. } => steps = snapshot.steps,
            _ => {}
        };
        pollster::block_on(service(depth).serve(inputs, clock, emit));
        let elapsed: Vec<u64> = steps.iter().map(|step| step.elapsed.0).collect();
        assert!(elapsed.len() >= 20 && elapsed.iter().all(|&elapsed| elapsed > 0), "{elapsed:?}");
        let sum = Duration::from_micros(elapsed.iter().sum());
        let all = time.get().saturating_sub(begun);
        assert!(sum <= all, "depth {depth}: {sum:?} in {all:?}");
        assert!(elapsed.iter().any(|elapsed| elapsed % 1000 != 0), "finer than a millisecond: {elapsed:?}");
    }
}

#[test]
fn whoever_never_stops_asking_keeps_nobody_else_waiting() {
    let heard: Rc<Cell<bool>> = Rc::default();
    let done = Rc::clone(&heard);
    let asked: Rc<Cell<u64>> = Rc::default();
    let count = Rc::clone(&asked);
    let first = futures_util::stream::iter([submit(1, 1, "one", 30)]);
    // Always ready, until the answer has come: without a turn for the steps it never would.
    let endless = futures_util::stream::poll_fn(move |_| {
        count.set(count.get() + 1);
        let over = done.get() || count.get() > 100_000;
        std::task::Poll::Ready((!over).then_some(Input::Inspect { client: ClientId(2), id: count.get() }))
    });
    let emit = |output| match output {
        Output::Done { .. } => heard.set(true),
        Output::Error { error, .. } => panic!("{error}"),
        _ => {}
    };
    let inputs = futures_util::StreamExt::chain(first, endless);
    pollster::block_on(service(1).serve(inputs, clock(), emit));
    assert!(heard.get() && asked.get() < 10_000, "{} questions went before the answer", asked.get());
}
