//! The parts together, and the one task that drives them.
//!
//! [`Service::serve`] waits for two things at once, the next input and the next result of the executor, and handles
//! whichever comes. There is no timer and no thread: the end of a step is what starts the next one. Inputs go first, so
//! that a cancel is never later than the step it would have saved.

use crate::errors;
use crate::executors::{Arrived, Executors};
use crate::io::{Input, Output, RequestReport};
use crate::load::LoadError;
use crate::requests::{Ending, Name, Request, Requests};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FusedStream, Stream, StreamExt};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tilewright_api::{ApiError, ChatModel, Completion, Endpoint, Limits};
use tilewright_engine::{MemoryUse, ModelConfig};
use tilewright_plan::{Capacity, Executor};
use tilewright_scheduler::{ClientId, Config, Event, Millis, Priority, RequestId, RequestSpec, Scheduler};

/// A model that answers requests. See [`load`](crate::load()).
pub struct Service {
    model: Arc<ChatModel>,
    config: Option<ModelConfig>,
    memory: Option<MemoryUse>,
    pub(crate) scheduler: Scheduler,
    pub(crate) executors: Executors,
    pub(crate) requests: Requests,
    on_ended: Option<Box<dyn FnMut(RequestReport)>>,
    /// Completions begun, for their ids and seeds.
    begun: u64,
}

/// What a service has from outside while it runs.
pub(crate) struct Outside<'a> {
    /// Time since the Unix epoch.
    pub(crate) clock: &'a dyn Fn() -> Duration,
    pub(crate) emit: &'a mut dyn FnMut(Output),
    pub(crate) ended: &'a mut dyn FnMut(RequestReport),
}

impl Outside<'_> {
    /// The time, as coarse as scheduling needs it.
    pub(crate) fn now(&self) -> Millis {
        Millis((self.clock)().as_millis() as u64)
    }

    pub(crate) fn error(&mut self, (client, request): Name, error: ApiError) {
        (self.emit)(Output::Error { client, request: Some(request), error });
    }
}

impl Service {
    /// A service of parts made elsewhere; [`load`](crate::load()) makes them from files.
    pub fn new(model: Arc<ChatModel>, executor: Box<dyn Executor>) -> Self {
        let mut scheduler = Scheduler::new(Config::default());
        scheduler.handle(Event::ExecutorReady { epoch: 0, capacity: executor.capacity() }, Millis(0));
        Self {
            model,
            config: None,
            memory: None,
            scheduler,
            executors: Executors::new(executor),
            requests: Requests::new(),
            on_ended: None,
            begun: 0,
        }
    }

    pub(crate) fn with_details(mut self, config: ModelConfig, memory: MemoryUse) -> Self {
        (self.config, self.memory) = (Some(config), Some(memory));
        self
    }

