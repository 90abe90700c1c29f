//! Attention over paged keys and values.
//!
//! A piece of work is a row, a KV head and a part of the keys; it computes all query heads that share the KV head, so that a
//! key or value is loaded once for them. Parts are of a fixed number of keys: a long context is shared out to threads although
//! a model may have two KV heads, and a row's sums don't depend on what else is computed. A part leaves its largest score,
//! its total and its sum of values; what they come to together is put together after.

use super::kv_cache::{KvCache, SLOTS, columns, rotate};
use super::simd::{Isa, Kernel, LANES, Simd};
use super::threads::Threads;
use super::tiles::{TileRows, Vector};
use super::vector_math::exp;
use crate::graph::StepData;
use crate::kernels::attention::attention_scale;
use crate::model::ModelConfig;

/// Keys of a part.
const PART: usize = 256;

/// What attention needs besides its output.
#[derive(Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub(crate) config: &'a ModelConfig,
    pub(crate) step: &'a StepData,
    pub(crate) cache: &'a KvCache,
    /// Queries, not rotated yet.
    pub(crate) query: TileRows<'a>,
}

impl Attention<'_> {
    fn heads_per_kv(&self) -> usize {
        (self.config.heads / self.config.kv_heads) as usize
    }

    /// f32 of a part: each query head's values, then each one's largest score and total.
    fn part_size(&self) -> usize {
        self.heads_per_kv() * (self.cache.value_width() + 2)
    }

    /// `out` f32 `[rows, query_width]`; `parts` is room for what threads leave each other.
    pub(crate) fn run(self, isa: Isa, threads: &Threads, parts: &mut Vec<f32>, out: &mut [f32]) {
        let last = self.step.rows.iter().map(|row| row.position as usize).max().unwrap_or(0);
        let part_count = last / PART + 1;
        let kv_heads = self.config.kv_heads as usize;
        let (size, units) = (self.part_size(), self.step.rows.len() * kv_heads);
        parts.resize(units * part_count * size, 0.0);
        threads.chunks_mut(parts, size, &|index, out| {
            let (unit, part) = (index / part_count, index % part_count);
            let first = part * PART;
            isa.run(Part { attention: self, row: unit / kv_heads, kv_head: unit % kv_heads, first, out });
        });
        let width = self.heads_per_kv() * self.config.head_dim as usize;
        for (parts, out) in parts.chunks_exact(part_count * size).zip(out.chunks_exact_mut(width)) {
            self.join(parts, out);
        }
    }

    /// Puts the parts of a row and KV head together.
    fn join(self, parts: &[f32], out: &mut [f32]) {
        let (heads, width) = (self.heads_per_kv(), self.cache.value_width());
        for (head, out) in out.chunks_exact_mut(self.config.head_dim as usize).enumerate() {
            let of = |part: &[f32]| (part[heads * width + head], part[heads * (width + 1) + head]);
            let parts = || parts.chunks_exact(self.part_size()).filter(|part| of(part).1 != 0.0);
            let top = parts().map(|part| of(part).0).fold(f32::NEG_INFINITY, |a, b| if a > b { a } else { b });
            let total: f32 = parts().map(|part| of(part).1 * (of(part).0 - top).exp()).sum();
            out.fill(0.0);
            for part in parts() {
                let share = (of(part).0 - top).exp() / total;
                out.iter_mut().zip(&part[head * width..]).for_each(|(out, x)| *out += share * x);
            }
        }
    }
}

/// A part of the keys of one row and KV head.
struct Part<'a, 'b> {
    attention: Attention<'a>,
    row: usize,
    kv_head: usize,
    /// Its first key.
    first: usize,
    out: &'b mut [f32],
}

impl Kernel for Part<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { attention, row: index, kv_head, first, out } = self;
        let Attention { config, step, cache, query } = attention;
        let row = step.rows[index];
        let (heads, head_dim, width) = (attention.heads_per_kv(), config.head_dim as usize, cache.value_width());
        let keys = (row.position as usize + 1).saturating_sub(first).min(PART);
        if keys == 0 {
            out[heads * width..].fill(0.0);
            return;
        }
        let table = &step.block_tables[(row.chunk * step.table_stride) as usize + first / SLOTS..];
        let table = &table[..keys.div_ceil(SLOTS)];

        let pairs = config.rope.dims as usize / 2;
        let scale = attention_scale(config);
        let mut queries = vec![0.0; heads * head_dim];
        columns(query, index, kv_head * heads * head_dim, &mut queries);
        for query in queries.chunks_exact_mut(head_dim) {
            rotate(query, &step.rotations[index * pairs..][..pairs], config.rope.interleaved);
            for x in query {
                *x *= scale;
            }
        }
        // [heads, keys], in whole vectors
        let mut scores = vec![Vector::default(); heads * table.len()];
        let (values, stats) = out.split_at_mut(heads * width);
        let mut head = 0;
        while head < heads {
            let count = (heads - head).min(S::HEADS);
            let queries = &queries[head * head_dim..];
            let scores = &mut scores[head * table.len()..][..count * table.len()];
            let values = &mut values[head * width..][..count * width];
            let blocks = Blocks { cache, kv_head, table, keys };
            match count {
                4 => blocks.heads::<S, 4>(simd, queries, scores, values, &mut stats[head..], heads),
                3 => blocks.heads::<S, 3>(simd, queries, scores, values, &mut stats[head..], heads),
                2 => blocks.heads::<S, 2>(simd, queries, scores, values, &mut stats[head..], heads),
                _ => blocks.heads::<S, 1>(simd, queries, scores, values, &mut stats[head..], heads),
            }
            head += count;
        }
    }
}

