//! An executor that computes somewhere else: in a worker that a page owns, behind a `MessagePort`.
//!
//! What crosses is bytes, a step's plan one way and its output back, so that both sides are tested without a browser. A
//! plan is sent when it is issued and not when its future is first polled: the far side computes in the order in which
//! things arrive. The form is `postcard`'s, in which a plan of one decoding row has less than 200 bytes. Both sides come from
//! one build, so there is no version in it, and bytes that can't be read are a loss.

use crate::load::{LoadError, Weights};
use futures_util::future::{FutureExt, LocalBoxFuture};
use serde::{Deserialize, Serialize};
use tilewright_engine::{MemoryUse, StepCost};
use tilewright_formats::{FileStream, FormatError, Header, TensorSink, gguf};
use tilewright_plan::{Capacity, Executor, ExecutorError, StepFuture, StepId, StepOutput, StepPlan};

/// The way to the far side.
pub trait Line {
    /// Sends a question at once; resolves with its answer, or says that there will be none.
    fn ask(&self, question: Vec<u8>) -> LocalBoxFuture<'static, Result<Vec<u8>, ExecutorError>>;
}

/// What the far side says once it has loaded a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Description {
    capacity: Capacity,
    device: String,
    family: String,
    memory: MemoryUse,
    cost: StepCost,
    /// The metadata of its GGUF file, as a GGUF file without tensors.
    gguf: Option<Vec<u8>>,
}

/// The near side: an [`Executor`] like any other.
pub struct RemoteExecutor {
    line: Box<dyn Line>,
    capacity: Capacity,
    device: String,
}

impl RemoteExecutor {
    /// Over an open line, from what the far side said of itself.
    pub fn open(line: Box<dyn Line>, description: &[u8]) -> Result<Weights, LoadError> {
        let description: Description =
            postcard::from_bytes(description).map_err(|error| LoadError::Remote(error.to_string()))?;
        let Description { capacity, device, family, memory, cost, gguf } = description;
        let gguf = gguf.map(|bytes| metadata_of(&bytes)).transpose()?.flatten();
        let executor = Box::new(Self { line, capacity, device });
        Ok(Weights { executor, tunable: None, family, gguf, memory, cost })
    }
}

impl Executor for RemoteExecutor {
    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn issue(&mut self, step: StepId, plan: StepPlan) -> StepFuture {
        let answer = match postcard::to_allocvec(&(step, plan)) {
            Ok(question) => self.line.ask(question),
            Err(error) => std::future::ready(Err(unreadable("plan", &error))).boxed_local(),
        };
        async move { postcard::from_bytes(&answer.await?).map_err(|error| unreadable("answer", &error))? }.boxed_local()
    }

    fn device(&self) -> String {
        self.device.clone()
    }
}

/// The far side: an executor that answers questions.
pub struct Answering {
    executor: Box<dyn Executor>,
    description: Vec<u8>,
}

impl Answering {
    /// Of a loaded model.
    pub fn new(weights: Weights) -> Result<Self, LoadError> {
        let Weights { executor, family, gguf, memory, cost, .. } = weights;
        let description = Description {
            capacity: executor.capacity(),
            device: executor.device(),
            family,
            memory,
            cost,
            gguf: gguf.map(|metadata| gguf::write(&metadata, &[])).transpose()?,
        };
        let description = postcard::to_allocvec(&description).map_err(|error| LoadError::Remote(error.to_string()))?;
        Ok(Self { executor, description })
    }

    /// For [`RemoteExecutor::open`].
    pub fn description(&self) -> &[u8] {
        &self.description
    }

    /// Issues the step that was asked for; what it resolves with is the answer.
    pub fn answer(&mut self, question: &[u8]) -> LocalBoxFuture<'static, Vec<u8>> {
        let result = match postcard::from_bytes::<(StepId, StepPlan)>(question) {
            Ok((step, plan)) => self.executor.issue(step, plan),
            Err(error) => std::future::ready(Err(unreadable("plan", &error))).boxed_local(),
        };
        async move {
            let result: Result<StepOutput, ExecutorError> = result.await;
            // Writing to memory can't fail; an empty answer reads as a loss.
            postcard::to_allocvec(&result).unwrap_or_default()
        }
        .boxed_local()
    }
}

fn unreadable(what: &str, error: &postcard::Error) -> ExecutorError {
    ExecutorError::Lost { reason: format!("a step's {what} could not be read on its way between workers: {error}") }
}

fn metadata_of(bytes: &[u8]) -> Result<Option<gguf::Metadata>, LoadError> {
    struct Nothing;
    impl TensorSink for Nothing {
        type Error = FormatError;
        fn header(&mut self, _: &Header) -> Result<(), FormatError> {
            Ok(())
        }
        fn data(&mut self, _: usize, _: u64, _: &[u8]) -> Result<(), FormatError> {
            Ok(())
        }
    }
    let mut stream = FileStream::gguf("the model's metadata", Some(bytes.len() as u64));
    stream.push(bytes, &mut Nothing)?;
    Ok(stream.finish()?.gguf)
}
