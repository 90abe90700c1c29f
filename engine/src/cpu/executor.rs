//! A step on main memory: its stages one after the other, each shared out to all threads.

use super::attention::Attention;
use super::input::{Forms, Input, Source};
use super::kv_cache::{KvCache, SLOTS};
use super::product::{Products, products};
use super::simd::{Isa, LANES};
use super::stages::{Matrix, Stage, stages};
use super::threads::Threads;
use super::tiles::{TileRows, Vector, tiles};
use super::weights::CpuWeights;
use crate::executor::Sequences;
use crate::graph::{Activation, Program, StepData};
use crate::load::LoadError;
use crate::model::{ModelConfig, WeightKey};
use tilewright_plan::{Capacity, Executor, ExecutorError, StepFuture, StepId, StepOutput, StepPlan};

/// The fast executor. A step is computed when it is issued; its future is ready at once.
pub struct CpuExecutor {
    machine: Machine,
    frequencies: Vec<f64>,
    capacity: Capacity,
    sequences: Sequences,
    /// Of the last step: room for the next one's.
    logits: Vec<f32>,
}

/// What computes a step, and what it works on.
struct Machine {
    isa: Isa,
    threads: Threads,
    config: ModelConfig,
    /// Body and head.
    stages: [Vec<Stage>; 2],
    weights: CpuWeights,
    /// By layer.
    cache: Vec<KvCache>,
    scratch: Scratch,
}

/// Buffers, kept from step to step.
#[derive(Default)]
struct Scratch {
    /// `[hidden tiles, rows]`
    hidden: Vec<Vector>,
    /// Queries, keys, values: `[tiles, rows]` one after the other.
    projected: Vec<Vector>,
    /// `[feed-forward tiles, rows]`
    gated: Vec<Vector>,
    /// `[vocabulary tiles, rows of a segment]`
    logits: Vec<Vector>,
    /// f32 `[rows, query_width]`
    attended: Vec<f32>,
    parts: Vec<f32>,
    input: Input,
}

/// Rows whose logits are computed at once.
const HEAD_ROWS: usize = 16;

impl CpuExecutor {
    /// Over loaded weights, with so many threads, by default one for each core.
    ///
    /// # Errors
    /// When the model's family has an operation that is not built here, or there is no memory for keys and values.
    pub fn new(
        config: ModelConfig,
        weights: CpuWeights,
        capacity: Capacity,
        threads: Option<usize>,
    ) -> Result<Self, LoadError> {
        Self::with(Isa::detect(), config, weights, capacity, threads)
    }

    pub(super) fn with(
        isa: Isa,
        config: ModelConfig,
        weights: CpuWeights,
        capacity: Capacity,
        threads: Option<usize>,
    ) -> Result<Self, LoadError> {
        let Some(stages) = stages(&Program::new(&config)).filter(|_| capacity.block_size as usize == SLOTS) else {
            return Err(LoadError::NoKernels { family: config.family.name });
        };
        let cache: Option<_> = (0..config.layers).map(|_| KvCache::new(&config, capacity.blocks)).collect();
        let Some(cache) = cache else {
            return Err(LoadError::NoMemoryForKv {
                kv_bytes: u64::from(capacity.blocks) * SLOTS as u64 * config.kv_bytes_per_token(),
                tokens: capacity.blocks * capacity.block_size,
                weights_bytes: weights.bytes(),
            });
        };
        Ok(Self {
            frequencies: config.rope.frequencies(),
            machine: Machine {
                isa,
                threads: Threads::new(threads),
                cache,
                config,
                stages,
                weights,
                scratch: Scratch::default(),
            },
            capacity,
            sequences: Sequences::default(),
            logits: Vec::new(),
        })
    }

    fn run(&mut self, step_id: StepId, plan: &StepPlan) -> Result<StepOutput, ExecutorError> {
        let tokens = self.sequences.begin(plan, &self.capacity)?;
        let step = StepData::new(&plan.chunks, &tokens, self.capacity.block_size, &self.frequencies);
        self.logits = self.machine.step(&step, std::mem::take(&mut self.logits));
        self.sequences.finish(step_id, plan, &mut self.logits, self.machine.config.vocabulary as usize)
    }
}

impl Machine {
    /// f32 `[outputs, vocabulary]`, in the vector that was given.
    fn step(&mut self, step: &StepData, mut logits: Vec<f32>) -> Vec<f32> {
        let Self { isa, threads, config, stages, weights, cache, scratch } = self;
        let isa = *isa;
        threads.enter(|| {
            logits.clear();
            if step.rows.is_empty() {
                return logits;
            }
            let mut pass = Pass { isa, threads, config, weights, cache, scratch, step };
            for stage in &stages[0] {
                pass.run(stage, &mut logits);
            }
            if !step.output_rows.is_empty() {
                stages[1].iter().for_each(|stage| pass.run(stage, &mut logits));
            }
            logits
        })
    }
}

/// A step under way.
struct Pass<'a> {
    isa: Isa,
    threads: &'a Threads,
    config: &'a ModelConfig,
    weights: &'a CpuWeights,
    cache: &'a mut [KvCache],
    scratch: &'a mut Scratch,
    step: &'a StepData,
}

