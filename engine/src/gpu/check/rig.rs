//! One kernel run on a device: random operands in, bindings back, and what is found when they are compared with the twin's.

use crate::gpu::dispatch::{Counts, workgroups};
use crate::gpu::pipelines::{Access, Pipelines};
use crate::gpu::readback::ReadOnce;
use crate::gpu::weights::storage;
use crate::gpu::{Gpu, GpuError};
use crate::graph::{RowSet, StepHeader};
use crate::kernels::KernelVariant;
use crate::kernels::source::KernelShape;
use crate::sampling::random::philox;
use crate::weights::{Quantization, TensorLayout, WeightFormat, WeightRows};
use bytemuck::{Pod, cast_slice};
use half::f16;

/// Kernels that were run on a device, and what is thought of them.
pub struct Rig {
    gpu: Gpu,
    findings: Vec<Finding>,
}

/// What a kernel computed beside what it should have.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which.
    pub variant: KernelVariant,
    /// On what.
    pub what: String,
    /// The largest error, relative to one plus the magnitude, or how many answers differ; infinite for what is no number.
    pub error: f32,
    /// How large it may be.
    pub allowed: f32,
    /// What the device said, where it refused the kernel.
    pub refused: Option<String>,
}

impl Finding {
    /// Whether the kernel is as it should be.
    pub fn is_right(&self) -> bool {
        self.refused.is_none() && self.error <= self.allowed
    }
}

/// Random numbers of one test.
pub(in crate::gpu) struct Random(pub(in crate::gpu) u32);

impl Random {
    pub(in crate::gpu) fn word(&mut self) -> u32 {
        self.0 += 1;
        philox([self.0, 0, 0, 0], [11, 22])[0]
    }

    pub(in crate::gpu) fn below(&mut self, bound: u32) -> u32 {
        self.word() % bound
    }

    /// In [-1, 1).
    pub(in crate::gpu) fn float(&mut self) -> f32 {
        self.word() as f32 / 2.0_f32.powi(31) - 1.0
    }

    pub(in crate::gpu) fn floats(&mut self, count: u32) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }

    /// `[rows, stride]` whose padding is zero, as activations' is.
    pub(in crate::gpu) fn rows(&mut self, rows: u32, width: u32, stride: u32) -> Vec<f32> {
        (0..rows * stride).map(|i| if i % stride < width { self.float() } else { 0.0 }).collect()
    }

    pub(in crate::gpu) fn weights(&mut self, layout: &TensorLayout) -> WeightRows {
        let mut rows = WeightRows::zeroed(layout, layout.rows);
        match layout.format {
            WeightFormat::Quantized(_) => rows.codes.iter_mut().for_each(|code| *code = self.word()),
            format => {
                let pack = layout.packs() * format.pack();
                for element in 0..layout.rows * pack {
                    if element % pack >= layout.cols {
                        continue;
                    }
                    let (x, at) = (self.float(), element as usize);
                    match format {
                        WeightFormat::F32 => rows.codes[at] = x.to_bits(),
                        WeightFormat::F16 => {
                            rows.codes[at / 2] |= u32::from(f16::from_f32(x).to_bits()) << (16 * (at % 2));
                        }
                        _ => rows.codes[at / 2] |= (x.to_bits() >> 16) << (16 * (at % 2)),
                    }
                }
            }
        }
        let small = |random: &mut Self| f16::from_f32(random.float() / 16.0);
        rows.scales.iter_mut().for_each(|scale| *scale = small(self));
        rows.mins.iter_mut().for_each(|min| *min = small(self));
        rows
    }
}

/// A binding's access and first contents.
pub(in crate::gpu) fn bytes<T: Pod>(data: &[T]) -> Vec<u8> {
    cast_slice(data).to_vec()
}

impl Rig {
    /// Nothing was run yet.
    pub fn new(gpu: &Gpu) -> Self {
        Self { gpu: gpu.clone(), findings: Vec::new() }
    }

    /// What was found since the last call.
    pub fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// Runs one kernel and reads the bindings back that it writes; of a kernel that is refused, as they were.
    pub(in crate::gpu) async fn run(
        &mut self,
        variant: &KernelVariant,
        shape: &KernelShape,
        rows: u32,
        bindings: &[(u32, Access, Vec<u8>)],
    ) -> Result<Vec<Vec<f32>>, GpuError> {
        self.run_counted(variant, shape, &Counts { rows, outputs: rows, tiles: 1, splits: 1 }, bindings).await
    }

