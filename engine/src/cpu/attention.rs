//! Attention over paged keys and values.
//!
//! A piece of work is a few rows of one sequence side by side, a KV head and a part of the keys; it computes all query heads that
//! share the KV head, so that a key or value is loaded once for up to [`QUERIES`] of them. Parts are of a fixed number of keys: a long
//! context is shared out to threads although a model may have two KV heads, and a row's sums don't depend on what else is
//! computed. A part leaves its largest score, its total and its sum of values; what they come to together is put together
//! after.
//!
//! In registers are the sums of a few queries with sixteen keys, or with sixteen elements of values: as many as there is room for beside
//! what they are multiplied with ([`Simd::QUERIES`]). A row by itself, with one query at once, took half as long
//! again in a prompt of 1 000 tokens.

use super::kv_cache::{KvCache, SLOTS, columns, rotate};
use super::room::Room;
use super::simd::{Isa, Kernel, LANES, Simd};
use super::threads::Threads;
use super::tiles::{TileRows, Vector};
use super::vector_math::exp;
use crate::graph::StepData;
use crate::kernels::attention::attention_scale;
use crate::model::ModelConfig;
use std::array::from_fn;
use std::ops::Range;

/// Keys of a part.
const PART: usize = 256;

/// Queries of a piece of work, if there are not more heads.
const QUERIES: usize = 16;

/// Rows whose parts are put together at once.
const JOINED: usize = 8;

/// What attention needs besides its output.
#[derive(Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub(crate) config: &'a ModelConfig,
    pub(crate) step: &'a StepData,
    pub(crate) cache: &'a KvCache,
    /// Queries, not rotated yet.
    pub(crate) query: TileRows<'a>,
}

/// A piece of work.
struct Piece<'a> {
    rows: Range<usize>,
    kv_head: usize,
    part: usize,
    /// `[rows]` of [`Attention::part_size`]
    out: &'a mut [f32],
}

/// Rows of one sequence that are computed together: what they leave is `[kv heads, parts, rows]` of [`Attention::part_size`].
struct Group {
    rows: Range<usize>,
    parts: usize,
    /// Where it lies.
    at: usize,
}

