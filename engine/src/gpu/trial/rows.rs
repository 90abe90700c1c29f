//! Operands of what works on rows: norms, activations as integers, and the search for the best token.

use super::{EPS, Judge, Operands, Random, Trial, Written, close, compared_rows};
use crate::gpu::binder::bind_group;
use crate::gpu::dispatch::Counts;
use crate::gpu::memory::WORDS_AT;
use crate::gpu::pipelines::{Access, BindingKinds};
use crate::gpu::tuned_op::QuantizeOp;
use crate::gpu::weights::storage;
use crate::graph::{KeySplit, StepData, StepHeader};
use crate::kernels::quantize::{RECORD_WORDS, quantize, values};
use crate::kernels::sample::{SampleRecords, SampledRow};
use crate::kernels::source::{KernelShape, QuantizeShape, literal};
use crate::kernels::variant::MOST_CHUNKS;
use crate::kernels::{KernelVariant, rms_norm, silu_mul};
use crate::sampling::TokenHistory;
use tilewright_plan::SamplingParams;

/// Buffers by binding, the output last; `None` stands for the step.
type Bound<'a> = Vec<(u32, Access, Option<&'a wgpu::Buffer>)>;

impl Trial {
    pub(super) fn rms_norm(&mut self, width: u32, rows: u32) -> Operands {
        let mut random = Random(0);
        let stride = width.next_multiple_of(8);
        let input: Vec<f32> =
            (0..rows * stride).map(|i| if i % stride < width { random.float() } else { 0.0 }).collect();
        let weight: Vec<f32> = (0..stride).map(|i| if i < width { random.float() } else { 0.0 }).collect();
        let mut normed = vec![0.0; input.len()];
        rms_norm::rms_norm(&input, &weight[..width as usize], &mut normed, stride as usize, EPS);
        let (input, weight) = (self.filled(&input), self.filled(&weight));
        let out = storage(&self.gpu, "trial", u64::from(rows * stride) * 4);
        let some = compared_rows(rows);
        let expected = some.iter().flat_map(|&row| normed[(row * stride) as usize..][..stride as usize].to_vec());
        let judge = close(expected.collect());
        let shape = KernelShape::RmsNorm { width, stride, eps: literal(EPS) };
        let bound = vec![(1, Access::Read, Some(&input)), (2, Access::Read, Some(&weight))];
        self.rows(shape, rows, &bound, (3, out), some.iter().map(|&row| (row, u64::from(stride) * 4)), judge)
    }

    pub(super) fn quantize(&mut self, op: &QuantizeOp) -> Operands {
        let QuantizeOp { width, order, norm, silu, rows } = *op;
        let mut random = Random(0);
        let in_stride = if silu { 2 * width } else { width };
        let input = random.floats(rows * in_stride);
        let weight = random.floats(width);
        let some = compared_rows(rows);
        let mut expected = Vec::new();
        for &row in &some {
            let row = &input[(row * in_stride) as usize..][..in_stride as usize];
            let mut x = row[..width as usize].to_vec();
            if silu {
                silu_mul::silu_mul(&mut x, &row[width as usize..]);
            }
            if norm {
                let raw = x.clone();
                rms_norm::rms_norm(&raw, &weight, &mut x, width as usize, EPS);
            }
            expected.extend(quantize(&x, order));
        }
        let close = close(values(&expected, order));
        let judge: Judge = Box::new(move |words| {
            let actual: Vec<u32> = values(words, order).into_iter().map(f32::to_bits).collect();
            close(&actual)
        });
        let (input, weight) = (self.filled(&input), self.filled(&weight));
        let row_bytes = u64::from(width) / 32 * RECORD_WORDS as u64 * 4;
        let out = storage(&self.gpu, "trial", u64::from(rows) * row_bytes);
        let shape =
            QuantizeShape { in_stride, width, order, norm, eps: literal(EPS), silu, gather: false, halves: false };
        let mut bound = vec![(2, Access::Read, Some(&input))];
        bound.extend(norm.then_some((7, Access::Read, Some(&weight))));
        let compared = some.iter().map(|&row| (row, row_bytes));
        self.rows(KernelShape::Quantize(shape), rows, &bound, (3, out), compared, judge)
    }