    /// The same with counts of one's own.
    pub(in crate::gpu) async fn run_counted(
        &mut self,
        variant: &KernelVariant,
        shape: &KernelShape,
        counts: &Counts,
        bindings: &[(u32, Access, Vec<u8>)],
    ) -> Result<Vec<Vec<f32>>, GpuError> {
        let gpu = self.gpu.clone();
        let buffers: Vec<_> = bindings
            .iter()
            .map(|(_, access, data)| {
                let buffer = if *access == Access::Uniform {
                    gpu.device.create_buffer(&wgpu::BufferDescriptor {
                        label: None,
                        size: data.len() as u64,
                        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                        mapped_at_creation: false,
                    })
                } else {
                    storage(&gpu, "check", data.len() as u64)
                };
                let mut padded = data.clone();
                padded.resize(data.len().next_multiple_of(4), 0);
                gpu.queue.write_buffer(&buffer, 0, &padded);
                buffer
            })
            .collect();
        let list: Vec<(u32, Access, &wgpu::Buffer)> =
            bindings.iter().zip(&buffers).map(|((binding, access, _), buffer)| (*binding, *access, buffer)).collect();
        let mut pipelines = Pipelines::default();
        let kinds = list.iter().map(|&(binding, access, _)| (binding, access)).collect();
        let pipeline = pipelines.pipeline(&gpu, &kinds, variant, shape).pipeline;
        let entries: Vec<_> = list
            .iter()
            .map(|(binding, _, buffer)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipelines.layout(&gpu, &kinds),
            entries: &entries,
        });
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let Some((_, reason)) = pipelines.refusal().await {
            self.note(variant, "compiling", f32::INFINITY, 0.0);
            self.findings.iter_mut().last().into_iter().for_each(|finding| finding.refused = Some(reason.clone()));
        } else {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let [x, y, z] = workgroups(variant, shape, RowSet::Step, counts);
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
        let written: Vec<&wgpu::Buffer> =
            list.iter().filter(|(_, access, _)| *access == Access::ReadWrite).map(|(_, _, buffer)| *buffer).collect();
        let all = written.iter().map(|buffer| (*buffer, 0, buffer.size()));
        let read = ReadOnce::of(&gpu, &mut encoder, all);
        gpu.queue.submit([encoder.finish()]);
        let words = read.words(&gpu).await?;
        let mut rest: &[f32] = cast_slice(&words);
        let mut contents = Vec::new();
        for buffer in written {
            let (own, others) = rest.split_at(buffer.size() as usize / 4);
            contents.push(own.to_vec());
            rest = others;
        }
        buffers.iter().for_each(wgpu::Buffer::destroy);
        Ok(contents)
    }

    /// Compares what a kernel wrote with what its twin says.
    pub(in crate::gpu) fn close(
        &mut self,
        variant: &KernelVariant,
        what: &str,
        actual: &[f32],
        expected: &[f32],
        allowed: f32,
    ) {
        let error = |(a, e): (&f32, &f32)| (a - e).abs() / (1.0 + e.abs());
        // What is not a number is as wrong as can be.
        let worse = |worst: f32, error: f32| if error.is_nan() { f32::INFINITY } else { worst.max(error) };
        let worst = match actual.get(..expected.len()) {
            Some(actual) => actual.iter().zip(expected).map(error).fold(0.0, worse),
            None => f32::INFINITY,
        };
        self.note(variant, what, worst, allowed);
    }

    /// Keeps a finding.
    pub(in crate::gpu) fn note(&mut self, variant: &KernelVariant, what: &str, error: f32, allowed: f32) {
        self.findings.push(Finding { variant: *variant, what: what.to_owned(), error, allowed, refused: None });
    }
}

pub(in crate::gpu) fn header(rows: u32, outputs: u32) -> (u32, Access, Vec<u8>) {
    (0, Access::Uniform, bytes(&[StepHeader { rows, outputs, ..StepHeader::default() }]))
}

/// Every weight format.
pub const FORMATS: [WeightFormat; 8] = [
    WeightFormat::F32,
    WeightFormat::F16,
    WeightFormat::Bf16,
    WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: false }),
    WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: true }),
    WeightFormat::Quantized(Quantization { bits: 8, group: 32, mins: false }),
    WeightFormat::Quantized(Quantization { bits: 8, group: 32, mins: true }),
    WeightFormat::Quantized(Quantization { bits: 8, group: 16, mins: false }),
];

pub(in crate::gpu) fn weight_bindings(weights: &WeightRows) -> Vec<(u32, Access, Vec<u8>)> {
    let mut bindings = vec![(3, Access::Read, bytes(&weights.codes))];
    if !weights.scales.is_empty() {
        bindings.push((4, Access::Read, bytes(&weights.scales)));
    }
    if !weights.mins.is_empty() {
        bindings.push((5, Access::Read, bytes(&weights.mins)));
    }
    bindings
}