impl Attention<'_> {
    fn heads_per_kv(&self) -> usize {
        (self.config.heads / self.config.kv_heads) as usize
    }

    /// f32 of a part: each query head's values, then each one's largest score and total.
    fn part_size(&self) -> usize {
        self.heads_per_kv() * (self.cache.value_width() + 2)
    }

    /// Keys that a row may look at.
    fn keys(&self, row: usize) -> usize {
        self.step.rows[row].position as usize + 1
    }

    fn groups(&self) -> Vec<Group> {
        let most = (QUERIES / self.heads_per_kv()).max(1);
        let rows = &self.step.rows;
        let (mut groups, mut first, mut at) = (Vec::new(), 0, 0);
        while first < rows.len() {
            let same = rows[first..].iter().take(most).take_while(|row| row.chunk == rows[first].chunk).count();
            let rows = first..first + same;
            let keys = rows.clone().map(|row| self.keys(row)).max().unwrap_or(0);
            groups.push(Group { rows, parts: keys.div_ceil(PART), at });
            (first, at) = (first + same, at + self.config.kv_heads as usize * keys.div_ceil(PART) * same);
        }
        groups
    }

    /// `out` f32 `[rows, query_width]`; `parts` is room for what threads leave each other.
    pub(crate) fn run(self, isa: Isa, threads: &Threads, parts: &mut Vec<f32>, out: &mut [f32]) {
        let (groups, size, kv_heads) = (self.groups(), self.part_size(), self.config.kv_heads as usize);
        let Some(last) = groups.last() else { return };
        parts.resize((last.at + kv_heads * last.parts * last.rows.len()) * size, 0.0);
        let mut pieces = Vec::new();
        let mut left = &mut parts[..];
        for group in &groups {
            for index in 0..kv_heads * group.parts {
                let Some(out) = left.split_off_mut(..group.rows.len() * size) else { return };
                let (kv_head, part) = (index / group.parts, index % group.parts);
                pieces.push(Piece { rows: group.rows.clone(), kv_head, part, out });
            }
        }
        threads.units_mut(&mut pieces, 1, &|_, pieces| {
            for piece in pieces {
                isa.run(Part { attention: self, piece });
            }
        });
        let width = self.config.query_width() as usize;
        threads.units_mut(out, JOINED * width, &|index, out| {
            for (row, out) in (index * JOINED..).zip(out.chunks_exact_mut(width)) {
                let group = &groups[groups.partition_point(|group| group.rows.end <= row)];
                self.join(group, row, parts, out);
            }
        });
    }

    /// Puts the parts of a row together.
    fn join(self, group: &Group, row: usize, parts: &[f32], out: &mut [f32]) {
        let (heads, width, size) = (self.heads_per_kv(), self.cache.value_width(), self.part_size());
        let count = group.rows.len();
        for (head, out) in out.chunks_exact_mut(self.config.head_dim as usize).enumerate() {
            let (kv_head, head) = (head / heads, head % heads);
            let first = group.at + kv_head * group.parts * count + row - group.rows.start;
            let of = |part: &[f32]| (part[heads * width + head], part[heads * (width + 1) + head]);
            let parts = || {
                let all = (0..group.parts).map(|part| &parts[(first + part * count) * size..][..size]);
                all.filter(|part| of(part).1 != 0.0)
            };
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

/// A part of the keys of some rows and a KV head.
struct Part<'a, 'b, 'c> {
    attention: Attention<'a>,
    piece: &'b mut Piece<'c>,
}

impl Kernel for Part<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { attention, piece: Piece { rows, kv_head, part, out } } = self;
        let Attention { config, step, cache, query } = attention;
        let (heads, head_dim, width) = (attention.heads_per_kv(), config.head_dim as usize, cache.value_width());
        let first = *part * PART;
        let keys_of = |row: usize| attention.keys(row).saturating_sub(first).min(PART);
        let keys = rows.clone().map(keys_of).max().unwrap_or(0);
        let table_at = (step.rows[rows.start].chunk * step.table_stride) as usize + first / SLOTS;
        let table = &step.block_tables[table_at..][..keys.div_ceil(SLOTS)];

        let pairs = config.rope.dims as usize / 2;
        let scale = attention_scale(config);
        let count = rows.len() * heads;
        let mut room = Room::take();
        let ([queries, beside], scores) = room.parts(
            [count * head_dim; 2],
            // [queries, blocks], in whole vectors
            count * table.len(),
        );
        for (row, queries) in rows.clone().zip(queries.chunks_exact_mut(heads * head_dim)) {
            columns(query, row, *kv_head * heads * head_dim, queries);
            for query in queries.chunks_exact_mut(head_dim) {
                rotate(query, &step.rotations[row * pairs..][..pairs], config.rope.interleaved);
                for x in query {
                    *x *= scale;
                }
            }
        }
        let blocks = Blocks { cache, kv_head: *kv_head, table };
        for (some, out) in queries.chunks(S::QUERIES * head_dim).zip(beside.chunks_mut(S::QUERIES * head_dim)) {
            match some.len() / head_dim {
                4 => side_by_side::<4>(some, head_dim, out),
                3 => side_by_side::<3>(some, head_dim, out),
                2 => side_by_side::<2>(some, head_dim, out),
                _ => side_by_side::<1>(some, head_dim, out),
            }
        }
        blocks.scores(simd, beside, scores);
        // Of each query.
        let mut keys = Vec::with_capacity(count);
        for (index, row) in rows.clone().enumerate() {
            let stats = &mut out[index * attention.part_size() + heads * width..][..2 * heads];
            for head in 0..heads {
                let scores = &mut scores[(index * heads + head) * table.len()..][..keys_of(row).div_ceil(SLOTS)];
                (stats[head], stats[heads + head]) = softmax(simd, scores, keys_of(row));
                keys.push(keys_of(row));
            }
        }
        let mut values: Vec<&mut [f32]> = Vec::with_capacity(count);
        for out in out.chunks_exact_mut(attention.part_size()) {
            values.extend(out[..heads * width].chunks_exact_mut(width));
        }
        blocks.values(simd, scores, &keys, &mut values);
        room.give_back();
    }
}

