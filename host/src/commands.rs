//! What the scheduler wants done.
//!
//! Carrying out one command may tell the scheduler something new (a stop string was met, an executor can't be replaced). What
//! it then wants is done after what it wanted before: steps are issued in the order of their numbers.

use crate::errors;
use crate::executors::Lost;
use crate::io::Output;
use crate::requests::{Ending, Name};
use crate::service::{Outside, Service};
use std::collections::VecDeque;
use tilewright_api::ApiError;
use tilewright_plan::Sampled;
use tilewright_scheduler::{Command, Event, FinishReason, RejectReason};

impl Service {
    /// Tells the scheduler, and does what it wants.
    pub(crate) fn schedule(&mut self, event: Event, outside: &mut Outside<'_>) {
        let now = outside.now();
        let mut commands: VecDeque<Command> = self.scheduler.handle(event, now).into();
        while let Some(command) = commands.pop_front() {
            match command {
                Command::RunStep { epoch, step, plan } => self.executors.issue(epoch, step, plan, now),
                Command::Emit { client, request, seq: _, tokens } => {
                    if self.emit((client, request), &tokens, outside) {
                        commands.extend(self.scheduler.handle(Event::Cancel { client, request }, now));
                    }
                }
                Command::Finish { client, request, reason, .. } => self.finish((client, request), reason, outside),
                Command::Reject { client, request, reason } => self.reject((client, request), &reason, outside),
                Command::WantExecutor { epoch } => {
                    if let Lost::ForGood(error) = self.executors.want(epoch) {
                        for event in self.cancel_all(&error) {
                            commands.extend(self.scheduler.handle(event, now));
                        }
                    }
                }
            }
        }
    }

    /// Ends every live request with this error.
    pub(crate) fn end_all(&mut self, error: &ApiError, outside: &mut Outside<'_>) {
        for event in self.cancel_all(error) {
            self.schedule(event, outside);
        }
    }

    fn cancel_all(&mut self, error: &ApiError) -> Vec<Event> {
        let cancel = |(&(client, request), live): (&Name, &mut crate::requests::Request)| {
            live.ending.get_or_insert_with(|| Ending::Error(error.clone()));
            Event::Cancel { client, request }
        };
        self.requests.iter_mut().map(cancel).collect()
    }

    /// Sends what the tokens add to the answer; says whether they end it.
    fn emit(&mut self, name: Name, tokens: &[Sampled], outside: &mut Outside<'_>) -> bool {
        let Some(request) = self.requests.get_mut(&name).filter(|request| request.ending.is_none()) else {
            return false;
        };
        let (chunks, stopped) = request.push(tokens, (outside.clock)());
        if stopped {
            request.ending = Some(Ending::StopString);
        }
        send(name, chunks, outside);
        stopped
    }

    fn finish(&mut self, name: Name, reason: FinishReason, outside: &mut Outside<'_>) {
        let Some(mut request) = self.requests.remove(&name) else { return };
        let ending = request.ending.take().or_else(|| {
            Some(Ending::Error(match reason {
                FinishReason::Stop | FinishReason::Length | FinishReason::Cancelled => return None,
                FinishReason::DeviceLost => errors::lost_twice(),
                FinishReason::CapacityReduced => errors::capacity_reduced(self.max_context() as usize),
                _ => self.executors.last_failure(),
            }))
        });
        let reason = match ending {
            None => reason,
            Some(Ending::StopString) => FinishReason::Stop,
            Some(Ending::Gone) => {
                (outside.ended)(request.report(name, FinishReason::Cancelled));
                return;
            }
            Some(Ending::Error(error)) => {
                outside.error(name, error);
                let reason = if reason == FinishReason::Cancelled { FinishReason::Failed } else { reason };
                (outside.ended)(request.report(name, reason));
                return;
            }
        };
        let last = request.finish(match reason {
            FinishReason::Stop => tilewright_api::FinishReason::Stop,
            FinishReason::Length => tilewright_api::FinishReason::Length,
            _ => tilewright_api::FinishReason::Cancelled,
        });
        send(name, last, outside);
        let (client, id) = name;
        (outside.emit)(Output::Done { client, request: id });
        (outside.ended)(request.report(name, reason));
    }

    fn reject(&mut self, name: Name, reason: &RejectReason, outside: &mut Outside<'_>) {
        self.requests.remove(&name);
        outside.error(name, errors::rejected(reason));
    }
}

fn send((client, request): Name, chunks: Vec<(u64, serde_json::Value)>, outside: &mut Outside<'_>) {
    for (seq, body) in chunks {
        (outside.emit)(Output::Chunk { client, request, seq, body });
    }
}
