//! The step program as the executor runs it: runs of operations joined where nothing between them has to be kept.

use crate::graph::{Activation, Fusion, Op, Program};
use crate::model::WeightKey;

/// A matrix, and the bias that the model may have.
pub(super) type Matrix = (WeightKey, Option<WeightKey>);

/// One stage: the threads meet at its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    /// Hidden = table rows.
    Embed { table: WeightKey },
    /// Queries, keys and values of the normalized hidden rows; keys and values go to the cache.
    QueryKeyValue { norm: WeightKey, matrices: [Matrix; 3], layer: u32 },
    /// Attention over the cache.
    Attention { layer: u32 },
    /// Hidden += product of what attention or the feed-forward layer left.
    Project { from: Activation, matrix: Matrix },
    /// silu(gate) * up of the normalized hidden rows.
    GateUp { norm: WeightKey, gate: Matrix, up: Matrix },
    /// Logits of the rows that are asked for.
    Head { norm: WeightKey, matrix: Matrix },
}

/// Joins a program's operations. `None` if it has one that has no stage.
pub(super) fn stages(program: &Program) -> Option<[Vec<Stage>; 2]> {
    let fused = program.fused();
    let all = |ops: &[Op]| ops.iter().map(stage).collect::<Option<Vec<_>>>();
    Some([all(&fused.body)?, all(&fused.head)?])
}

fn stage(op: &Op) -> Option<Stage> {
    use Activation::{Attended, Gate, Hidden};
    let norm_of = |op: &Op| if let Op::RmsNorm { weight, .. } = op { Some(*weight) } else { None };
    let matrix_of = |op: &Op| if let Op::Product { weight, bias, .. } = op { Some((*weight, *bias)) } else { None };
    Some(match op {
        Op::Embed { table } => Stage::Embed { table: *table },
        Op::Attention { layer } => Stage::Attention { layer: *layer },
        Op::Product { input: from @ (Attended | Gate), weight, bias, out: Hidden, accumulate: true } => {
            Stage::Project { from: *from, matrix: (*weight, *bias) }
        }
        Op::Fused { fusion, parts } => match (fusion, parts.as_slice()) {
            (Fusion::NormQkvRope, [norm, query, key, value, Op::RopeKv { layer }]) => Stage::QueryKeyValue {
                norm: norm_of(norm)?,
                matrices: [matrix_of(query)?, matrix_of(key)?, matrix_of(value)?],
                layer: *layer,
            },
            (Fusion::NormGate, [norm, gate, up, Op::SiluMul]) => {
                Stage::GateUp { norm: norm_of(norm)?, gate: matrix_of(gate)?, up: matrix_of(up)? }
            }
            (Fusion::NormHead, [Op::GatherRows, norm, head]) => {
                Stage::Head { norm: norm_of(norm)?, matrix: matrix_of(head)? }
            }
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FAMILIES;
    use crate::model::shapes::SHAPES;

    #[test]
    fn every_family_has_a_stage_for_each_of_its_operations() {
        for family in FAMILIES {
            let config = crate::model::ModelConfig { family, ..SHAPES[0].config() };
            let [body, head] = stages(&Program::new(&config)).expect("all operations have stages");
            assert_eq!((body.len(), head.len()), (1 + 5 * config.layers as usize, 1));
        }
    }
}