/// `[Q, width]` as `[width, Q]`: what is multiplied with one element of a key lies side by side.
#[inline(always)]
fn side_by_side<const Q: usize>(queries: &[f32], width: usize, out: &mut [f32]) {
    for (index, query) in queries.chunks_exact(width).enumerate() {
        for (x, out) in query.iter().zip(out[index..].iter_mut().step_by(Q)) {
            *out = *x;
        }
    }
}

/// Scores of so many keys become powers of e, relative to the largest score; returns that and their total.
#[inline(always)]
fn softmax<S: Simd>(simd: S, scores: &mut [Vector], keys: usize) -> (f32, f32) {
    let Some((last, _)) = scores.split_last_mut() else { return (f32::NEG_INFINITY, 0.0) };
    // Slots behind the row hold anything.
    let tail = (keys - 1) % SLOTS + 1;
    last.0[tail..].fill(f32::NEG_INFINITY);
    let mut top = simd.splat(f32::NEG_INFINITY);
    for score in &*scores {
        top = simd.max(simd.load(&score.0), top);
    }
    let top = simd.largest(top);
    for score in &mut *scores {
        let power = exp(simd, simd.sub(simd.load(&score.0), simd.splat(top)));
        simd.store(power, &mut score.0);
    }
    if let Some(last) = scores.last_mut() {
        last.0[tail..].fill(0.0);
    }
    let mut total = simd.splat(0.0);
    for score in &*scores {
        total = simd.add(total, simd.load(&score.0));
    }
    (top, simd.total(total))
}

/// The blocks of a part.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    cache: &'a KvCache,
    kv_head: usize,
    table: &'a [u32],
}

