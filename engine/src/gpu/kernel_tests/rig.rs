//! One kernel run on a device: random operands in, bindings back.

use crate::gpu::dispatch::{Counts, workgroups};
use crate::gpu::pipelines::{Access, Pipelines};
use crate::gpu::weights::storage;
use crate::gpu::{Gpu, GpuOptions};
use crate::graph::{RowSet, StepHeader};
use crate::kernels::KernelVariant;
use crate::kernels::source::KernelShape;
use crate::sampling::random::philox;
use crate::weights::{Quantization, TensorLayout, WeightFormat, WeightRows};
use bytemuck::{Pod, cast_slice};
use half::f16;
use std::sync::LazyLock;

static GPU: LazyLock<Gpu> = LazyLock::new(|| {
    let adapter = std::env::var("TILEWRIGHT_TEST_ADAPTER").unwrap_or_else(|_| "llvmpipe".into());
    let options = GpuOptions { adapter: Some(adapter), ..GpuOptions::default() };
    pollster::block_on(Gpu::request(&options)).expect("a GPU; `cargo xtask setup` installs Mesa's lavapipe")
});

/// Random numbers of one test.
pub(super) struct Random(pub(super) u32);

impl Random {
    pub(super) fn word(&mut self) -> u32 {
        self.0 += 1;
        philox([self.0, 0, 0, 0], [11, 22])[0]
    }

    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.word() % bound
    }

    /// In [-1, 1).
    pub(super) fn float(&mut self) -> f32 {
        self.word() as f32 / 2.0_f32.powi(31) - 1.0
    }

    pub(super) fn floats(&mut self, count: u32) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }

    /// `[rows, stride]` whose padding is zero, as activations' is.
    pub(super) fn rows(&mut self, rows: u32, width: u32, stride: u32) -> Vec<f32> {
        (0..rows * stride).map(|i| if i % stride < width { self.float() } else { 0.0 }).collect()
    }

    pub(super) fn weights(&mut self, layout: &TensorLayout) -> WeightRows {
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
pub(super) fn bytes<T: Pod>(data: &[T]) -> Vec<u8> {
    cast_slice(data).to_vec()
}

/// Of a whole number of vec4, as the engine's buffers are.
pub(super) fn padded(data: &[f32]) -> Vec<u8> {
    let mut bytes = bytes(data);
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    bytes
}

/// Runs one kernel and reads the bindings back that it writes.
pub(super) fn run(
    variant: &KernelVariant,
    shape: &KernelShape,
    rows: u32,
    bindings: &[(u32, Access, Vec<u8>)],
) -> Vec<Vec<f32>> {
    run_counted(variant, shape, &Counts { rows, outputs: rows, tiles: 1, splits: 1 }, bindings)
}

/// The same with counts of one's own.
pub(super) fn run_counted(
    variant: &KernelVariant,
    shape: &KernelShape,
    counts: &Counts,
    bindings: &[(u32, Access, Vec<u8>)],
) -> Vec<Vec<f32>> {
    let gpu = &*GPU;
    let limit = gpu.device.limits().max_compute_invocations_per_workgroup;
    assert!(variant.workgroup_size() <= limit, "{variant:?} fits the device");
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
                storage(gpu, "test", data.len() as u64)
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
    let pipeline = pipelines.pipeline(gpu, &kinds, variant, shape);
    assert_eq!(pollster::block_on(pipelines.refusal()), None, "{variant:?} compiles");
    let entries: Vec<_> = list
        .iter()
        .map(|(binding, _, buffer)| wgpu::BindGroupEntry { binding: *binding, resource: buffer.as_entire_binding() })
        .collect();
    let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipelines.layout(gpu, &kinds),
        entries: &entries,
    });
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let [x, y, z] = workgroups(variant, shape, RowSet::Step, counts);
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
    let written: Vec<_> = list.iter().filter(|(_, access, _)| *access == Access::ReadWrite).collect();
    let staging: Vec<_> = written
        .iter()
        .map(|(_, _, buffer)| {
            let staging = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: buffer.size(),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
            staging
        })
        .collect();
    gpu.queue.submit([encoder.finish()]);
    for staging in &staging {
        staging.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    }
    gpu.wait();
    gpu.check().unwrap();
    staging.iter().map(|staging| cast_slice(&staging.get_mapped_range(..).unwrap()).to_vec()).collect()
}

pub(super) fn header(rows: u32, outputs: u32) -> (u32, Access, Vec<u8>) {
    (0, Access::Uniform, bytes(&[StepHeader { rows, outputs, ..StepHeader::default() }]))
}

pub(super) fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * (1.0 + e.abs()), "{what}: element {index} is {a}, the twin says {e}");
    }
}

pub(super) const FORMATS: [WeightFormat; 8] = [
    WeightFormat::F32,
    WeightFormat::F16,
    WeightFormat::Bf16,
    WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: false }),
    WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: true }),
    WeightFormat::Quantized(Quantization { bits: 8, group: 32, mins: false }),
    WeightFormat::Quantized(Quantization { bits: 8, group: 32, mins: true }),
    WeightFormat::Quantized(Quantization { bits: 8, group: 16, mins: false }),
];

pub(super) fn weight_bindings(weights: &WeightRows) -> Vec<(u32, Access, Vec<u8>)> {
    let mut bindings = vec![(3, Access::Read, bytes(&weights.codes))];
    if !weights.scales.is_empty() {
        bindings.push((4, Access::Read, bytes(&weights.scales)));
    }
    if !weights.mins.is_empty() {
        bindings.push((5, Access::Read, bytes(&weights.mins)));
    }
    bindings
}
