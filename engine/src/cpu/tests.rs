//! Every kernel against its twin, and every instruction set against the one without vectors.

use super::attention::Attention;
use super::input::{Forms, Input, Source};
use super::kv_cache::KvCache;
use super::packed::PackedMatrix;
use super::packed::tests::{formats, random_rows};
use super::product::{Products, Weights, products};
use super::simd::Isa;
use super::threads::Threads;
use super::tiles::{TileRows, Vector, tiles};
use super::{CpuExecutor, CpuWeights};
use crate::graph::StepData;
use crate::kernels;
use crate::kernels::matmul::Product;
use crate::kernels::rope_kv::KvWrite;
use crate::model::family::{Presence, TensorRule};
use crate::model::shapes::SHAPES;
use crate::model::{ModelConfig, Role, WeightKey};
use crate::sampling::random::philox;
use crate::weights::{Quantization, TensorLayout, WeightFormat};
use tilewright_plan::{
    BlockId, Capacity, Chunk, ChunkOutput, Executor, ExecutorError, OpenSequence, SamplingParams, SequenceId, StepId,
    StepOutput, StepPlan, TokenId, TokenSource,
};

/// Numbers in -1..1, the same for the same seed.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    (0..count as u32).map(|i| (philox([i, 0, 0, 0], [seed, 2])[0] >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// Rows f32 `[rows, cols]` as tiles.
fn in_tiles(data: &[f32], cols: usize) -> Vec<Vector> {
    let (rows, tile_count) = (data.len() / cols, tiles(cols as u32));
    let mut out = vec![Vector::default(); rows * tile_count];
    for (row, data) in data.chunks_exact(cols).enumerate() {
        for (tile, data) in data.chunks(16).enumerate() {
            out[tile * rows + row].0[..data.len()].copy_from_slice(data);
        }
    }
    out
}

/// Tiles as rows f32 `[rows, cols]`.
fn in_rows(tiles: &[Vector], rows: usize, cols: usize) -> Vec<f32> {
    let all = TileRows { vectors: tiles, rows };
    (0..rows * cols).map(|i| all.at(i / cols, i % cols / 16)[i % cols % 16]).collect()
}

fn packed(layout: TensorLayout, seed: u32) -> PackedMatrix {
    let mut matrix = PackedMatrix::try_zeroed(layout).unwrap();
    matrix.write_rows(0, &random_rows(&layout, seed));
    matrix
}

/// What a product reads, as f32: quantized activations are what they stand for.
fn read_back(input: &Input) -> Vec<f32> {
    if !input.floats.is_empty() {
        return input.floats.clone();
    }
    let row = |row| {
        let elements =
            input.row_blocks(row).iter().flat_map(|block| block.codes.map(|code| f32::from(code) * block.scale));
        elements.take(input.cols).collect::<Vec<f32>>()
    };
    (0..input.rows).flat_map(row).collect()
}

#[test]
fn products_of_every_format_and_shape_are_the_twins() {
    let threads = Threads::new(Some(1));
    let isa = Isa::detect();
    for format in formats() {
        let all_cols: &[u32] = if format.quantization().is_some() { &[32, 160] } else { &[1, 37, 160] };
        for (&cols, weight_rows, rows) in all_cols.iter().flat_map(|cols| {
            [(1, 1), (5, 2), (16, 3), (33, 4), (40, 7), (48, 8), (17, 15), (31, 19)].map(|(w, r)| (cols, w, r))
        }) {
            let layout = TensorLayout { rows: weight_rows, cols, format };
            let (matrix, weights) = (packed(layout, 3), random_rows(&layout, 3));
            let activations = noise(rows * cols as usize, 4);
            let mut input = Input::default();
            input.fill(isa, &threads, Forms::of(format), (rows, cols as usize), Source::Plain(&activations));
            let bias = noise(weight_rows as usize, 5);
            let bias_tiles = in_tiles(&bias, bias.len());
            let mut out = vec![Vector::default(); matrix.tiles() * rows];
            let what = Weights { matrix: &matrix, bias: Some(&bias_tiles) };
            products(isa, &threads, &input, Products::Beside(&[what]), &mut out);

            let read = read_back(&input);
            let product = Product {
                input: &read,
                in_stride: cols as usize,
                layout: &layout,
                weight: &weights,
                bias: Some(&bias),
                accumulate: false,
            };
            let mut expected = vec![0.0; rows * weight_rows as usize];
            kernels::matmul::matmul(&product, &mut expected, weight_rows as usize);
            let actual = in_rows(&out, rows, weight_rows as usize);
            for (index, (a, e)) in actual.iter().zip(&expected).enumerate() {
                let what = format!("output {index} of {rows} rows with {weight_rows} x {cols} of {format:?}");
                assert!((a - e).abs() <= 1e-4 + 1e-4 * e.abs(), "{what}: {a}, the twin says {e}");
            }
        }
    }
}

