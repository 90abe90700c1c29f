//! A family's description, unrolled over a model's layers.

use super::{Activation, Op};
use crate::model::family::LayerStep;
use crate::model::{ModelConfig, Role, WeightKey};

/// One forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Embedding and layers: once per step, over all rows.
    pub body: Vec<Op>,
    /// Final norm and logits: over the rows that are asked for, in segments of as many as the logits buffer holds.
    pub head: Vec<Op>,
}

impl Program {
    /// The program of a model.
    pub fn new(config: &ModelConfig) -> Self {
        let global = |role| WeightKey { role, layer: None };
        let mut body = vec![Op::Embed { table: global(Role::Embedding) }];
        for layer in 0..config.layers {
            for step in config.family.layer {
                push_step(&mut body, *step, layer);
            }
        }
        let head_role = if config.tied_head { Role::Embedding } else { Role::Head };
        let head = vec![
            Op::GatherRows,
            Op::RmsNorm {
                input: Activation::OutputHidden,
                weight: global(Role::FinalNorm),
                out: Activation::OutputNormed,
            },
            Op::Product {
                input: Activation::OutputNormed,
                weight: global(head_role),
                bias: None,
                out: Activation::Logits,
                accumulate: false,
            },
        ];
        Self { body, head }
    }
}

fn push_step(ops: &mut Vec<Op>, step: LayerStep, layer: u32) {
    use Activation::{Attended, Gate, Hidden, Key, Normed, Query, Up, Value};
    let key = |role| WeightKey { role, layer: Some(layer) };
    let product = |input, weight, bias, out, accumulate| Op::Product {
        input,
        weight: key(weight),
        bias: Some(key(bias)),
        out,
        accumulate,
    };
    match step {
        LayerStep::Norm(role) => ops.push(Op::RmsNorm { input: Hidden, weight: key(role), out: Normed }),
        LayerStep::Attention => ops.extend([
            product(Normed, Role::Query, Role::QueryBias, Query, false),
            product(Normed, Role::Key, Role::KeyBias, Key, false),
            product(Normed, Role::Value, Role::ValueBias, Value, false),
            Op::RopeKv { layer },
            Op::Attention { layer },
        ]),
        LayerStep::AttentionOutput => {
            ops.push(product(Attended, Role::AttentionOutput, Role::AttentionOutputBias, Hidden, true));
        }
        LayerStep::GatedFeedForward => ops.extend([
            product(Normed, Role::Gate, Role::GateBias, Gate, false),
            product(Normed, Role::Up, Role::UpBias, Up, false),
            Op::SiluMul,
            product(Gate, Role::Down, Role::DownBias, Hidden, true),
        ]),
    }
}
