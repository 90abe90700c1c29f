//! A family's description, unrolled over a model's layers.

use super::{Activation, Fusion, Op};
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

impl Program {
    /// The same with as few operations as there are kernels for: what decoding runs.
    #[must_use]
    pub fn fused(&self) -> Self {
        Self { body: fuse(&self.body), head: fuse(&self.head) }
    }
}

/// Joins the runs of operations that one kernel carries out.
fn fuse(ops: &[Op]) -> Vec<Op> {
    let mut fused = Vec::new();
    let mut rest = ops;
    while let Some(first) = rest.first() {
        use Op::{GatherRows, Product, RmsNorm, RopeKv, SiluMul};
        let (fusion, count) = match rest {
            [RmsNorm { .. }, Product { .. }, Product { .. }, Product { .. }, RopeKv { .. }, ..] => {
                (Some(Fusion::NormQkvRope), 5)
            }
            [RmsNorm { .. }, Product { .. }, Product { .. }, SiluMul, ..] => (Some(Fusion::NormGate), 4),
            [GatherRows, RmsNorm { .. }, Product { .. }, ..] => (Some(Fusion::NormHead), 3),
            _ => (None, 1),
        };
        let (parts, after) = rest.split_at(count);
        fused.push(match fusion {
            Some(fusion) => Op::Fused { fusion, parts: parts.to_vec() },
            None => first.clone(),
        });
        rest = after;
    }
    fused
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shapes::SHAPES;

    #[test]
    fn a_fused_layer_has_five_operations_and_stands_for_the_same() {
        let config = SHAPES[0].config();
        let (plain, fused) = (Program::new(&config), Program::new(&config).fused());
        assert_eq!(fused.body.len(), 1 + 5 * config.layers as usize);
        assert_eq!(fused.head.len(), 1);
        let unfused = fused.body.into_iter().flat_map(|op| match op {
            Op::Fused { parts, .. } => parts,
            op => vec![op],
        });
        assert_eq!(unfused.collect::<Vec<_>>(), plain.body);
    }
}