#[test]
fn gated_and_added_products_are_the_twins() {
    let threads = Threads::new(Some(1));
    let isa = Isa::detect();
    let layout = TensorLayout { rows: 40, cols: 64, format: WeightFormat::F32 };
    let (gate, up) = (packed(layout, 1), packed(layout, 2));
    let activations = noise(5 * 64, 9);
    let mut input = Input::default();
    input.fill(isa, &threads, Forms::of(layout.format), (5, 64), Source::Plain(&activations));
    let twin = |seed| {
        let weight = &random_rows(&layout, seed);
        let product =
            Product { input: &activations, in_stride: 64, layout: &layout, weight, bias: None, accumulate: false };
        let mut out = vec![0.0; 5 * 40];
        kernels::matmul::matmul(&product, &mut out, 40);
        out
    };
    let [gate, up] = [&gate, &up].map(|matrix| Weights { matrix, bias: None });
    let mut out = vec![Vector::default(); 3 * 5];
    products(isa, &threads, &input, Products::Gated(gate, up), &mut out);
    let mut expected = twin(1);
    kernels::silu_mul::silu_mul(&mut expected, &twin(2));
    assert_near(&in_rows(&out, 5, 40), &expected, 1e-4);
    products(isa, &threads, &input, Products::Added(up), &mut out);
    expected.iter_mut().zip(twin(2)).for_each(|(sum, x)| *sum += x);
    assert_near(&in_rows(&out, 5, 40), &expected, 1e-4);
}

fn assert_near(actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len());
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * (1.0 + e.abs()), "{index}: {a}, the twin says {e}");
    }
}

