//! Operands of matrix products, on a device.
//!
//! What repeats is written once and copied on the device. Runs that are timed may add to what the last one left: floats as small as a
//! check's get nowhere near their end that way.

use super::product_case::{Case, SPARE};
use super::{MOST_COPIES, Operands, Trial, Written, compared_rows};
use crate::gpu::Gpu;
use crate::gpu::binder::bind_group;
use crate::gpu::check::heads::SPLIT;
use crate::gpu::dispatch::Counts;
use crate::gpu::memory::WORDS_AT;
use crate::gpu::pipelines::{Access, BindingKinds};
use crate::gpu::tuned_op::ProductOp;
use crate::gpu::weights::storage;
use crate::kernels::source::KernelShape;

impl Trial {
    pub(super) fn product(&mut self, op: &ProductOp, packed: bool, cold_bytes: u64) -> Operands {
        let gpu = self.gpu.clone();
        let (rows, layout) = (op.rows, op.layout());
        let case = Case::new(op, packed, gpu.halves_cache());
        let shape = case.shape.clone();
        let mut words = Vec::new();
        let mut header = case.step.pack(&[], &[], SPLIT, (WORDS_AT / 4) as usize, &mut words);
        if shape.head {
            (header.outputs, header.output_base) = (rows, 1);
        }
        let step = self.step(&header, &mut words);
        let mut made = Made { gpu: gpu.clone(), buffers: vec![step.clone()] };
        let records: &[u8] = if packed { bytemuck::cast_slice(&case.records) } else { bytemuck::cast_slice(&case.raw) };
        let input = made.rows(records, &case);
        let halves = (packed && gpu.binds_halves()).then(|| made.rows(bytemuck::cast_slice(&case.halves), &case));
        let vectors = made.kept(self.filled(&case.vectors));
        let copies = (cold_bytes / op.weight_bytes().max(1)).clamp(1, MOST_COPIES);
        let all = u64::from(layout.rows);
        let codes =
            made.repeating(bytemuck::cast_slice(&case.weights.codes), copies, layout.code_bytes_per_row() * all);
        let scale_bytes = layout.scale_bytes_per_row() * all;
        let scales = made.repeating(bytemuck::cast_slice(&case.weights.scales), copies, scale_bytes);
        let mins = made.repeating(bytemuck::cast_slice(&case.weights.mins), copies, scale_bytes);

        let compared = compared_rows(rows);
        let row_bytes = u64::from(shape.out_stride) * 4;
        let out_bytes = u64::from(rows + 1) * row_bytes;
        let mut written = vec![Written {
            buffer: storage(&gpu, "trial", out_bytes),
            before: Some(made.repeating(bytemuck::cast_slice(&case.before), 1, out_bytes).swap_remove(0)),
            compared: compared.iter().chain([&rows]).map(|&row| (u64::from(row) * row_bytes, row_bytes)).collect(),
        }];
        written.extend(shape.heads.as_ref().map(|heads| {
            let bytes = u64::from(2 * heads.kv_heads * heads.head_dim) * if heads.kv_half { 2 } else { 4 };
            let slots = case.slots(&compared).map(|slot| (u64::from(slot) * bytes, bytes));
            Written::cleared(storage(&gpu, "trial", u64::from(rows + SPARE) * bytes), slots.collect())
        }));
        let mut kinds = BindingKinds::default();
        let bind_groups = (0..copies as usize)
            .map(|copy| {
                let mut bindings =
                    vec![(0, Access::Uniform, &step), (2, Access::Read, &input), (3, Access::Read, &codes[copy])];
                bindings.extend((layout.scale_stride() > 0).then(|| (4, Access::Read, &scales[copy])));
                bindings.extend(layout.mins().then(|| (5, Access::Read, &mins[copy])));
                bindings.extend((shape.norm || shape.bias).then_some((7, Access::Read, &vectors)));
                bindings.extend((shape.rope || shape.gather).then_some((1, Access::Read, &step)));
                bindings.extend([6, 8].into_iter().zip(&written).map(|(at, to)| (at, Access::ReadWrite, &to.buffer)));
                bindings.extend(halves.as_ref().map(|halves| (9, Access::Read, halves)));
                kinds = bindings.iter().map(|&(binding, access, _)| (binding, access)).collect();
                bind_group(&gpu, &mut self.pipelines, &step, &bindings)
            })
            .collect();
        Operands {
            shape: KernelShape::Product(shape),
            kinds,
            counts: Counts { rows, outputs: rows, tiles: 1, splits: 1 },
            bind_groups,
            then: None,
            written,
            judge: case.judge(&compared),
            buffers: made.buffers,
        }
    }
}

/// Buffers of one trial.
struct Made {
    gpu: Gpu,
    buffers: Vec<wgpu::Buffer>,
}

/// What is written at a time; the rest is copied on the device.
const WRITTEN_BYTES: u64 = 4 << 20;

impl Made {
    fn kept(&mut self, buffer: wgpu::Buffer) -> wgpu::Buffer {
        self.buffers.push(buffer.clone());
        buffer
    }

    /// The input's rows from the bytes of the distinct ones.
    fn rows(&mut self, distinct: &[u8], case: &Case) -> wgpu::Buffer {
        let bytes = distinct.len() as u64 / u64::from(case.distinct[0]) * u64::from(case.read);
        self.repeating(distinct, 1, bytes).swap_remove(0)
    }

    /// So many buffers of `bytes` that repeat `data`.
    fn repeating(&mut self, data: &[u8], copies: u64, bytes: u64) -> Vec<wgpu::Buffer> {
        let buffers: Vec<_> = (0..copies)
            .map(|_| storage(&self.gpu, "trial", if data.is_empty() { 16 } else { bytes.max(16) }))
            .collect();
        self.buffers.extend(buffers.iter().cloned());
        if data.is_empty() {
            return buffers;
        }
        // As many repetitions as make it worth a copy each.
        let repetitions = (WRITTEN_BYTES / data.len() as u64).clamp(1, bytes.div_ceil(data.len() as u64));
        let source = storage(&self.gpu, "trial", data.len() as u64 * repetitions);
        self.gpu.queue.write_buffer(&source, 0, &data.repeat(repetitions as usize));
        self.buffers.push(source.clone());
        let period = data.len() as u64 * repetitions;
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for buffer in &buffers {
            for at in (0..bytes).step_by(period as usize) {
                encoder.copy_buffer_to_buffer(&source, 0, buffer, at, (bytes - at).min(period));
            }
        }
        self.gpu.queue.submit([encoder.finish()]);
        buffers
    }
}