    /// How to make an executor of the same model when this one is lost. Running requests then wait for it and go on, with
    /// the very tokens that they would have had. Without a source, or when it fails, they end with an error of the code
    /// `device_lost`; after a failure the next request asks the source again.
    #[must_use]
    pub fn with_executor_source<F>(mut self, mut source: impl FnMut() -> F + 'static) -> Self
    where
        F: Future<Output = Result<Box<dyn Executor>, LoadError>> + 'static,
    {
        self.executors.set_source(Box::new(move || Box::pin(source())));
        self
    }

    /// Something to wait for after each step: in a browser, a turn of the event loop where an executor computes without ever
    /// giving way to it (the CPU's), as messages would not be heard otherwise.
    #[must_use]
    pub fn with_pause_after_steps(mut self, pause: impl Fn() -> LocalBoxFuture<'static, ()> + 'static) -> Self {
        self.executors.pause = Some(Rc::new(pause));
        self
    }

    /// Hears of every request that ends, errors included, after its client.
    #[must_use]
    pub fn on_ended(mut self, listener: impl FnMut(RequestReport) + 'static) -> Self {
        self.on_ended = Some(Box::new(listener));
        self
    }

    /// The text side: tokenizer, chat template, defaults.
    pub fn model(&self) -> &Arc<ChatModel> {
        &self.model
    }

    /// The model's sizes; `None` if the service was made of parts.
    pub fn config(&self) -> Option<&ModelConfig> {
        self.config.as_ref()
    }

    /// What the model takes; `None` if the service was made of parts.
    pub fn memory(&self) -> Option<MemoryUse> {
        self.memory
    }

    /// What computes, for a person to read; of a lost executor its last name.
    pub fn device(&self) -> &str {
        self.executors.device()
    }

    /// What the executor can hold; of a lost executor what it held.
    pub fn capacity(&self) -> Capacity {
        self.executors.capacity()
    }

    /// Most tokens that a request may have, prompt included.
    pub fn max_context(&self) -> u32 {
        let capacity = self.capacity();
        self.scheduler.limit().map_or(capacity.max_context, |limit| limit.min(capacity.max_context as usize) as u32)
    }

    /// Serves until [`Input::Shutdown`], or until `inputs` end and all requests are done.
    ///
    /// `clock` tells the time since the Unix epoch and never goes backwards: answers bear it as `created`, requests without a
    /// seed get theirs from it, and timings are as fine as it is.
    pub async fn serve(
        mut self,
        inputs: impl Stream<Item = Input>,
        clock: impl Fn() -> Duration,
        mut emit: impl FnMut(Output),
    ) {
        let mut listener = self.on_ended.take();
        let mut ended = |report| {
            if let Some(listener) = &mut listener {
                listener(report);
            }
        };
        let mut outside = Outside { clock: &clock, emit: &mut emit, ended: &mut ended };
        self.drive(inputs, &mut outside, false).await;
    }

    /// Serves as [`serve`](Self::serve) does; with `until_idle`, until no request is left after the first input.
    pub(crate) async fn drive(
        &mut self,
        inputs: impl Stream<Item = Input>,
        outside: &mut Outside<'_>,
        until_idle: bool,
    ) {
        enum Next {
            Input(Option<Input>),
            Arrived(Arrived),
        }
        let mut inputs = pin!(inputs.fuse());
        let mut heard = false;
        loop {
            if self.requests.is_empty() && (inputs.is_terminated() || (until_idle && heard)) {
                return;
            }
            let next = futures_util::select_biased! {
                input = inputs.next() => Next::Input(input),
                arrived = self.executors.under_way.select_next_some() => Next::Arrived(arrived),
                complete => return,
            };
            match next {
                Next::Input(None) => {}
                Next::Input(Some(Input::Shutdown)) => {
                    self.end_all(&errors::shut_down(), outside);
                    return;
                }
                Next::Input(Some(input)) => self.input(input, outside),
                Next::Arrived(arrived) => self.arrived(arrived, outside),
            }
            heard = true;
        }
    }

    fn input(&mut self, input: Input, outside: &mut Outside<'_>) {
        let event = match input {
            Input::Hello { client } => Event::ClientHello { client },
            Input::Gone { client } => {
                for (_, request) in self.requests.iter_mut().filter(|((owner, _), _)| *owner == client) {
                    request.ending = Some(Ending::Gone);
                }
                Event::ClientGone { client }
            }
            Input::State { client, visible, focused, frozen } => {
                Event::ClientState { client, visible, focused, frozen }
            }
            Input::Cancel { client, request } => Event::Cancel { client, request },
            Input::Ack { client, request, seq } => Event::Ack { client, request, seq },
            Input::Submit { client, request, endpoint, body } => {
                return self.submit(client, request, endpoint, &body, outside);
            }
            Input::Inspect { client, id } => {
                return (outside.emit)(Output::Snapshot { client, id, snapshot: Box::new(self.scheduler.snapshot()) });
            }
            Input::Shutdown => return,
        };
        self.schedule(event, outside);
    }

    fn submit(
        &mut self,
        client: ClientId,
        request: RequestId,
        endpoint: Endpoint,
        body: &serde_json::Value,
        outside: &mut Outside<'_>,
    ) {
        let name = (client, request);
        if self.requests.contains_key(&name) {
            return outside.error(name, errors::duplicate(request));
        }
        if let Err(error) = self.executors.retry() {
            return outside.error(name, error);
        }
        let now = (outside.clock)();
        self.begun += 1;
        let nonce = mix(mix(now.as_micros() as u64) ^ self.begun);
        let limits = Limits { max_context: self.max_context() };
        let prepared = match self.model.prepare_at(endpoint, body, limits, nonce, now.as_secs() as i64) {
            Ok(prepared) => prepared,
            Err(error) => return outside.error(name, error),
        };
        let prefix = match endpoint {
            Endpoint::ChatCompletions => "chatcmpl",
            Endpoint::Completions => "cmpl",
        };
        let id = format!("{prefix}-{nonce:016x}");
        let completion = Completion::new(Arc::clone(&self.model), &prepared, id, now.as_secs());
        let spec = RequestSpec {
            sampling: prepared.sampling,
            min_tokens: prepared.min_tokens,
            // The model's own end ids are among them, unless the request ignores them.
            stop_ids: prepared.stop_ids,
            priority: match prepared.priority {
                tilewright_api::request::Priority::Interactive => Priority::Interactive,
                tilewright_api::request::Priority::Batch => Priority::Batch,
            },
            cache_salt: prepared.cache_salt,
            ..RequestSpec::new(prepared.prompt.clone(), prepared.max_tokens)
        };
        self.requests.insert(name, Request::new(completion, prepared.prompt, now));
        self.schedule(Event::Submit { client, request, spec }, outside);
    }
}

/// Spreads a number over all 64 bits: the finalizer of splitmix64 (Steele, Lea, Flood 2014).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
