//! The scheduler tests' fake model behind the real `Executor` trait, with faults on order.

#![allow(dead_code, unreachable_pub)]

#[path = "../../../scheduler/tests/fake/mod.rs"]
mod fake;

use fake::FakeModel;
use futures_util::FutureExt;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tilewright_api::{ChatModel, HuggingFaceFiles};
use tilewright_host::{ClientId, Endpoint, Input, Output, RequestId, Service};
use tilewright_plan::{Capacity, Executor, ExecutorError, StepFuture, StepId, StepOutput, StepPlan};

/// What goes wrong at which step, counted over all executors of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Lose,
    Refuse,
    /// The logits of the chunk at this index.
    NotFinite(usize),
}

#[derive(Clone, Default)]
pub struct Faults(pub Rc<RefCell<BTreeMap<u64, Fault>>>);

impl Faults {
    pub fn at(steps: impl IntoIterator<Item = (u64, Fault)>) -> Self {
        Self(Rc::new(RefCell::new(steps.into_iter().collect())))
    }
}

pub struct FakeExecutor {
    model: Rc<RefCell<FakeModel>>,
    faults: Faults,
    lost: bool,
    /// Plans of all executors of one test.
    pub plans: Rc<RefCell<Vec<StepPlan>>>,
}

pub fn capacity(depth: u32) -> Capacity {
    Capacity { blocks: 40, block_size: 4, max_rows: 32, max_chunks: 8, max_context: 128, vocabulary: 384, depth }
}

impl FakeExecutor {
    pub fn new(depth: u32, faults: &Faults) -> Self {
        Self::with_capacity(capacity(depth), faults)
    }

    pub fn with_capacity(capacity: Capacity, faults: &Faults) -> Self {
        Self {
            model: Rc::new(RefCell::new(FakeModel::new(capacity))),
            faults: faults.clone(),
            lost: false,
            plans: Rc::default(),
        }
    }
}

impl Executor for FakeExecutor {
    fn capacity(&self) -> Capacity {
        self.model.borrow().capacity
    }

    fn issue(&mut self, step: StepId, plan: StepPlan) -> StepFuture {
        let fault = self.faults.0.borrow_mut().remove(&step.0);
        self.lost |= fault == Some(Fault::Lose);
        let result = match fault {
            _ if self.lost => Err(ExecutorError::Lost { reason: "the test took it away".to_owned() }),
            Some(Fault::Refuse) => Err(ExecutorError::InvalidPlan("the test says so".to_owned())),
            _ => match self.model.borrow_mut().run(step, &plan) {
                Ok(sampled) => Ok(StepOutput { sampled, logits: Vec::new() }),
                Err(rule) => Err(ExecutorError::InvalidPlan(rule)),
            },
        };
        let result = match fault {
            Some(Fault::NotFinite(chunk)) => Err(ExecutorError::NotFinite(plan.chunks[chunk].sequence)),
            _ => result,
        };
        self.plans.borrow_mut().push(plan);
        let model = Rc::clone(&self.model);
        // As a GPU does it: not at once, and only after others had their turn.
        let mut polls = 0;
        poll_fn(move |context| {
            polls += 1;
            if polls < 3 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            model.borrow_mut().finish_before(Some(StepId(step.0 + 1)));
            Poll::Ready(result.clone())
        })
        .boxed_local()
    }

    fn device(&self) -> String {
        "a fake".to_owned()
    }
}

pub fn fixture(name: &str) -> String {
    let path = format!("{}/../tests/fixtures/llama/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn chat_model() -> Arc<ChatModel> {
    let files = HuggingFaceFiles {
        config_json: fixture("config.json"),
        tokenizer_json: fixture("tokenizer.json"),
        chat_template_jinja: Some("{% for message in messages %}{{ message.content }}{% endfor %}".to_owned()),
        ..HuggingFaceFiles::default()
    };
    Arc::new(ChatModel::from_hugging_face("tiny", files).expect("the fixture is a model"))
}

/// A clock that a millisecond passes on at every look.
pub fn clock() -> impl Fn() -> Duration {
    let now = RefCell::new(1_800_000_000_000);
    move || {
        *now.borrow_mut() += 1;
        Duration::from_millis(*now.borrow())
    }
}

pub fn submit(client: u64, request: u64, prompt: &str, max_tokens: u32) -> Input {
    let body = serde_json::json!({ "prompt": prompt, "max_tokens": max_tokens, "ignore_eos": true, "stream": true });
    Input::Submit {
        client: ClientId(client),
        request: RequestId(request),
        endpoint: Endpoint::Completions,
        body,
        resume: None,
    }
}

/// What a service said, and to whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    pub text: String,
    pub chunks: u64,
    pub finish_reason: Option<String>,
    pub done: bool,
    pub error: Option<tilewright_api::ApiError>,
}

/// Says an input when the first error is heard, instead of after a number of outputs.
pub const ON_ERROR: usize = usize::MAX;

/// Serves a script: inputs said at the beginning, and inputs said when a number of outputs has been heard.
pub fn serve(service: Service, first: Vec<Input>, later: Vec<(usize, Input)>) -> BTreeMap<(u64, u64), Heard> {
    let (sender, inputs) = futures_channel::mpsc::unbounded();
    for input in first {
        sender.unbounded_send(input).expect("the service listens");
    }
    let mut later: VecDeque<_> = later.into();
    let mut sender = (!later.is_empty()).then_some(sender);
    let mut heard: BTreeMap<(u64, u64), Heard> = BTreeMap::new();
    let mut outputs = 0;
    let emit = |output| {
        outputs = if matches!(output, Output::Error { .. }) { ON_ERROR } else { outputs.saturating_add(1) };
        while let Some((_, input)) = later.pop_front_if(|(after, _)| *after <= outputs) {
            sender.as_ref().expect("not closed").unbounded_send(input).expect("the service listens");
        }
        if later.is_empty() {
            sender = None;
        }
        let (client, request) = match &output {
            Output::Chunk { client, request, .. } | Output::Done { client, request } => (client.0, request.0),
            Output::Error { client, request, .. } => (client.0, request.map_or(u64::MAX, |request| request.0)),
            Output::Snapshot { client, .. } => (client.0, u64::MAX),
            Output::ExecutorGone { .. } | Output::ExecutorReady { .. } => return,
        };
        let heard = heard.entry((client, request)).or_default();
        assert!(!heard.done, "said after the end: {output:?}");
        match output {
            Output::Chunk { seq, body, .. } => {
                assert_eq!(seq, heard.chunks, "chunks are numbered");
                heard.chunks += 1;
                let choice = &body["choices"][0];
                heard.text += choice["text"].as_str().or(choice["message"]["content"].as_str()).unwrap_or_default();
                heard.text += choice["delta"]["content"].as_str().unwrap_or_default();
                heard.finish_reason =
                    choice["finish_reason"].as_str().map(str::to_owned).or(heard.finish_reason.take());
            }
            Output::Done { .. } => heard.done = true,
            Output::Error { error, .. } => heard.error = Some(error),
            _ => {}
        }
    };
    pollster::block_on(service.serve(inputs, clock(), emit));
    heard
}

/// What a request says when nobody else is there.
pub fn alone(prompt: &str, max_tokens: u32) -> Heard {
    let service = Service::new(chat_model(), Box::new(FakeExecutor::new(1, &Faults::default())));
    let heard = serve(service, vec![submit(1, 1, prompt, max_tokens)], Vec::new());
    heard[&(1, 1)].clone()
}
