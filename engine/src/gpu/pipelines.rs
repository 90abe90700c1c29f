//! Kernels compiled once.
//!
//! A pipeline is known by its WGSL text: the thirty layers of a model have products of the same shapes and share their
//! pipelines. Bind group layouts are explicit, so that all variants of an operation take the same bind group.
//!
//! What a device's compiler thinks of a kernel comes late in a browser, and a step that uses a refused one would be taken for the
//! loss of the device. So each pipeline has a verdict: [`Pipelines::refusal`] waits for all of them when a model is
//! loaded, [`Pipelines::look`] asks without waiting for those that a step's number of rows called for later.

use super::Gpu;
use super::ahead::{AheadKernel, Compiling};
use super::choices::Choices;
use crate::kernels::KernelVariant;
use crate::kernels::source::{KernelShape, render};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Uniform,
    Read,
    ReadWrite,
}

/// Bindings of a kernel, by index.
pub(super) type BindingKinds = Vec<(u32, Access)>;

#[derive(Default)]
pub(super) struct Pipelines {
    /// Which variants were chosen.
    pub(super) choices: Choices,
    layouts: HashMap<BindingKinds, wgpu::BindGroupLayout>,
    compiled: HashMap<String, Compiled>,
    /// Kernels of whom the device has not said yet what it thinks.
    asked: Vec<Asked>,
}

/// A pipeline, and whether it may be used.
#[derive(Clone)]
pub(super) struct Compiled {
    pub(super) pipeline: wgpu::ComputePipeline,
    verdict: Rc<Cell<Verdict>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Not known yet.
    Awaited,
    Accepted,
    Refused,
}

impl Compiled {
    pub(super) fn is_accepted(&self) -> bool {
        self.verdict.get() == Verdict::Accepted
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.verdict.get() == Verdict::Awaited
    }
}

/// A kernel of whom the device has not said yet what it thinks.
pub(super) struct Asked {
    kernel: &'static str,
    source: String,
    verdict: Rc<Cell<Verdict>>,
    answer: Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>,
}

impl Asked {
    /// What the device said, if it refused.
    fn settle(&self, error: Option<wgpu::Error>) -> Option<String> {
        self.verdict.set(if error.is_some() { Verdict::Refused } else { Verdict::Accepted });
        error.map(|error| error.to_string())
    }
}

/// All of them, to be waited for.
pub(super) struct AllAsked(Vec<Asked>);

impl AllAsked {
    /// What the device said of each, if it refused.
    pub(super) async fn wait(self) -> Vec<(Asked, Option<String>)> {
        let mut answers = Vec::new();
        for mut asked in self.0 {
            let error = asked.answer.as_mut().await;
            let refusal = asked.settle(error);
            answers.push((asked, refusal));
        }
        answers
    }
}

impl Pipelines {
    pub(super) fn layout(&mut self, gpu: &Gpu, kinds: &BindingKinds) -> wgpu::BindGroupLayout {
        let make = || {
            let entries: Vec<_> = kinds
                .iter()
                .map(|&(binding, access)| wgpu::BindGroupLayoutEntry {
                    binding,
                    visibility: wgpu::ShaderStages::COMPUTE,
                    ty: wgpu::BindingType::Buffer {
                        ty: match access {
                            Access::Uniform => wgpu::BufferBindingType::Uniform,
                            Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                            Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
                        },
                        has_dynamic_offset: false,
                        min_binding_size: None,
                    },
                    count: None,
                })
                .collect();
            gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
        };
        self.layouts.entry(kinds.clone()).or_insert_with(make).clone()
    }

    /// Has what is not compiled yet compiled beside each other, where the device's owner knows how: the kernels that dispatches and
    /// trials are about to ask for. Most layers of a model want the same, so each is rendered once. What this resolves to keeps
    /// them until they are asked for.
    pub(super) fn compile_ahead<'a>(
        &self,
        gpu: &Gpu,
        wanted: impl IntoIterator<Item = (&'a BindingKinds, KernelVariant, &'a KernelShape)>,
    ) -> Option<Compiling> {
        let ahead = gpu.ahead()?;
        let mut unique: Vec<(&BindingKinds, KernelVariant, &KernelShape)> = Vec::new();
        for kernel in wanted {
            if !unique.contains(&kernel) {
                unique.push(kernel);
            }
        }
        let mut sources = HashSet::new();
        let missing: Vec<AheadKernel> = unique
            .into_iter()
            .filter_map(|(kinds, variant, shape)| {
                let source = render(&variant, shape).ok().filter(|source| !self.compiled.contains_key(source))?;
                let kernel = AheadKernel::new(gpu.planted(&variant, &source).into_owned(), kinds);
                sources.insert(source).then_some(kernel)
            })
            .collect();
        (!missing.is_empty()).then(|| ahead.compile(missing))
    }

    pub(super) fn pipeline(
        &mut self,
        gpu: &Gpu,
        kinds: &BindingKinds,
        variant: &KernelVariant,
        shape: &KernelShape,
    ) -> Compiled {
        let source = render(variant, shape).expect("each kernel's template takes its own variant and shape");
        if let Some(compiled) = self.compiled.get(&source) {
            return compiled.clone();
        }
        gpu.ledger.object();
        let bind_group_layout = self.layout(gpu, kinds);
        let text = gpu.planted(variant, &source);
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&bind_group_layout)],
            immediate_size: 0,
        });
        let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(variant.kernel()),
            source: wgpu::ShaderSource::Wgsl(text.as_ref().into()),
        });
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(variant.kernel()),
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            // Workgroup memory is written before it is read by every kernel here.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        let verdict = Rc::new(Cell::new(Verdict::Awaited));
        let compiled = Compiled { pipeline, verdict: Rc::clone(&verdict) };
        self.compiled.insert(source.clone(), compiled.clone());
        self.asked.push(Asked { kernel: variant.kernel(), source, verdict, answer: Box::pin(scope.pop()) });
        compiled
    }

    /// Waits for the device's word on all kernels. The first that it refused since it was last asked, and why; whoever wants that
    /// kernel again is refused again.
    pub(super) async fn refusal(&mut self) -> Option<(&'static str, String)> {
        let asked = self.take_asked();
        self.settle(asked.wait().await)
    }

    /// The kernels of whom the device has not said yet what it thinks, for whoever may not hold the pipelines while waiting.
    pub(super) fn take_asked(&mut self) -> AllAsked {
        AllAsked(std::mem::take(&mut self.asked))
    }

    /// Takes note of what the device said of them: the first that it refused, and why.
    pub(super) fn settle(&mut self, answers: Vec<(Asked, Option<String>)>) -> Option<(&'static str, String)> {
        let mut first = None;
        for (asked, refusal) in answers {
            if let Some(reason) = refusal {
                self.compiled.remove(&asked.source);
                first = first.or(Some((asked.kernel, reason)));
            }
        }
        first
    }

    /// Takes note of what the device has said meanwhile, without waiting. What it refused stays unused.
    pub(super) fn look(&mut self, gpu: &Gpu) {
        let mut context = Context::from_waker(Waker::noop());
        self.asked.retain_mut(|asked| {
            let Poll::Ready(error) = asked.answer.as_mut().poll(&mut context) else { return true };
            if let Some(reason) = asked.settle(error) {
                let kernel = asked.kernel;
                tracing::warn!("{} refused to compile {kernel}, so others stand in for it: {reason}", gpu.name());
            }
            false
        });
    }
}
