//! Kernels compiled once.
//!
//! A pipeline is known by its WGSL text: the thirty layers of a model have products of the same shapes and share their
//! pipelines. Bind group layouts are explicit, so that all variants of an operation take the same bind group.

use super::Gpu;
use super::choices::Choices;
use crate::kernels::KernelVariant;
use crate::kernels::source::{KernelShape, render};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

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
    compiled: HashMap<String, wgpu::ComputePipeline>,
    /// What the device says to kernels compiled since [`Pipelines::refusal`] was last asked: a kernel's name, and an error if any.
    verdicts: Verdicts,
}

/// What the device will say to kernels, by name.
pub(super) type Verdicts = Vec<(&'static str, Verdict)>;

/// The first that the device's compiler refused, and why.
pub(super) async fn first_refusal(verdicts: Verdicts) -> Option<(&'static str, String)> {
    let mut first = None;
    for (kernel, verdict) in verdicts {
        if let Some(error) = verdict.await {
            first = first.or(Some((kernel, error.to_string())));
        }
    }
    first
}

type Verdict = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

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

    pub(super) fn pipeline(
        &mut self,
        gpu: &Gpu,
        kinds: &BindingKinds,
        variant: &KernelVariant,
        shape: &KernelShape,
    ) -> wgpu::ComputePipeline {
        let source = render(variant, shape).expect("each kernel's template takes its own variant and shape");
        if let Some(pipeline) = self.compiled.get(&source) {
            return pipeline.clone();
        }
        gpu.count_object();
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
        self.verdicts.push((variant.kernel(), Box::pin(scope.pop())));
        self.compiled.insert(source, pipeline.clone());
        pipeline
    }

    /// The first kernel that the device's compiler refused since the last call, and why.
    pub(super) async fn refusal(&mut self) -> Option<(&'static str, String)> {
        first_refusal(self.take_verdicts()).await
    }

    /// The same for whoever may not hold the pipelines while waiting; see [`first_refusal`].
    pub(super) fn take_verdicts(&mut self) -> Verdicts {
        std::mem::take(&mut self.verdicts)
    }

    /// Forgets a pipeline that turned out to be refused.
    pub(super) fn forget(&mut self, variant: &KernelVariant, shape: &KernelShape) {
        if let Ok(source) = render(variant, shape) {
            self.compiled.remove(&source);
        }
    }
}
