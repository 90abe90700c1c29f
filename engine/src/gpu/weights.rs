//! The canonical layout in GPU buffers.
//!
//! A binding has a largest size, 128 MiB on some devices, and a model's embedding table may be larger. So a matrix is split
//! by rows into parts that fit, each with buffers of its own; a kernel runs once per part.

use super::{Gpu, GpuError};
use crate::graph::{Op, Program};
use crate::model::WeightKey;
use crate::weights::{TensorLayout, WeightRows};
use std::cell::Cell;
use std::collections::BTreeMap;

/// All weights of a model.
#[derive(Debug)]
pub struct GpuWeights {
    gpu: Gpu,
    matrices: BTreeMap<WeightKey, GpuMatrix>,
    vectors: BTreeMap<WeightKey, wgpu::Buffer>,
    /// What was joined, by the first of each.
    joined: BTreeMap<WeightKey, GpuMatrix>,
    /// Bytes of copies that [`concatenate`](Self::concatenate) made.
    copied_bytes: Cell<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct GpuMatrix {
    pub(super) layout: TensorLayout,
    pub(super) parts: Vec<GpuPart>,
}

/// Rows `start .. start + rows` of a matrix.
#[derive(Clone, Debug)]
pub(super) struct GpuPart {
    pub(super) start: u32,
    pub(super) rows: u32,
    /// Row of the buffers that it begins at: other matrices may share them.
    pub(super) base: u32,
    pub(super) codes: wgpu::Buffer,
    pub(super) scales: Option<wgpu::Buffer>,
    pub(super) mins: Option<wgpu::Buffer>,
}

impl GpuWeights {
    /// None yet.
    pub fn new(gpu: Gpu) -> Self {
        Self {
            gpu,
            matrices: BTreeMap::new(),
            vectors: BTreeMap::new(),
            joined: BTreeMap::new(),
            copied_bytes: Cell::new(0),
        }
    }

    pub(crate) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Buffers for a matrix.
    pub fn allocate(&mut self, key: WeightKey, layout: TensorLayout) {
        let per_part = (self.gpu.max_binding_bytes / layout.code_bytes_per_row()).clamp(1, layout.rows.into()) as u32;
        let parts = (0..layout.rows)
            .step_by(per_part as usize)
            .map(|start| {
                let rows = per_part.min(layout.rows - start);
                let buffer = |bytes: u64| lasting(&self.gpu, &key.to_string(), u64::from(rows) * bytes);
                GpuPart {
                    start,
                    rows,
                    base: 0,
                    codes: buffer(layout.code_bytes_per_row()),
                    scales: (layout.scale_stride() > 0).then(|| buffer(layout.scale_bytes_per_row())),
                    mins: layout.mins().then(|| buffer(layout.scale_bytes_per_row())),
                }
            })
            .collect();
        self.matrices.insert(key, GpuMatrix { layout, parts });
    }

    /// Hands rows of an allocated matrix to the device, from `first_row` on.
    pub fn write_rows(&mut self, key: WeightKey, first_row: u32, rows: &WeightRows) {
        let Some(GpuMatrix { layout, parts }) = self.matrices.get(&key) else { return };
        let count = (rows.codes.len() / (layout.packs() as usize * 4)) as u32;
        for part in parts {
            let (from, to) = (first_row.max(part.start), (first_row + count).min(part.start + part.rows));
            if from >= to {
                continue;
            }
            let write = |buffer: &wgpu::Buffer, data: &[u8], bytes_per_row: u64| {
                let bytes = bytes_per_row as usize;
                let (skip, take) = ((from - first_row) as usize, (to - from) as usize);
                let data = &data[skip * bytes..(skip + take) * bytes];
                self.gpu.queue.write_buffer(buffer, u64::from(from - part.start) * bytes_per_row, data);
            };
            write(&part.codes, bytemuck::cast_slice(&rows.codes), layout.code_bytes_per_row());
            if let Some(scales) = &part.scales {
                write(scales, bytemuck::cast_slice(&rows.scales), layout.scale_bytes_per_row());
            }
            if let Some(mins) = &part.mins {
                write(mins, bytemuck::cast_slice(&rows.mins), layout.scale_bytes_per_row());
            }
        }
    }

    /// Hands a vector to the device.
    pub fn write_vector(&mut self, key: WeightKey, vector: &[f32]) {
        let buffer = lasting(&self.gpu, &key.to_string(), vector.len() as u64 * 4);
        self.gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(vector));
        self.vectors.insert(key, buffer);
    }

    /// Joins all matrices that fused operations read, where operations are fused; they move, so nothing may be bound to them yet.
    /// Until the device has moved them it holds them twice, so it is waited for before a hundredth of the model is there twice.
    pub(crate) async fn join_all(&mut self, program: &Program) -> Result<(), GpuError> {
        if self.gpu.is_software() && !self.gpu.multiplies_integers() {
            return Ok(());
        }
        let most = self.bytes() / 100;
        let mut twice = 0;
        for op in &program.body {
            let Op::Fused { parts, .. } = op else { continue };
            let key = |op: &Op| match op {
                Op::Product { weight, .. } => Some(*weight),
                _ => None,
            };
            let keys: Vec<WeightKey> = parts.iter().filter_map(key).collect();
            if keys.len() < 2 {
                continue;
            }
            let bytes: u64 = keys.iter().filter_map(|key| self.matrix_bytes(*key)).sum();
            if twice + bytes > most {
                self.flush().await?;
                twice = 0;
            }
            self.join(&keys);
            twice += bytes;
        }
        self.flush().await
    }

