//! Which variants were chosen, and not by default.
//!
//! What a tuner found is looked up when a step of other sizes than the last is encoded. The numbers of rows of few-row steps
//! are buckets of their own; of many rows the nearest bucket that was tuned stands for the others, since what suits 512 rows
//! suits 300.

use super::tuned_op::TunedOp;
use crate::kernels::KernelVariant;
use std::collections::HashMap;

/// Variants by what they compute.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices {
    chosen: HashMap<TunedOp, KernelVariant>,
    /// Grows with every change.
    generation: u64,
}

/// From so many rows on, other buckets may stand in.
const STAND_IN: u32 = 64;

impl Choices {
    /// Chooses a variant; with `None`, the default.
    pub(super) fn set(&mut self, op: TunedOp, variant: Option<KernelVariant>) {
        self.generation += 1;
        match variant {
            Some(variant) => self.chosen.insert(op, variant),
            None => self.chosen.remove(&op),
        };
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// What was chosen for an operation.
    pub(super) fn get(&self, op: &TunedOp) -> Option<KernelVariant> {
        let exact = self.chosen.get(op).copied();
        if exact.is_some() || op.rows() < STAND_IN || self.chosen.is_empty() {
            return exact;
        }
        let near = (1..8).flat_map(|step| [op.rows().checked_mul(1 << step), Some(op.rows() >> step)]).flatten();
        near.filter(|rows| *rows >= STAND_IN).find_map(|rows| self.chosen.get(&op.with_rows(rows)).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norm(rows: u32) -> TunedOp {
        TunedOp::RmsNorm { width: 96, rows }
    }

    #[test]
    fn of_many_rows_the_nearest_bucket_stands_for_the_others_and_of_few_none_does() {
        let mut choices = Choices::default();
        let [few, many] = [32, 256].map(|workgroup| KernelVariant::RmsNorm { workgroup });
        choices.set(norm(8), Some(few));
        choices.set(norm(512), Some(many));
        assert_eq!(choices.get(&norm(8)), Some(few));
        assert_eq!([1, 4, 16, 32].map(|rows| choices.get(&norm(rows))), [None; 4]);
        assert_eq!([64, 128, 512, 4096].map(|rows| choices.get(&norm(rows))), [Some(many); 4]);
        let before = choices.generation();
        choices.set(norm(512), None);
        assert!(choices.generation() > before && choices.get(&norm(64)).is_none());
    }
}
