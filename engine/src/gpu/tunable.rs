//! A GPU executor whose kernels may be chosen anew while it is in use.
//!
//! Steps and a tuner share it. A choice is compiled first, while steps go on with what was there; it counts from the next
//! step on, once the device has said that it takes it. A variant that is refused changes nothing.

use super::GpuError;
use super::ahead::Compiling;
use super::dispatch::Dispatch;
use super::executor::{GpuExecutor, form_of};
use super::tuned_op::TunedOp;
use super::{Gpu, rehearsal::Rehearsal};
use crate::kernels::KernelVariant;
use std::cell::RefCell;
use std::rc::Rc;
use thiserror::Error;
use tilewright_plan::{Capacity, Executor, StepFuture, StepId, StepPlan};

/// A [`GpuExecutor`] that a tuner may change. Clones share it.
#[derive(Clone)]
pub struct TunableExecutor(Rc<RefCell<GpuExecutor>>);

/// An operation of a step, and how it is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operation {
    /// What.
    pub op: TunedOp,
    /// How often in a step.
    pub times: u32,
    /// What is used where nothing was chosen.
    pub default: KernelVariant,
    /// What is used now.
    pub current: KernelVariant,
}

/// Why a choice was not made.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// The device's compiler refused it.
    #[error("the device refused {kernel}: {reason}")]
    Refused {
        /// Which.
        kernel: &'static str,
        /// What the device said.
        reason: String,
    },
    /// The device itself failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

impl TunableExecutor {
    pub(crate) fn new(executor: GpuExecutor) -> Self {
        Self(Rc::new(RefCell::new(executor)))
    }

    /// What computes.
    pub fn gpu(&self) -> Gpu {
        self.0.borrow().gpu.clone()
    }

    /// What it can hold.
    pub fn limits(&self) -> Capacity {
        self.0.borrow().capacity
    }

    /// The operations of a step of so many rows, of which `outputs` are sampled. Those without a choice are left out.
    pub fn operations(&self, rows: u32, outputs: u32) -> Vec<Operation> {
        let executor = self.0.borrow();
        let mut operations: Vec<Operation> = Vec::new();
        let body = executor.bodies[form_of(rows) as usize].iter().map(|dispatch| (dispatch, rows));
        let head = executor.heads[form_of(outputs) as usize].iter().map(|dispatch| (dispatch, outputs));
        for (dispatch, rows) in body.chain(head).chain([(executor.sampler.scan(), outputs)]) {
            let Some(op) = TunedOp::of(dispatch, rows) else { continue };
            if let Some(known) = operations.iter_mut().find(|known| known.op == op) {
                known.times += 1;
                continue;
            }
            let (default, current) = (
                dispatch.default_variant(&executor.gpu, rows),
                dispatch.variant(&executor.gpu, &executor.pipelines, rows),
            );
            operations.push(Operation { op, times: 1, default, current });
        }
        operations
    }

    /// What computes an operation now; `None` where no step has it.
    pub fn current(&self, op: &TunedOp) -> Option<KernelVariant> {
        let executor = self.0.borrow();
        let dispatches = executor.bodies.iter().chain(&executor.heads).flatten().chain([executor.sampler.scan()]);
        let mut concerned = dispatches.filter(|dispatch| TunedOp::of(dispatch, op.rows()) == Some(*op));
        concerned.next().map(|dispatch| dispatch.variant(&executor.gpu, &executor.pipelines, op.rows()))
    }

    /// Has operations computed by other variants from the next step on; with `None`, by the default. All of them or, when the
    /// device refuses one, none.
    ///
    /// # Errors
    /// When the device refuses one, or fails.
    pub async fn choose(&self, choices: &[(TunedOp, Option<KernelVariant>)]) -> Result<(), ChoiceError> {
        // Keeps what is compiled beside the steps until it is used.
        let ahead = self.compile_ahead(choices);
        let _ahead = match ahead {
            Some(compiling) => Some(compiling.await),
            None => None,
        };
        let asked = {
            let executor = &mut *self.0.borrow_mut();
            let (gpu, pipelines) = (&executor.gpu, &mut executor.pipelines);
            for &(op, variant) in choices {
                let Some(variant) = variant else { continue };
                let dispatches = executor.bodies.iter_mut().chain(&mut executor.heads).flatten();
                for dispatch in dispatches.chain(executor.sampler.all()) {
                    if TunedOp::of(dispatch, op.rows()) == Some(op) {
                        dispatch.compile(gpu, pipelines, variant);
                    }
                }
            }
            pipelines.take_asked()
        };
        let answers = asked.wait().await;
        let executor = &mut *self.0.borrow_mut();
        if let Some((kernel, reason)) = executor.pipelines.settle(answers) {
            return Err(ChoiceError::Refused { kernel, reason });
        }
        for &(op, variant) in choices {
            executor.pipelines.choices.set(op, variant);
        }
        Ok(executor.gpu.check()?)
    }

    fn compile_ahead(&self, choices: &[(TunedOp, Option<KernelVariant>)]) -> Option<Compiling> {
        let executor = &mut *self.0.borrow_mut();
        let sampler = executor.sampler.all().map(|dispatch| &*dispatch);
        let dispatches: Vec<_> = executor.bodies.iter().chain(&executor.heads).flatten().chain(sampler).collect();
        let of = |&(op, variant): &(TunedOp, Option<KernelVariant>)| {
            let concerned = dispatches.iter().filter(move |dispatch| TunedOp::of(dispatch, op.rows()) == Some(op));
            concerned.filter_map(move |dispatch| Some((&dispatch.kinds, dispatch.meant(variant?), &dispatch.shape)))
        };
        executor.pipelines.compile_ahead(&executor.gpu, choices.iter().flat_map(of))
    }

    /// Submits a step that serves nobody; `false` while steps are in flight that do. See [`Rehearsal`].
    pub fn rehearse(&self, rehearsal: &Rehearsal) -> bool {
        self.0.borrow_mut().rehearse(rehearsal)
    }
}

impl Dispatch {
    /// Of a scan's variant, what picks from its parts.
    fn meant(&self, variant: KernelVariant) -> KernelVariant {
        if matches!(self.kernel, super::dispatch::Kernel::Pick) { variant.pick() } else { variant }
    }

    /// Compiles a variant, unless that was done before; of a scan's, what picks from its parts.
    fn compile(&mut self, gpu: &Gpu, pipelines: &mut super::pipelines::Pipelines, variant: KernelVariant) {
        let variant = self.meant(variant);
        if !self.pipelines.iter().any(|(known, _)| *known == variant) {
            let pipeline = pipelines.pipeline(gpu, &self.kinds, &variant, &self.shape);
            self.pipelines.push((variant, pipeline));
        }
    }
}

impl Executor for TunableExecutor {
    fn capacity(&self) -> Capacity {
        self.0.borrow().capacity()
    }

    fn issue(&mut self, step: StepId, plan: StepPlan) -> StepFuture {
        self.0.borrow_mut().issue(step, plan)
    }

    fn device(&self) -> String {
        self.0.borrow().device()
    }
}