impl Blocks<'_> {
    /// `queries` as [`side_by_side`] puts some at a time; `out` `[queries, blocks]`.
    #[inline(always)]
    fn scores<S: Simd>(self, simd: S, queries: &[f32], out: &mut [Vector]) {
        let (blocks, head_dim) = (self.table.len(), self.cache.head_dim());
        for (index, block) in self.table.iter().enumerate() {
            let keys = self.cache.key_block(self.kv_head, *block as usize).as_chunks::<LANES>().0;
            for (first, queries) in queries.chunks(S::QUERIES * head_dim).enumerate() {
                let out = &mut out[first * S::QUERIES * blocks + index..];
                match queries.len() / head_dim {
                    4 => some_scores::<S, 4>(simd, queries, keys, out, blocks),
                    3 => some_scores::<S, 3>(simd, queries, keys, out, blocks),
                    2 => some_scores::<S, 2>(simd, queries, keys, out, blocks),
                    _ => some_scores::<S, 1>(simd, queries, keys, out, blocks),
                }
            }
        }
    }

    /// `scores` `[queries, blocks]`, of `keys` `[queries]` each; `out` `[queries]` of `[value_width]`.
    #[inline(always)]
    fn values<S: Simd>(self, simd: S, scores: &[Vector], keys: &[usize], out: &mut [&mut [f32]]) {
        let vectors = self.cache.value_width() / LANES;
        let mut at = 0;
        while at < vectors {
            let two = S::VALUES > 1 && vectors - at >= 2;
            let queries = keys.chunks(S::QUERIES).zip(out.chunks_mut(S::QUERIES));
            for ((keys, out), scores) in queries.zip(scores.chunks(S::QUERIES * self.table.len())) {
                match (keys.len(), two) {
                    (4, true) => self.some_values::<S, 4, 2>(simd, scores, keys, at, out),
                    (4, false) => self.some_values::<S, 4, 1>(simd, scores, keys, at, out),
                    (3, true) => self.some_values::<S, 3, 2>(simd, scores, keys, at, out),
                    (3, false) => self.some_values::<S, 3, 1>(simd, scores, keys, at, out),
                    (2, true) => self.some_values::<S, 2, 2>(simd, scores, keys, at, out),
                    (2, false) => self.some_values::<S, 2, 1>(simd, scores, keys, at, out),
                    (_, true) => self.some_values::<S, 1, 2>(simd, scores, keys, at, out),
                    (_, false) => self.some_values::<S, 1, 1>(simd, scores, keys, at, out),
                }
            }
            at += if two { 2 } else { 1 };
        }
    }

    /// `V` vectors of the values from vector `at` on, for `Q` queries.
    #[inline(always)]
    fn some_values<S: Simd, const Q: usize, const V: usize>(
        self,
        simd: S,
        scores: &[Vector],
        keys: &[usize],
        at: usize,
        out: &mut [&mut [f32]],
    ) {
        let vectors = self.cache.value_width() / LANES;
        let mut sums = [[simd.splat(0.0); V]; Q];
        // What a row may not look at isn't multiplied with zero: it might be no number.
        let common = keys.iter().copied().fold(PART, usize::min);
        for (index, block) in self.table[..common.div_ceil(SLOTS)].iter().enumerate() {
            let scores: [&[f32; SLOTS]; Q] = from_fn(|query| &scores[query * self.table.len() + index].0);
            let rows = self.cache.value_block(self.kv_head, *block as usize).as_chunks::<LANES>().0;
            let rows = rows.chunks_exact(vectors).take(common - index * SLOTS);
            for (values, slot) in rows.zip(0..SLOTS) {
                let Some(values) = values.get(at..).and_then(<[_]>::first_chunk::<V>) else { continue };
                for v in 0..V {
                    let value = simd.load(&values[v]);
                    for query in 0..Q {
                        sums[query][v] = simd.mul_add(simd.splat(scores[query][slot]), value, sums[query][v]);
                    }
                }
            }
        }
        for ((query, out), keys) in out.iter_mut().enumerate().zip(keys) {
            for (index, block) in self.table[..keys.div_ceil(SLOTS)].iter().enumerate().skip(common / SLOTS) {
                let rows = self.cache.value_block(self.kv_head, *block as usize).as_chunks::<LANES>().0;
                let slots = common.saturating_sub(index * SLOTS)..(keys - index * SLOTS).min(SLOTS);
                for slot in slots {
                    let score = simd.splat(scores[query * self.table.len() + index].0[slot]);
                    for v in 0..V {
                        let value = simd.load(&rows[slot * vectors + at + v]);
                        sums[query][v] = simd.mul_add(score, value, sums[query][v]);
                    }
                }
            }
            for (sum, out) in sums[query].into_iter().zip(&mut out.as_chunks_mut::<LANES>().0[at..]) {
                simd.store(sum, out);
            }
        }
    }
}

/// The scores of `Q` queries, `[head_dim, Q]`, with the keys of a block; `stride` from one query's to the next one's.
#[inline(always)]
fn some_scores<S: Simd, const Q: usize>(
    simd: S,
    queries: &[f32],
    keys: &[[f32; LANES]],
    out: &mut [Vector],
    stride: usize,
) {
    let mut sums = [simd.splat(0.0); Q];
    for (key, queries) in keys.iter().zip(queries.as_chunks::<Q>().0) {
        let key = simd.load(key);
        for query in 0..Q {
            sums[query] = simd.mul_add(simd.splat(queries[query]), key, sums[query]);
        }
    }
    for (sum, out) in sums.into_iter().zip(out.iter_mut().step_by(stride)) {
        simd.store(sum, &mut out.0);
    }
}