impl Pass<'_> {
    fn run(&mut self, stage: &Stage, logits: &mut Vec<f32>) {
        let Self { isa, threads, config, weights, scratch, step, .. } = self;
        let (isa, threads, config, weights, step) = (*isa, *threads, *config, *weights, *step);
        let Scratch { hidden, projected, gated, attended, parts, input, .. } = &mut **scratch;
        let rows = step.rows.len();
        let width = config.hidden as usize;
        match stage {
            Stage::Embed { table } => self.embed(*table),
            Stage::QueryKeyValue { norm, matrices, layer } => {
                let source = norm_of(weights, *norm, hidden, rows, None, config);
                input.fill(isa, threads, forms(weights, matrices), (rows, width), source);
                let [query, key, value] = matrices.map(|matrix| weights.weights(matrix));
                let [keys_at, values_at] =
                    [tiles(config.query_width()), tiles(config.query_width()) + tiles(config.kv_width())];
                projected.resize((values_at + tiles(config.kv_width())) * rows, Vector::default());
                products(isa, threads, input, Products::Beside(&[query, key, value]), projected);
                let all = TileRows { vectors: projected, rows };
                let kv = (all.skip(keys_at), all.skip(values_at));
                self.cache[*layer as usize].write(config, threads, &step.rows, &step.rotations, kv);
            }
            Stage::Attention { layer } => {
                let query = TileRows { vectors: projected, rows };
                attended.resize(rows * config.query_width() as usize, 0.0);
                let attention = Attention { config, step, cache: &self.cache[*layer as usize], query };
                attention.run(isa, threads, parts, attended);
            }
            Stage::Project { from, matrix } => {
                let (cols, source) = match from {
                    Activation::Attended => (config.query_width(), Source::Plain(attended)),
                    _ => (config.feed_forward, Source::Tiles(TileRows { vectors: gated, rows })),
                };
                input.fill(isa, threads, forms(weights, &[*matrix]), (rows, cols as usize), source);
                products(isa, threads, input, Products::Added(weights.weights(*matrix)), hidden);
            }
            Stage::GateUp { norm, gate, up } => {
                let source = norm_of(weights, *norm, hidden, rows, None, config);
                input.fill(isa, threads, forms(weights, &[*gate, *up]), (rows, width), source);
                gated.resize(tiles(config.feed_forward) * rows, Vector::default());
                let both = Products::Gated(weights.weights(*gate), weights.weights(*up));
                products(isa, threads, input, both, gated);
            }
            Stage::Head { norm, matrix } => {
                for picked in step.output_rows.chunks(HEAD_ROWS) {
                    self.head(*norm, *matrix, picked, logits);
                }
            }
        }
    }

    fn embed(&mut self, table: WeightKey) {
        let (matrix, rows) = (self.weights.matrix(table), self.step.rows.len());
        let hidden = &mut self.scratch.hidden;
        hidden.resize(tiles(self.config.hidden) * rows, Vector::default());
        let mut elements = vec![0.0; self.config.hidden as usize];
        for (index, row) in self.step.rows.iter().enumerate() {
            matrix.dequantize(row.token, &mut elements);
            for (tile, elements) in elements.chunks(16).enumerate() {
                let out = &mut hidden[tile * rows + index].0;
                out.fill(0.0);
                out[..elements.len()].copy_from_slice(elements);
            }
        }
    }

    /// Appends the logits of some rows.
    fn head(&mut self, norm: WeightKey, matrix: Matrix, picked: &[u32], out: &mut Vec<f32>) {
        let Self { isa, threads, config, weights, scratch, step, .. } = self;
        let Scratch { hidden, logits, input, .. } = &mut **scratch;
        let size = (picked.len(), config.hidden as usize);
        let source = norm_of(weights, norm, hidden, step.rows.len(), Some(picked), config);
        input.fill(*isa, threads, forms(weights, &[matrix]), size, source);
        logits.resize(tiles(config.vocabulary) * picked.len(), Vector::default());
        products(*isa, threads, input, Products::Beside(&[weights.weights(matrix)]), logits);
        let vocabulary = config.vocabulary as usize;
        let first = out.len();
        out.resize(first + picked.len() * vocabulary, 0.0);
        threads.units_mut(&mut out[first..], vocabulary, &|row, out| {
            for (tile, out) in logits.chunks_exact(picked.len()).zip(out.chunks_mut(LANES)) {
                out.copy_from_slice(&tile[row].0[..out.len()]);
            }
        });
    }
}

fn norm_of<'a>(
    weights: &'a CpuWeights,
    norm: WeightKey,
    hidden: &'a [Vector],
    rows: usize,
    pick: Option<&'a [u32]>,
    config: &ModelConfig,
) -> Source<'a> {
    let weight = weights.vector(norm).unwrap_or_default();
    Source::Norm { input: TileRows { vectors: hidden, rows }, pick, weight, eps: config.norm_eps }
}

/// The forms of a row that some matrices need.
fn forms(weights: &CpuWeights, matrices: &[Matrix]) -> Forms {
    let of = |matrix: &Matrix| Forms::of(weights.matrix(matrix.0).layout().format);
    matrices.iter().map(of).fold(Forms::default(), Forms::and)
}

impl Executor for CpuExecutor {
    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn issue(&mut self, step: StepId, plan: StepPlan) -> StepFuture {
        let result = self.run(step, &plan);
        Box::pin(std::future::ready(result))
    }

    fn device(&self) -> String {
        let threads = self.machine.threads.count();
        format!("CPU with {}, {threads} {}", self.machine.isa.name(), if threads == 1 { "thread" } else { "threads" })
    }
}