/// The keys of a part.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    cache: &'a KvCache,
    kv_head: usize,
    table: &'a [u32],
    keys: usize,
}

impl Blocks<'_> {
    /// `H` query heads: `queries` `[H, head_dim]`, `scores` room for `[H, blocks]`, `out` `[H, value_width]`; the largest score and the
    /// total of a head go to `stats` and `heads` further on.
    #[inline(always)]
    fn heads<S: Simd, const H: usize>(
        self,
        simd: S,
        queries: &[f32],
        scores: &mut [Vector],
        out: &mut [f32],
        stats: &mut [f32],
        heads: usize,
    ) {
        let blocks = self.table.len();
        let head_dim = self.cache.head_dim();
        let queries: [&[f32]; H] = std::array::from_fn(|head| &queries[head * head_dim..][..head_dim]);
        // Two blocks at once: one sum a head would wait for itself.
        for (index, pair) in self.table.chunks(2).enumerate() {
            let mut sums = [[simd.splat(0.0); 2]; H];
            let other = pair[pair.len() - 1];
            let keys =
                [pair[0], other].map(|block| self.cache.key_block(self.kv_head, block as usize).as_chunks::<LANES>().0);
            for (i, (first, second)) in keys[0].iter().zip(keys[1]).enumerate() {
                let (first, second) = (simd.load(first), simd.load(second));
                for head in 0..H {
                    let query = simd.splat(queries[head][i]);
                    sums[head][0] = simd.add(sums[head][0], simd.mul(query, first));
                    sums[head][1] = simd.add(sums[head][1], simd.mul(query, second));
                }
            }
            for head in 0..H {
                let scores = &mut scores[head * blocks + index * 2..][..pair.len()];
                for (score, sum) in scores.iter_mut().zip(sums[head]) {
                    simd.store(sum, &mut score.0);
                }
            }
        }
        let tail = self.keys - (blocks - 1) * SLOTS;
        for (head, scores) in scores.chunks_exact_mut(blocks).enumerate() {
            // Slots behind the row hold anything.
            let last = blocks - 1;
            scores[last].0[tail..].fill(f32::NEG_INFINITY);
            let mut top = simd.splat(f32::NEG_INFINITY);
            for score in &*scores {
                top = simd.max(simd.load(&score.0), top);
            }
            let top = simd.largest(top);
            for score in &mut *scores {
                let power = exp(simd, simd.sub(simd.load(&score.0), simd.splat(top)));
                simd.store(power, &mut score.0);
            }
            scores[last].0[tail..].fill(0.0);
            let mut total = simd.splat(0.0);
            for score in &*scores {
                total = simd.add(total, simd.load(&score.0));
            }
            stats[head] = top;
            stats[heads + head] = simd.total(total);
        }
        let width = self.cache.value_width();
        let mut at = 0;
        while at < width {
            if width - at >= 2 * LANES {
                self.values::<S, H, 2>(simd, scores, at, out);
                at += 2 * LANES;
            } else {
                self.values::<S, H, 1>(simd, scores, at, out);
                at += LANES;
            }
        }
    }

    /// Sums `V` vectors of the values from element `at` on, for `H` heads.
    #[inline(always)]
    fn values<S: Simd, const H: usize, const V: usize>(self, simd: S, scores: &[Vector], at: usize, out: &mut [f32]) {
        let (blocks, width) = (self.table.len(), self.cache.value_width());
        let mut sums = [[simd.splat(0.0); V]; H];
        for (index, block) in self.table.iter().enumerate() {
            let values = self.cache.value_block(self.kv_head, *block as usize);
            let scores: [&[f32; LANES]; H] = std::array::from_fn(|head| &scores[head * blocks + index].0);
            let slots = (self.keys - index * SLOTS).min(SLOTS);
            for (slot, values) in values.chunks_exact(width).take(slots).enumerate() {
                let values = values[at..].as_chunks::<LANES>().0;
                for v in 0..V {
                    let value = simd.load(&values[v]);
                    for head in 0..H {
                        sums[head][v] = simd.add(sums[head][v], simd.mul(simd.splat(scores[head][slot]), value));
                    }
                }
            }
        }
        for (head, sums) in sums.into_iter().enumerate() {
            let out = out[head * width + at..].as_chunks_mut::<LANES>().0;
            for (sum, out) in sums.into_iter().zip(out) {
                simd.store(sum, out);
            }
        }
    }
}