    /// Moves matrices into one, one below the other, so that one dispatch can read them; returns it. They stay what they were,
    /// as views of it. `None` if they differ in format, or don't fit a binding together.
    pub(super) fn join(&mut self, keys: &[WeightKey]) -> Option<GpuMatrix> {
        if let Some(joined) = keys.first().and_then(|key| self.joined.get(key)) {
            return Some(joined.clone());
        }
        let matrices: Vec<&GpuMatrix> = keys.iter().map(|key| self.matrices.get(key)).collect::<Option<_>>()?;
        let first = matrices.first()?.layout;
        let alike = |matrix: &&GpuMatrix| {
            matrix.parts.len() == 1 && TensorLayout { rows: first.rows, ..matrix.layout } == first
        };
        let layout = TensorLayout { rows: matrices.iter().map(|matrix| matrix.layout.rows).sum(), ..first };
        let bytes = u64::from(layout.rows) * layout.code_bytes_per_row();
        if !matrices.iter().all(alike) || bytes > self.gpu.max_binding_bytes {
            return None;
        }
        let buffer = |bytes: u64| lasting(&self.gpu, "joined matrices", u64::from(layout.rows) * bytes);
        let joined = GpuPart {
            start: 0,
            rows: layout.rows,
            base: 0,
            codes: buffer(layout.code_bytes_per_row()),
            scales: (layout.scale_stride() > 0).then(|| buffer(layout.scale_bytes_per_row())),
            mins: layout.mins().then(|| buffer(layout.scale_bytes_per_row())),
        };
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut base = 0;
        let mut views = Vec::new();
        for matrix in &matrices {
            let (part, rows) = (&matrix.parts[0], u64::from(matrix.layout.rows));
            let mut copy = |from: Option<&wgpu::Buffer>, to: Option<&wgpu::Buffer>, row_bytes: u64| {
                if let (Some(from), Some(to)) = (from, to) {
                    encoder.copy_buffer_to_buffer(from, 0, to, u64::from(base) * row_bytes, rows * row_bytes);
                }
            };
            copy(Some(&part.codes), Some(&joined.codes), layout.code_bytes_per_row());
            copy(part.scales.as_ref(), joined.scales.as_ref(), layout.scale_bytes_per_row());
            copy(part.mins.as_ref(), joined.mins.as_ref(), layout.scale_bytes_per_row());
            views.push(GpuPart { base, start: 0, rows: matrix.layout.rows, ..joined.clone() });
            base += matrix.layout.rows;
        }
        self.gpu.queue.submit([encoder.finish()]);
        for (key, view) in keys.iter().zip(views) {
            let Some(matrix) = self.matrices.get_mut(key) else { continue };
            for part in std::mem::replace(&mut matrix.parts, vec![view]) {
                for buffer in [Some(part.codes), part.scales, part.mins].iter().flatten() {
                    self.gpu.release(buffer);
                }
            }
        }
        let joined = GpuMatrix { layout, parts: vec![joined] };
        self.joined.extend(keys.first().map(|key| (*key, joined.clone())));
        Some(joined)
    }

    /// Vectors one behind the other in a buffer, each with its room in elements; those that the model lacks are zeros.
    pub(super) fn concatenate(&self, vectors: &[(Option<WeightKey>, u32)]) -> wgpu::Buffer {
        let elements: u32 = vectors.iter().map(|(_, room)| room).sum();
        let buffer = lasting(&self.gpu, "vectors", u64::from(elements) * 4);
        self.copied_bytes.set(self.copied_bytes.get() + buffer.size());
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut at = 0;
        for (key, room) in vectors {
            if let Some(vector) = key.and_then(|key| self.vectors.get(&key)) {
                encoder.copy_buffer_to_buffer(vector, 0, &buffer, at, vector.size().min(u64::from(*room) * 4));
            }
            at += u64::from(*room) * 4;
        }
        self.gpu.queue.submit([encoder.finish()]);
        buffer
    }

    /// Resolves when the device has taken what was written.
    pub async fn flush(&self) -> Result<(), GpuError> {
        self.gpu.queue.submit([]);
        self.gpu.idle().await
    }

    /// A matrix. The loader has checked that all that a program names are there.
    pub(super) fn matrix(&self, key: WeightKey) -> &GpuMatrix {
        &self.matrices[&key]
    }

    /// A vector, if the model has it.
    pub(super) fn vector(&self, key: WeightKey) -> Option<&wgpu::Buffer> {
        self.vectors.get(&key)
    }

    /// Bytes of a matrix, if the model has it.
    pub(crate) fn matrix_bytes(&self, key: WeightKey) -> Option<u64> {
        self.matrices.get(&key).map(|matrix| matrix.layout.bytes())
    }

    /// Bytes of copies of vectors, side by side as kernels read them.
    pub(super) fn copied_bytes(&self) -> u64 {
        self.copied_bytes.get()
    }

    /// Bytes of all weights.
    pub fn bytes(&self) -> u64 {
        self.matrices.values().map(|matrix| matrix.layout.bytes()).sum::<u64>()
            + self.vectors.values().map(wgpu::Buffer::size).sum::<u64>()
    }
}

/// A model's zeroed buffer that kernels read and write, of a whole number of vec4.
pub(super) fn lasting(gpu: &Gpu, label: &str, bytes: u64) -> wgpu::Buffer {
    gpu.buffer(label, bytes.next_multiple_of(16), STORAGE)
}

/// The same for whoever tries or checks a kernel, and destroys it soon.
pub(super) fn storage(gpu: &Gpu, label: &str, bytes: u64) -> wgpu::Buffer {
    gpu.ledger.object();
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: bytes.next_multiple_of(16),
        usage: STORAGE,
        mapped_at_creation: false,
    })
}

const STORAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);
