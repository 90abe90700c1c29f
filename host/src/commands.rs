//! What the scheduler wants done.
//!
//! Carrying out one command may tell the scheduler something new (a stop string was met, an executor can't be replaced). What
//! it then wants is done after what it wanted before: steps are issued in the order of their numbers.

use crate::errors;
use crate::executors::Lost;
use crate::io::Output;
use crate::requests::{Ending, Name, send};
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
                Command::RunStep { epoch, step, plan } => {
                    self.executors.issue(epoch, step, plan, (outside.clock)());
                }
                Command::Emit { client, request, seq, tokens } => {
                    if let Some(event) = self.emit((client, request), seq, &tokens, outside) {
                        commands.extend(self.scheduler.handle(event, now));
                    }
                }
                Command::Finish { client, request, reason, cached_tokens } => {
                    self.finish((client, request), reason, cached_tokens, outside);
                }
                Command::Reject { client, request, reason } => self.reject((client, request), &reason, outside),
                Command::WantExecutor { epoch } => match self.executors.want(epoch) {
                    Lost::ForNow => {
                        let reason = self.executors.failure().to_string();
                        (outside.emit)(Output::ExecutorGone { reason });
                    }
                    Lost::ForGood(error) => {
                        for event in self.cancel_all(&error) {
                            commands.extend(self.scheduler.handle(event, now));
                        }
                    }
                },
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

    /// Sends what the tokens add to the answer. Gives what the scheduler has to know of it: that they end it, or that
    /// they are read already because there was nothing to send.
    fn emit(&mut self, name: Name, seq: u64, tokens: &[Sampled], outside: &mut Outside<'_>) -> Option<Event> {
        let live = self.requests.get_mut(&name).filter(|live| live.ending.is_none())?;
        let (chunks, stopped) = live.push(tokens, (outside.clock)());
        let read = live.acks.emitted(seq, chunks.last().map(|chunk| chunk.seq));
        if stopped {
            live.ending = Some(Ending::StopString);
        }
        send(name, chunks, outside);
        let (client, request) = name;
        let read = read.map(|seq| Event::Ack { client, request, seq });
        if stopped { Some(Event::Cancel { client, request }) } else { read }
    }

    fn finish(&mut self, name: Name, reason: FinishReason, cached_tokens: u32, outside: &mut Outside<'_>) {
        let Some(mut live) = self.requests.remove(&name) else { return };
        let ending = live.ending.take().or_else(|| {
            Some(Ending::Error(match reason {
                FinishReason::Stop | FinishReason::Length | FinishReason::Cancelled => return None,
                FinishReason::Displaced => errors::displaced(),
                FinishReason::DeviceLost => errors::lost_twice(),
                FinishReason::CapacityReduced => errors::capacity_reduced(self.max_context() as usize),
                _ => self.executors.last_failure(),
            }))
        });
        match ending {
            None => live.end(name, reason, cached_tokens, outside),
            Some(Ending::StopString) => live.end(name, FinishReason::Stop, cached_tokens, outside),
            Some(Ending::Gone) => (outside.ended)(live.report(name, FinishReason::Cancelled)),
            Some(Ending::Error(error)) => {
                outside.error(name, error);
                let reason = if reason == FinishReason::Cancelled { FinishReason::Failed } else { reason };
                (outside.ended)(live.report(name, reason));
            }
        }
    }

    fn reject(&mut self, name: Name, reason: &RejectReason, outside: &mut Outside<'_>) {
        self.requests.remove(&name);
        outside.error(name, errors::rejected(reason));
    }
}