#[test]
fn norms_are_the_twins_and_quantized_within_half_a_step() {
    let threads = Threads::new(Some(1));
    for cols in [20, 64, 576] {
        let (data, weight) = (noise(3 * cols, 1), noise(cols, 2));
        let vectors = in_tiles(&data, cols);
        let mut expected = vec![0.0; 3 * cols];
        kernels::rms_norm::rms_norm(&data, &weight, &mut expected, cols, 1e-5);
        for isa in Isa::available() {
            let mut input = Input::default();
            let both = Forms { four: true, eight: true, dense: true };
            let tiled = TileRows { vectors: &vectors, rows: 3 };
            let source = Source::Norm { input: tiled, pick: None, weight: &in_tiles(&weight, cols), eps: 1e-5 };
            input.fill(isa, &threads, both, (3, cols), source);
            assert_near(&input.floats, &expected, 1e-5);
            for row in 0..3 {
                for (block, x) in input.row_blocks(row).iter().zip(expected[row * cols..][..cols].chunks(32)) {
                    for (code, x) in block.codes.iter().zip(x) {
                        assert!((f32::from(*code) * block.scale - x).abs() <= 0.501 * block.scale, "{x}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_is_filled_up_with_zeros_whatever_was_computed_before() {
    let threads = Threads::new(Some(1));
    let mut input = Input::default();
    let forms = Forms { four: true, ..Forms::default() };
    for cols in [576, 40, 33, 20, 1] {
        let data = noise(cols, 1);
        input.fill(Isa::detect(), &threads, forms, (1, cols), Source::Plain(&data));
        let behind = input.row_blocks(0).iter().flat_map(|block| block.codes).skip(cols);
        assert!(behind.into_iter().all(|code| code == 0), "{cols}");
    }
}

#[test]
fn a_block_that_is_not_finite_makes_all_its_products_nan() {
    let threads = Threads::new(Some(1));
    let format = WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: true });
    let layout = TensorLayout { rows: 16, cols: 64, format };
    let matrix = packed(layout, 1);
    for isa in Isa::available() {
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut activations = noise(2 * 64, 3);
            activations[70] = broken;
            let mut input = Input::default();
            input.fill(isa, &threads, Forms::of(format), (2, 64), Source::Plain(&activations));
            let mut out = vec![Vector::default(); 2];
            let what = Weights { matrix: &matrix, bias: None };
            products(isa, &threads, &input, Products::Beside(&[what]), &mut out);
            assert!(out[0].0.iter().all(|x| x.is_finite()) && out[1].0.iter().all(|x| x.is_nan()));
        }
    }
}

#[test]
fn attention_over_paged_keys_is_the_twins() {
    for (heads, kv_heads, head_dim, interleaved) in
        [(9, 3, 64, true), (7, 1, 8, false), (4, 4, 20, true), (10, 2, 32, false)]
    {
        let mut config = ModelConfig { heads, kv_heads, head_dim, ..SHAPES[0].config() };
        (config.rope.dims, config.rope.interleaved) = (if head_dim == 64 { 64 } else { head_dim / 4 * 2 }, interleaved);
        let (query_width, kv_width) = (config.query_width() as usize, config.kv_width() as usize);
        // 290 keys, more than a part, then six rows; tables fall.
        let rows = 296;
        let blocks = 20;
        let chunk = Chunk {
            sequence: SequenceId(0),
            start: 0,
            tokens: vec![TokenSource::Id(TokenId(0)); rows],
            block_table: (0..blocks).rev().map(BlockId).collect(),
            output: ChunkOutput::None,
        };
        let step = StepData::new(&[chunk], &vec![0; rows], 16, &config.rope.frequencies());
        let [query, key, value] =
            [(query_width, 1), (kv_width, 2), (kv_width, 3)].map(|(width, seed)| noise(rows * width, seed));

        let slots = blocks as usize * 16;
        let (mut keys, mut values, mut rotated) =
            (vec![0.0; slots * kv_width], vec![0.0; slots * kv_width], query.clone());
        let mut write =
            KvWrite { key: &key, value: &value, stride: kv_width, key_cache: &mut keys, value_cache: &mut values };
        kernels::rope_kv::rope_kv(&config, &step.rows, &step.rotations, &mut rotated, query_width, &mut write);
        let mut expected = vec![0.0; rows * query_width];
        let twin = kernels::attention::KvCache { keys: &keys, values: &values, block_size: 16 };
        kernels::attention::attention(&config, &step, &twin, &rotated, &mut expected, query_width);

        let [query, key, value] =
            [(&query, query_width), (&key, kv_width), (&value, kv_width)].map(|(x, width)| in_tiles(x, width));
        let of = |vectors| TileRows { vectors, rows };
        let mut first: [Option<Vec<f32>>; 2] = [None, None];
        for (isa, threads) in Isa::available().into_iter().zip([1, 2, 3].into_iter().cycle()) {
            let threads = Threads::new(Some(threads));
            let mut cache = KvCache::new(&config, blocks).unwrap();
            cache.write(&config, &threads, &step.rows, &step.rotations, (of(&key), of(&value)));
            let mut out = vec![0.0; rows * query_width];
            let attention = Attention { config: &config, step: &step, cache: &cache, query: of(&query) };
            attention.run(isa, &threads, &mut Vec::new(), &mut out);
            assert_near(&out, &expected, 1e-5);
            let first = &mut first[usize::from(matches!(isa.in_scalars(), Isa::Fused(_)))];
            assert_eq!(&out, first.get_or_insert_with(|| out.clone()), "{} as without vectors", isa.name());
        }
    }
}

/// A model of 2 layers whose matrices have formats in turn.
struct Tiny {
    config: ModelConfig,
    weights: CpuWeights,
}

const EMBEDDING: WeightKey = WeightKey { role: Role::Embedding, layer: None };

/// `broken`: a token whose embedding isn't finite.
fn tiny(formats: &[WeightFormat], broken: Option<u32>) -> Tiny {
    let sizes = ModelConfig { vocabulary: 100, layers: 2, hidden: 64, feed_forward: 96, ..SHAPES[0].config() };
    let mut config = ModelConfig { heads: 4, kv_heads: 2, head_dim: 16, tied_head: false, ..sizes };
    config.rope.dims = 16;
    let mut weights = CpuWeights::default();
    let mut seed = 0;
    let wanted = |rule: &&TensorRule| rule.presence != Presence::Optional || rule.role == Role::QueryBias;
    for rule in config.family.tensors.iter().filter(wanted) {
        for layer in 0..if rule.per_layer() { config.layers } else { 1 } {
            let key = WeightKey { role: rule.role, layer: rule.per_layer().then_some(layer) };
            seed += 1;
            if let [rows, cols] = rule.shape {
                let format = formats[seed as usize % formats.len()];
                let layout = TensorLayout { rows: rows.size(&config), cols: cols.size(&config), format };
                let mut rows = random_rows(&layout, seed);
                if let Some(token) = broken.filter(|_| key == EMBEDDING) {
                    let at = (token * layout.scale_stride()) as usize;
                    rows.scales[at] = half::f16::NAN;
                }
                assert!(weights.allocate(key, layout));
                weights.write_rows(key, 0, &rows);
            } else {
                weights.write_vector(key, &noise(rule.shape[0].size(&config) as usize, seed));
            }
        }
    }
    Tiny { config, weights }
}

impl Tiny {
    fn executor(self, isa: Isa, threads: usize) -> CpuExecutor {
        let capacity = Capacity {
            blocks: 32,
            block_size: 16,
            max_rows: 64,
            max_chunks: 8,
            max_context: 128,
            vocabulary: self.config.vocabulary,
            depth: 1,
        };
        CpuExecutor::with(isa, self.config, self.weights, capacity, Some(threads)).unwrap()
    }
}

fn chunk(sequence: u64, start: u32, tokens: &[u32], output: ChunkOutput) -> Chunk {
    Chunk {
        sequence: SequenceId(sequence),
        start,
        tokens: tokens.iter().map(|&id| TokenSource::Id(TokenId(id))).collect(),
        block_table: (0..4).map(|i| BlockId(sequence as u32 * 4 + i)).collect(),
        output,
    }
}

fn issue(executor: &mut CpuExecutor, step: u64, chunks: Vec<Chunk>) -> Result<StepOutput, ExecutorError> {
    let opens = |chunk: &&Chunk| chunk.start == 0;
    let open = |chunk: &Chunk| OpenSequence {
        sequence: chunk.sequence,
        tokens: vec![TokenId(0)],
        prompt_len: 1,
        sampling: SamplingParams::default(),
    };
    let open = chunks.iter().filter(opens).map(open).collect();
    let plan = StepPlan { open, chunks, ..StepPlan::default() };
    pollster::block_on(executor.issue(StepId(step), plan))
}

/// A prompt of 37 tokens in two steps, the second together with another sequence; all logits.
fn logits(executor: &mut CpuExecutor) -> Vec<f32> {
    let prompt: Vec<u32> = (0..37).map(|i| i * 31 % 100).collect();
    let mut all = issue(executor, 0, vec![chunk(0, 0, &prompt[..20], ChunkOutput::AllLogits)]).unwrap().logits;
    let second =
        vec![chunk(1, 0, &[7, 8, 9], ChunkOutput::LastLogits), chunk(0, 20, &prompt[20..], ChunkOutput::AllLogits)];
    all.extend(issue(executor, 1, second).unwrap().logits);
    all
}

#[test]
fn every_instruction_set_and_number_of_threads_gives_the_same_logits() {
    let formats = formats();
    for isa in Isa::available() {
        let expected = logits(&mut tiny(&formats, None).executor(isa.in_scalars(), 1));
        assert!(expected.iter().all(|x| x.is_finite()) && expected.len() == 38 * 100);
        for threads in [1, 2, 3] {
            let actual = logits(&mut tiny(&formats, None).executor(isa, threads));
            assert_eq!(actual, expected, "{} on {threads} threads", isa.name());
        }
    }
}

#[test]
fn a_sequence_says_in_a_batch_what_it_says_alone() {
    let formats = formats();
    let mut executor = tiny(&formats, None).executor(Isa::detect(), 2);
    let tokens = |sequence: u64| (0..11).map(|i| (i * 13 + sequence as u32 * 29) % 100).collect::<Vec<u32>>();
    let all = |sequence| chunk(sequence, 0, &tokens(sequence), ChunkOutput::AllLogits);
    let together = issue(&mut executor, 0, (0..5).map(all).collect()).unwrap().logits;
    let close = StepPlan { close: (0..5).map(SequenceId).collect(), ..StepPlan::default() };
    pollster::block_on(executor.issue(StepId(1), close)).unwrap();
    for sequence in 0..5 {
        let alone = issue(&mut executor, 2 + sequence, vec![all(sequence)]).unwrap().logits;
        assert_eq!(alone, together[sequence as usize * 1100..][..1100], "sequence {sequence}");
    }
}

#[test]
fn weights_that_are_not_numbers_fail_the_sequence_that_reads_them_and_no_other() {
    let format = WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: false });
    for isa in Isa::available() {
        let mut executor = tiny(&[format], Some(50)).executor(isa, 1);
        let broken = issue(&mut executor, 0, vec![chunk(0, 0, &[3, 50, 4], ChunkOutput::Sample)]);
        assert_eq!(broken.unwrap_err(), ExecutorError::NotFinite(SequenceId(0)));
        let both = vec![chunk(1, 0, &[3, 4], ChunkOutput::Sample), chunk(2, 0, &[3, 50], ChunkOutput::None)];
        let output = issue(&mut executor, 1, both).unwrap();
        assert_eq!(output.sampled.len(), 1);
        // The blocks of the broken sequence serve another.
        let reused = Chunk { sequence: SequenceId(3), ..chunk(0, 0, &[3, 4], ChunkOutput::Sample) };
        let again = issue(&mut executor, 2, vec![reused]).unwrap();
        assert_eq!(again.sampled[0].token, output.sampled[0].token);
    }
}
