//! Carries out the step program with the kernels' twins.

use super::ReferenceWeights;
use crate::executor::Sequences;
use crate::graph::{Activation, Op, Program, RowSet, StepData};
use crate::kernels::attention::KvCache;
use crate::kernels::matmul::Product;
use crate::kernels::rope_kv::KvWrite;
use crate::kernels::{attention, embed, gather_rows, matmul, rms_norm, rope_kv, silu_mul};
use crate::model::ModelConfig;
use std::collections::BTreeMap;
use tilewright_plan::{Capacity, Executor, ExecutorError, StepFuture, StepId, StepOutput, StepPlan};

/// The reference executor. A step is computed when it is issued; its future is ready at once.
pub struct CpuReference {
    config: ModelConfig,
    program: Program,
    weights: ReferenceWeights,
    frequencies: Vec<f64>,
    capacity: Capacity,
    /// Keys and values by layer, f32 `[slots, kv_width]` each.
    cache: Vec<[Vec<f32>; 2]>,
    sequences: Sequences,
}

/// Activations of one step.
type Activations = BTreeMap<Activation, Vec<f32>>;

impl CpuReference {
    /// Over loaded weights.
    pub fn new(config: ModelConfig, weights: ReferenceWeights, capacity: Capacity) -> Self {
        let slots = capacity.blocks as usize * capacity.block_size as usize;
        let cache = || vec![0.0; slots * config.kv_width() as usize];
        Self {
            program: Program::new(&config),
            frequencies: config.rope.frequencies(),
            cache: (0..config.layers).map(|_| [cache(), cache()]).collect(),
            config,
            weights,
            capacity,
            sequences: Sequences::default(),
        }
    }

    fn run(&mut self, step_id: StepId, plan: &StepPlan) -> Result<StepOutput, ExecutorError> {
        let tokens = self.sequences.begin(plan, &self.capacity)?;
        let step = StepData::new(&plan.chunks, &tokens, self.capacity.block_size, &self.frequencies);
        let mut activations: Activations = Activation::ALL
            .into_iter()
            .map(|activation| {
                let rows = match activation.rows() {
                    RowSet::Step => step.rows.len(),
                    RowSet::Outputs => step.output_rows.len(),
                };
                (activation, vec![0.0; rows * activation.stride(&self.config) as usize])
            })
            .collect();
        let Self { program, config, weights, cache, capacity, .. } = self;
        let head: &[Op] = if step.output_rows.is_empty() { &[] } else { &program.head };
        for op in program.body.iter().chain(head) {
            run_op(op, config, weights, cache, capacity.block_size, &step, &mut activations);
        }
        let stride = Activation::Logits.stride(&self.config) as usize;
        let vocabulary = self.config.vocabulary as usize;
        let mut logits: Vec<f32> =
            activations[&Activation::Logits].chunks_exact(stride).flat_map(|row| &row[..vocabulary]).copied().collect();
        self.sequences.finish(step_id, plan, &mut logits, vocabulary)
    }
}

fn run_op(
    op: &Op,
    config: &ModelConfig,
    weights: &ReferenceWeights,
    cache: &mut [[Vec<f32>; 2]],
    block_size: u32,
    step: &StepData,
    activations: &mut Activations,
) {
    use Activation::{Attended, Gate, Hidden, Key, OutputHidden, Query, Up, Value};
    let stride = |activation: Activation| activation.stride(config) as usize;
    // The output leaves the map while its inputs are read.
    let mut with = |out: Activation, run: &mut dyn FnMut(&Activations, &mut [f32])| {
        let mut buffer = activations.remove(&out).unwrap_or_default();
        run(activations, &mut buffer);
        activations.insert(out, buffer);
    };
    match *op {
        Op::Embed { table } => with(Hidden, &mut |_, out| {
            let (layout, rows) = weights.matrix(table);
            embed::embed(&step.rows, out, stride(Hidden), layout, rows);
        }),
        Op::RmsNorm { input, weight, out } => with(out, &mut |read, buffer| {
            let weight = weights.vector(weight).unwrap_or_default();
            rms_norm::rms_norm(&read[&input], weight, buffer, stride(out), config.norm_eps);
        }),
        Op::Product { input, weight, bias, out, accumulate } => with(out, &mut |read, buffer| {
            let (layout, rows) = weights.matrix(weight);
            let bias = bias.and_then(|bias| weights.vector(bias));
            let product =
                Product { input: &read[&input], in_stride: stride(input), layout, weight: rows, bias, accumulate };
            matmul::matmul(&product, buffer, stride(out));
        }),
        Op::RopeKv { layer } => with(Query, &mut |read, query| {
            let [key_cache, value_cache] = &mut cache[layer as usize];
            let mut kv =
                KvWrite { key: &read[&Key], value: &read[&Value], stride: stride(Key), key_cache, value_cache };
            rope_kv::rope_kv(config, &step.rows, &step.rotations, query, stride(Query), &mut kv);
        }),
        Op::Attention { layer } => with(Attended, &mut |read, out| {
            let [keys, values] = &cache[layer as usize];
            let cache = KvCache { keys, values, block_size };
            attention::attention(config, step, &cache, &read[&Query], out, stride(Query));
        }),
        Op::SiluMul => with(Gate, &mut |read, gate| silu_mul::silu_mul(gate, &read[&Up])),
        Op::Fused { ref parts, .. } => {
            for op in parts {
                run_op(op, config, weights, cache, block_size, step, activations);
            }
        }
        Op::GatherRows => with(OutputHidden, &mut |read, out| {
            gather_rows::gather_rows(&step.output_rows, &read[&Hidden], out, stride(Hidden));
        }),
    }
}

impl Executor for CpuReference {
    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn issue(&mut self, step: StepId, plan: StepPlan) -> StepFuture {
        let result = self.run(step, &plan);
        Box::pin(std::future::ready(result))
    }

    fn device(&self) -> String {
        #[cfg(not(target_arch = "wasm32"))]
        return format!("CPU reference, {} threads", rayon::current_num_threads());
        #[cfg(target_arch = "wasm32")]
        return "CPU reference, 1 thread".to_owned();
    }
}
