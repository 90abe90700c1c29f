//! The parts together, and the one task that drives them.
//!
//! [`Service::serve`] waits for two things at once, the next input and the next result of the executor, and handles
//! whichever comes. There is no timer and no thread: the end of a step is what starts the next one. Inputs go first, so
//! that a cancel is never later than the step it would have saved, but not for ever: whoever never stops asking must not
//! keep the others' answers from coming.

use crate::activity::Activity;
use crate::errors;
use crate::executors::{Arrived, Executors};
use crate::io::{Input, Output, RequestReport};
use crate::load::LoadError;
use crate::requests::{Ending, Name, Requests};
use crate::submit::Submission;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FusedStream, Stream, StreamExt};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tilewright_api::{ApiError, ChatModel};
use tilewright_engine::MemoryUse;
use tilewright_plan::{Capacity, Executor};
use tilewright_scheduler::{Config, Event, Millis, Scheduler};

/// So many inputs are handled before a step's result that has come is.
const MOST_INPUTS: usize = 64;

/// A model that answers requests. See [`load`](crate::load()).
pub struct Service {
    pub(crate) model: Arc<ChatModel>,
    family: Option<String>,
    memory: Option<MemoryUse>,
    pub(crate) scheduler: Scheduler,
    pub(crate) executors: Executors,
    pub(crate) requests: Requests,
    activity: Activity,
    on_ended: Option<Box<dyn FnMut(RequestReport)>>,
    /// Completions begun, for their ids and seeds.
    pub(crate) begun: u64,
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
            family: None,
            memory: None,
            scheduler,
            executors: Executors::new(executor),
            requests: Requests::new(),
            activity: Activity::default(),
            on_ended: None,
            begun: 0,
        }
    }

    pub(crate) fn with_details(mut self, family: String, memory: MemoryUse) -> Self {
        (self.family, self.memory) = (Some(family), Some(memory));
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

    /// Is busy while anybody waits for an answer, for work that gives way.
    #[must_use]
    pub fn with_activity(mut self, activity: Activity) -> Self {
        self.activity = activity;
        self
    }

    /// The text side: tokenizer, chat template, defaults.
    pub fn model(&self) -> &Arc<ChatModel> {
        &self.model
    }

    /// The name of the model's family; `None` if the service was made of parts.
    pub fn family(&self) -> Option<&str> {
        self.family.as_deref()
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
        let mut in_a_row = 0;
        loop {
            if self.requests.is_empty() && (inputs.is_terminated() || (until_idle && heard)) {
                return;
            }
            let next = if in_a_row < MOST_INPUTS {
                futures_util::select_biased! {
                    input = inputs.next() => Next::Input(input),
                    arrived = self.executors.under_way.select_next_some() => Next::Arrived(arrived),
                    complete => return,
                }
            } else {
                futures_util::select_biased! {
                    arrived = self.executors.under_way.select_next_some() => Next::Arrived(arrived),
                    input = inputs.next() => Next::Input(input),
                    complete => return,
                }
            };
            in_a_row = if matches!(next, Next::Input(_)) { in_a_row + 1 } else { 0 };
            match next {
                Next::Input(None) => {}
                Next::Input(Some(Input::Shutdown)) => {
                    self.end_all(&errors::shut_down(), outside);
                    return;
                }
                Next::Input(Some(input)) => self.input(input, outside),
                Next::Arrived(arrived) => self.arrived(arrived, outside),
            }
            self.activity.set(!self.requests.is_empty());
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
            Input::Ack { client, request, seq: chunk } => {
                let live = self.requests.get_mut(&(client, request));
                let Some(seq) = live.and_then(|live| live.acks.read(chunk)) else { return };
                Event::Ack { client, request, seq }
            }
            Input::Submit { client, request, endpoint, body, resume } => {
                return self.submit((client, request), Submission { endpoint, body, resume }, outside);
            }
            Input::Capacity { blocks } => Event::Capacity { blocks: blocks.min(self.capacity().blocks) },
            Input::ExecutorGone { reason } => return self.executor_gone(reason, outside),
            Input::Inspect { client, id } => {
                return (outside.emit)(Output::Snapshot { client, id, snapshot: Box::new(self.scheduler.snapshot()) });
            }
            Input::Shutdown => return,
        };
        self.schedule(event, outside);
    }
}