    fn rows(
        &mut self,
        shape: KernelShape,
        rows: u32,
        bound: &Bound<'_>,
        (binding, out): (u32, wgpu::Buffer),
        compared: impl Iterator<Item = (u32, u64)>,
        judge: Judge,
    ) -> Operands {
        let header = StepHeader { rows, outputs: rows, ..StepHeader::default() };
        let step = self.step(&header, &mut vec![0; (WORDS_AT / 4) as usize + 4]);
        let mut bindings = vec![(0, Access::Uniform, &step)];
        bindings.extend(bound.iter().map(|&(binding, access, buffer)| (binding, access, buffer.unwrap_or(&step))));
        bindings.push((binding, Access::ReadWrite, &out));
        let kinds: BindingKinds = bindings.iter().map(|&(binding, access, _)| (binding, access)).collect();
        let bind_groups = vec![bind_group(&self.gpu, &mut self.pipelines, &step, &bindings)];
        let buffers = bound.iter().filter_map(|(_, _, buffer)| buffer.cloned()).chain([step]).collect();
        Operands {
            shape,
            kinds,
            counts: Counts { rows, outputs: rows, tiles: 1, splits: 1 },
            bind_groups,
            then: None,
            written: vec![Written::cleared(
                out,
                compared.map(|(row, bytes)| (u64::from(row) * bytes, bytes)).collect(),
            )],
            judge,
            buffers,
        }
    }

    /// Drawing with noise, which costs more than the largest logit; one is so large that noise can't move it.
    pub(super) fn scan(&mut self, vocabulary: u32, rows: u32, variant: &KernelVariant) -> Operands {
        let mut random = Random(0);
        let stride = vocabulary.next_multiple_of(8);
        let mut logits: Vec<f32> =
            (0..rows * stride).map(|i| if i % stride < vocabulary { 6.0 * random.float() } else { 0.0 }).collect();
        let best: Vec<u32> = (0..rows).map(|_| random.word() % vocabulary).collect();
        for (row, token) in (0..rows).zip(&best) {
            logits[(row * stride + token) as usize] = 60.0;
        }
        let params = SamplingParams { temperature: 0.8, seed: 7, ..SamplingParams::default() };
        let history = TokenHistory::new(&[], 0);
        let sampled = |place| {
            Some(SampledRow {
                params: &params,
                history: &history,
                position: 100 + place,
                place,
                pending: &[],
                mask: None,
            })
        };
        let sampled: Vec<_> = (0..rows).map(sampled).collect();
        let records = SampleRecords::new(&sampled, vocabulary);
        let data = StepData { output_rows: vec![0; rows as usize], ..StepData::default() };
        let mut words = Vec::new();
        let split = KeySplit { tile: 1, most_parts: 1, most_of_row: 1 };
        let header = data.pack(&[], &records.words, split, (WORDS_AT / 4) as usize, &mut words);
        let step = self.step(&header, &mut words);
        let gpu = self.gpu.clone();
        let logits = self.filled(&logits);
        let least = storage(&gpu, "trial", u64::from(rows) * 8);
        let chunks = if let KernelVariant::SamplePick { chunks, .. } = variant.pick() { chunks } else { MOST_CHUNKS };
        let parts = storage(&gpu, "trial", u64::from(rows * chunks) * 16);
        let out = storage(&gpu, "trial", u64::from(rows) * 8);
        let shape = KernelShape::Logits { vocabulary, stride };
        let mut bind = |bindings: &[(u32, Access, &wgpu::Buffer)]| {
            let all = [&[(0, Access::Uniform, &step), (1, Access::Read, &step)], bindings].concat();
            let kinds: BindingKinds = all.iter().map(|&(binding, access, _)| (binding, access)).collect();
            (kinds, bind_group(&gpu, &mut self.pipelines, &step, &all))
        };
        let (kinds, group) =
            bind(&[(2, Access::Read, &logits), (3, Access::Read, &least), (4, Access::ReadWrite, &parts)]);
        let (then_kinds, then_group) = bind(&[(2, Access::Read, &parts), (3, Access::ReadWrite, &out)]);
        let then = self.then(variant.pick(), shape.clone(), &then_kinds, then_group);
        let judge: Judge = Box::new(move |words| {
            // Token and whether all logits were finite.
            let drawn = best.iter().zip(words.chunks_exact(2));
            if drawn.filter(|(token, words)| [**token, 1] == [words[0], words[1]]).count() == best.len() {
                0.0
            } else {
                f32::INFINITY
            }
        });
        Operands {
            shape,
            kinds,
            counts: Counts { rows, outputs: rows, tiles: 1, splits: 1 },
            bind_groups: vec![group],
            then: Some(then),
            written: vec![Written::cleared(out, vec![(0, u64::from(rows) * 8)])],
            judge,
            buffers: vec![step, logits, least, parts],
        }
    }
}
