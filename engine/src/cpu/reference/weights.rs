//! Weights in main memory.

use crate::model::WeightKey;
use crate::weights::{TensorLayout, WeightRows};
use std::collections::BTreeMap;

/// All weights of a model.
#[derive(Debug, Default)]
pub struct ReferenceWeights {
    matrices: BTreeMap<WeightKey, (TensorLayout, WeightRows)>,
    vectors: BTreeMap<WeightKey, Vec<f32>>,
}

impl ReferenceWeights {
    /// Room for a matrix; `false` when there is not that much memory.
    #[must_use]
    pub fn allocate(&mut self, key: WeightKey, layout: TensorLayout) -> bool {
        let rows = WeightRows::try_zeroed(&layout);
        rows.map(|rows| self.matrices.insert(key, (layout, rows))).is_some()
    }

    /// Stores rows of an allocated matrix from `first_row` on.
    pub fn write_rows(&mut self, key: WeightKey, first_row: u32, rows: &WeightRows) {
        let Some((layout, matrix)) = self.matrices.get_mut(&key) else { return };
        let (codes, scales) = (layout.packs() as usize * 4, layout.scale_stride() as usize);
        let first = first_row as usize;
        matrix.codes[first * codes..][..rows.codes.len()].copy_from_slice(&rows.codes);
        matrix.scales[first * scales..][..rows.scales.len()].copy_from_slice(&rows.scales);
        if layout.mins() {
            matrix.mins[first * scales..][..rows.mins.len()].copy_from_slice(&rows.mins);
        }
    }

    /// Stores a vector.
    pub fn write_vector(&mut self, key: WeightKey, vector: Vec<f32>) {
        self.vectors.insert(key, vector);
    }

    /// A matrix. The loader has checked that all that a program names are there.
    pub(super) fn matrix(&self, key: WeightKey) -> (&TensorLayout, &WeightRows) {
        let (layout, rows) = &self.matrices[&key];
        (layout, rows)
    }

    /// A vector, if the model has it.
    pub(super) fn vector(&self, key: WeightKey) -> Option<&[f32]> {
        self.vectors.get(&key).map(Vec::as_slice)
    }

    /// Bytes of a matrix, if the model has it.
    pub(crate) fn matrix_bytes(&self, key: WeightKey) -> Option<u64> {
        self.matrices.get(&key).map(|(layout, _)| layout.bytes())
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.matrices.values().map(|(layout, _)| layout.bytes()).sum::<u64>()
            + self.vectors.values().map(|vector| vector.len() as u64 * 4).sum::<u64>()
    }
}
