//! Steps under way, a lost executor, and making another.
//!
//! An executor that is lost takes its steps along. If there is a source, another one is made while requests wait in the
//! scheduler, which then has them computed again from their tokens; the loss is a pause to them and no error. If there is
//! none, or it fails, they end with an error at once.

use crate::errors;
use crate::io::Output;
use crate::load::LoadError;
use crate::service::{Outside, Service};
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use std::rc::Rc;
use std::time::Duration;
use tilewright_api::ApiError;
use tilewright_plan::{Capacity, Executor, ExecutorError, StepId, StepOutput, StepPlan};
use tilewright_scheduler::{Event, Micros, StepFailure};

type Source = Box<dyn FnMut() -> LocalBoxFuture<'static, Result<Box<dyn Executor>, LoadError>>>;
type Pause = Rc<dyn Fn() -> LocalBoxFuture<'static, ()>>;

/// The executor of the moment and the way to the next.
pub(crate) struct Executors {
    current: Option<Box<dyn Executor>>,
    epoch: u64,
    source: Option<Source>,
    making: bool,
    device: String,
    capacity: Capacity,
    /// When the last step's result came.
    last_end: Duration,
    /// Why the last step failed, or the executor was lost.
    failure: ExecutorError,
    pub(crate) pause: Option<Pause>,
    pub(crate) under_way: FuturesUnordered<LocalBoxFuture<'static, Arrived>>,
}

/// What was under way and has come.
pub(crate) enum Arrived {
    /// A step's result.
    Step { epoch: u64, step: StepId, issued: Duration, result: Result<StepOutput, ExecutorError> },
    /// Another executor.
    Executor { epoch: u64, result: Result<Box<dyn Executor>, LoadError> },
}

/// Whether there will be another executor.
pub(crate) enum Lost {
    /// It is being made.
    ForNow,
    /// Nobody knows how.
    ForGood(ApiError),
}

impl Executors {
    pub(crate) fn new(executor: Box<dyn Executor>) -> Self {
        Self {
            device: executor.device(),
            capacity: executor.capacity(),
            current: Some(executor),
            epoch: 0,
            source: None,
            making: false,
            last_end: Duration::ZERO,
            failure: ExecutorError::Lost { reason: "it was never there".to_owned() },
            pause: None,
            under_way: FuturesUnordered::new(),
        }
    }

    pub(crate) fn set_source(&mut self, source: Source) {
        self.source = Some(source);
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    pub(crate) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// What a request hears that ended because of the last failure.
    pub(crate) fn last_failure(&self) -> ApiError {
        match &self.failure {
            ExecutorError::Lost { reason } | ExecutorError::Moved { reason } => errors::lost(reason),
            other => errors::step_failed(other),
        }
    }

    /// Why the last step failed, or the executor was lost.
    pub(crate) fn failure(&self) -> &ExecutorError {
        &self.failure
    }

    pub(crate) fn issue(&mut self, epoch: u64, step: StepId, plan: StepPlan, issued: Duration) {
        let Some(executor) = self.current.as_mut().filter(|_| epoch == self.epoch) else { return };
        let result = executor.issue(step, plan);
        let pause = self.pause.clone();
        let arrived = async move {
            let result = result.await;
            if let Some(pause) = pause {
                pause().await;
            }
            Arrived::Step { epoch, step, issued, result }
        };
        self.under_way.push(arrived.boxed_local());
    }

    /// The current executor is gone; the next one has this epoch.
    pub(crate) fn want(&mut self, epoch: u64) -> Lost {
        self.current = None;
        self.epoch = epoch;
        match self.retry() {
            Ok(()) => Lost::ForNow,
            Err(error) => Lost::ForGood(error),
        }
    }

    /// Sees to it that there is an executor or one is being made.
    pub(crate) fn retry(&mut self) -> Result<(), ApiError> {
        if self.current.is_some() || self.making {
            return Ok(());
        }
        let Some(source) = &mut self.source else { return Err(self.last_failure()) };
        let (epoch, executor) = (self.epoch, source());
        self.making = true;
        self.under_way.push(executor.map(move |result| Arrived::Executor { epoch, result }).boxed_local());
        Ok(())
    }
}

impl Service {
    /// Somebody knows better than the steps under way that the executor is to be replaced.
    pub(crate) fn executor_gone(&mut self, reason: String, outside: &mut Outside<'_>) {
        if self.executors.current.is_none() {
            return;
        }
        self.executors.failure = ExecutorError::Moved { reason };
        self.schedule(Event::ExecutorLost { epoch: self.executors.epoch, moved: true }, outside);
    }

    pub(crate) fn arrived(&mut self, arrived: Arrived, outside: &mut Outside<'_>) {
        match arrived {
            Arrived::Step { epoch, .. } if epoch != self.executors.epoch => {}
            Arrived::Step { epoch, step, issued, result } => {
                // Steps are issued ahead, and wait for the one before.
                let now = (outside.clock)();
                let elapsed = now.saturating_sub(issued.max(self.executors.last_end));
                self.executors.last_end = now;
                let elapsed = Micros(elapsed.as_micros() as u64);
                let event = match result {
                    Ok(StepOutput { sampled: tokens, .. }) => Event::StepDone { epoch, step, tokens, elapsed },
                    Err(error) => {
                        tracing::warn!(%step, %error, "a step failed");
                        let event = match &error {
                            error if error.is_loss() => {
                                let moved = matches!(error, ExecutorError::Moved { .. });
                                Event::ExecutorLost { epoch, moved }
                            }
                            ExecutorError::NotFinite(sequence) => {
                                Event::StepFailed { epoch, step, failure: StepFailure::NotFinite(*sequence) }
                            }
                            _ => Event::StepFailed { epoch, step, failure: StepFailure::Refused },
                        };
                        self.executors.failure = error;
                        event
                    }
                };
                self.schedule(event, outside);
            }
            Arrived::Executor { epoch, result } => {
                self.executors.making = false;
                match result {
                    Ok(executor) => {
                        let capacity = executor.capacity();
                        (self.executors.device, self.executors.capacity) = (executor.device(), capacity);
                        self.executors.current = Some(executor);
                        (outside.emit)(Output::ExecutorReady { device: self.executors.device.clone() });
                        self.schedule(Event::ExecutorReady { epoch, capacity }, outside);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no new executor could be made");
                        self.end_all(&errors::not_restored(&error), outside);
                    }
                }
            }
        }
    }
}
