//! An executor behind bytes is an executor: the same answers, its faults told apart, its moves seen by nobody.

mod fake_executor;

use fake_executor::{FakeExecutor, Fault, Faults, Heard, ON_ERROR, alone, chat_model, serve, submit};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use tilewright_engine::{MemoryUse, StepCost};
use tilewright_formats::gguf;
use tilewright_host::{Answering, Input, Line, LoadError, Output, RemoteExecutor, Service, Weights};
use tilewright_plan::{Executor, ExecutorError, StepId};

/// Both ends in one place. After some questions its page is closed.
struct InProcess {
    far: Rc<RefCell<Answering>>,
    left: Cell<u32>,
    bytes: Rc<Cell<usize>>,
}

impl Line for InProcess {
    fn ask(&self, question: Vec<u8>) -> LocalBoxFuture<'static, Result<Vec<u8>, ExecutorError>> {
        let Some(left) = self.left.get().checked_sub(1) else {
            let gone = ExecutorError::Moved { reason: "the test closed its page".to_owned() };
            return async { Err(gone) }.boxed_local();
        };
        self.left.set(left);
        self.bytes.set(self.bytes.get().max(question.len()));
        self.far.borrow_mut().answer(&question).map(Ok).boxed_local()
    }
}

/// Answers everything with bytes that mean nothing.
struct Babble;

impl Line for Babble {
    fn ask(&self, _: Vec<u8>) -> LocalBoxFuture<'static, Result<Vec<u8>, ExecutorError>> {
        async { Ok(vec![7; 30]) }.boxed_local()
    }
}

fn weights(executor: impl Executor + 'static) -> Weights {
    let mut metadata = gguf::Metadata::new("model.gguf");
    metadata =
        gguf::Metadata::from_entries(metadata.file(), [("general.architecture", gguf::Value::String("llama".into()))])
            .expect("one key");
    let memory = MemoryUse { weights_bytes: 1, kv_bytes: 2, scratch_bytes: 3 };
    let cost = StepCost { dispatches: 0, weight_bytes: 4 };
    Weights {
        executor: Box::new(executor),
        tunable: None,
        family: "llama".to_owned(),
        gguf: Some(metadata),
        memory,
        cost,
    }
}

/// A fake behind bytes that answers so many questions.
fn remote(depth: u32, faults: &Faults, questions: u32) -> Weights {
    let far = Answering::new(weights(FakeExecutor::new(depth, faults))).expect("it can be described");
    let description = far.description().to_vec();
    let line = InProcess { far: Rc::new(RefCell::new(far)), left: Cell::new(questions), bytes: Rc::default() };
    RemoteExecutor::open(Box::new(line), &description).expect("it can be read")
}

/// A service whose every executor is closed after so many steps.
fn moving(depth: u32, faults: &Faults, questions: u32) -> Service {
    let first = remote(depth, faults, questions).executor;
    let faults = faults.clone();
    Service::new(chat_model(), first).with_executor_source(move || {
        let next = remote(depth, &faults, questions).executor;
        async { Ok::<_, LoadError>(next) }
    })
}

fn answers(service: Service) -> BTreeMap<(u64, u64), Heard> {
    serve(service, vec![submit(1, 1, "one", 20), submit(2, 1, "two", 25)], Vec::new())
}

#[test]
fn what_is_known_of_a_model_arrives_whole() {
    let here = FakeExecutor::new(2, &Faults::default());
    let there = remote(2, &Faults::default(), 0);
    assert_eq!(there.executor.capacity(), here.capacity());
    assert_eq!(there.executor.device(), here.device());
    assert_eq!((there.family.as_str(), there.memory.kv_bytes), ("llama", 2));
    assert_eq!(there.gguf.expect("it came").string("general.architecture").ok(), Some("llama"));
}

#[test]
fn requests_on_a_remote_executor_say_what_they_say_on_one_at_hand() {
    for depth in 1..=3 {
        let heard = answers(moving(depth, &Faults::default(), u32::MAX));
        assert_eq!(heard[&(1, 1)], alone("one", 20));
        assert_eq!(heard[&(2, 1)], alone("two", 25));
    }
}

#[test]
fn an_executor_that_moves_again_and_again_costs_a_request_nothing_but_time() {
    for depth in 1..=2 {
        for questions in [2, 5, 9] {
            let heard = answers(moving(depth, &Faults::default(), questions));
            assert_eq!(heard[&(1, 1)], alone("one", 20), "moved after every {questions} steps");
            assert_eq!(heard[&(2, 1)], alone("two", 25));
        }
    }
}

#[test]
fn a_loss_on_the_far_side_is_still_blamed_on_who_ran_twice() {
    let faults = Faults::at([(3, Fault::Lose), (6, Fault::Lose)]);
    let heard =
        serve(moving(1, &faults, u32::MAX), vec![submit(1, 1, "one", 20)], vec![(ON_ERROR, submit(1, 2, "two", 8))]);
    assert_eq!(heard[&(1, 1)].error.as_ref().and_then(|error| error.code.as_deref()), Some("device_lost"));
    assert_eq!(heard[&(1, 2)], alone("two", 8));
}

#[test]
fn bytes_that_are_no_plan_and_no_answer_are_errors_and_not_panics() {
    let mut far = Answering::new(weights(FakeExecutor::new(1, &Faults::default()))).expect("it can be described");
    for question in [&[][..], &[255; 40], b"{\"step\":1}"] {
        assert!(!pollster::block_on(far.answer(question)).is_empty(), "it answers with an error");
    }
    let mut near = RemoteExecutor::open(Box::new(Babble), far.description()).expect("it can be read").executor;
    let result = pollster::block_on(near.issue(StepId(1), tilewright_plan::StepPlan::default()));
    assert!(result.expect_err("no answer").is_loss());
    for description in [&[][..], &far.description()[..9]] {
        assert!(matches!(RemoteExecutor::open(Box::new(Babble), description), Err(LoadError::Remote(_))));
    }
}

#[test]
fn a_service_that_hears_of_a_lost_executor_makes_another_before_anyone_asks() {
    let service = moving(1, &Faults::default(), u32::MAX);
    let (sender, inputs) = futures_channel::mpsc::unbounded();
    sender.unbounded_send(Input::ExecutorGone { reason: "its page was closed".to_owned() }).expect("it listens");
    let (mut sender, mut said) = (Some(sender), Vec::new());
    pollster::block_on(service.serve(inputs, fake_executor::clock(), |output| match output {
        Output::ExecutorGone { reason } => said.push(reason),
        Output::ExecutorReady { device } => {
            said.push(device);
            sender = None;
        }
        other => panic!("{other:?}"),
    }));
    assert_eq!(said.len(), 2);
    assert!(said[0].contains("its page was closed"), "{said:?}");
    assert_eq!(said[1], "a fake");
}

#[test]
fn a_decoding_step_is_a_short_message() {
    let far = Answering::new(weights(FakeExecutor::new(1, &Faults::default()))).expect("it can be described");
    let (description, bytes) = (far.description().to_vec(), Rc::new(Cell::new(0)));
    let line = InProcess { far: Rc::new(RefCell::new(far)), left: Cell::new(u32::MAX), bytes: Rc::clone(&bytes) };
    let executor = RemoteExecutor::open(Box::new(line), &description).expect("it can be read").executor;
    serve(Service::new(chat_model(), executor), vec![submit(1, 1, "one", 20)], Vec::new());
    assert!((1..200).contains(&bytes.get()), "{} bytes", bytes.get());
}
