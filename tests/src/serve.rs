//! Requests to the real service over a real executor, and what their clients hear.

use crate::fixture;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tilewright_api::{ApiError, ChatModel, HuggingFaceFiles};
use tilewright_host::{ClientId, Endpoint, Input, Output, RequestId, Service};
use tilewright_plan::{Capacity, Executor, StepFuture, StepId, StepPlan};

/// What a request came to.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Its answer.
    pub tokens: Vec<u32>,
    /// Why it ended, if it came to its end.
    pub finish_reason: Option<String>,
    /// Why it ended, if not.
    pub error: Option<ApiError>,
}

/// Notes what an executor is asked for.
struct Watched {
    executor: Box<dyn Executor>,
    plans: Rc<RefCell<Vec<StepPlan>>>,
}

impl Executor for Watched {
    fn capacity(&self) -> Capacity {
        self.executor.capacity()
    }

    fn issue(&mut self, step: StepId, plan: StepPlan) -> StepFuture {
        self.plans.borrow_mut().push(plan.clone());
        self.executor.issue(step, plan)
    }

    fn device(&self) -> String {
        self.executor.device()
    }
}

/// A request for `max_tokens` after a prompt of ids, drawn: what a model of random weights finds most likely repeats itself.
pub fn request(prompt: &[u32], max_tokens: u32) -> Value {
    json!({ "prompt": prompt, "max_tokens": max_tokens, "temperature": 1, "seed": 5, "ignore_eos": true, "stream": true })
}

/// Serves requests by rounds, those of a round all at once. What each heard, in their order, and the plans of all steps.
pub fn serve(executor: Box<dyn Executor>, rounds: &[&[Value]]) -> (Vec<Heard>, Vec<StepPlan>) {
    let plans = Rc::default();
    let watched = Watched { executor, plans: Rc::clone(&plans) };
    let (sender, inputs) = futures_channel::mpsc::unbounded();
    let mut sender = Some(sender);
    let mut rounds = rounds.iter();
    let mut heard: Vec<Heard> = Vec::new();
    let mut running = 0;
    let mut next_round = |heard: &mut Vec<Heard>| {
        let (Some(round), Some(inputs)) = (rounds.next(), &sender) else {
            sender = None;
            return 0;
        };
        for body in *round {
            let (client, request) = (ClientId(1), RequestId(heard.len() as u64));
            let submit =
                Input::Submit { client, request, endpoint: Endpoint::Completions, body: body.clone(), resume: None };
            inputs.unbounded_send(submit).expect("the service listens");
            heard.push(Heard::default());
        }
        round.len()
    };
    running += next_round(&mut heard);
    let emit = |output| {
        match output {
            Output::Chunk { request, body, tokens, .. } => {
                let heard = &mut heard[request.0 as usize];
                heard.tokens.extend(tokens.iter().map(|token| token.0));
                let reason = body["choices"][0]["finish_reason"].as_str();
                heard.finish_reason = reason.map(str::to_owned).or(heard.finish_reason.take());
                return;
            }
            Output::Error { request: Some(request), error, .. } => heard[request.0 as usize].error = Some(error),
            Output::Done { .. } => {}
            other => panic!("nobody asked for {other:?}"),
        }
        running -= 1;
        if running == 0 {
            running = next_round(&mut heard);
        }
    };
    let now = Cell::new(Duration::from_secs(1));
    let clock = || now.replace(now.get() + Duration::from_millis(1));
    pollster::block_on(Service::new(chat_model(), Box::new(watched)).serve(inputs, clock, emit));
    (heard, plans.take())
}

fn chat_model() -> Arc<ChatModel> {
    let file =
        |name| fs::read_to_string(fixture::folder("llama").join(name)).expect("the fixture is in the repository");
    let files = HuggingFaceFiles {
        config_json: file("config.json"),
        tokenizer_json: file("tokenizer.json"),
        ..HuggingFaceFiles::default()
    };
    Arc::new(ChatModel::from_hugging_face("tiny", files).expect("the fixture is a model"))
}
