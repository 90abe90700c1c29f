//! Weights in main memory, packed.

use super::packed::PackedMatrix;
use super::product::Weights;
use super::tiles::Vector;
use crate::model::WeightKey;
use crate::weights::{TensorLayout, WeightRows};
use std::collections::BTreeMap;

/// All weights of a model.
#[derive(Default)]
pub struct CpuWeights {
    matrices: BTreeMap<WeightKey, PackedMatrix>,
    /// Filled up with zeros to whole tiles.
    vectors: BTreeMap<WeightKey, Vec<Vector>>,
}

impl CpuWeights {
    /// Room for a matrix; `false` when there is not that much memory.
    #[must_use]
    pub fn allocate(&mut self, key: WeightKey, layout: TensorLayout) -> bool {
        PackedMatrix::try_zeroed(layout).map(|matrix| self.matrices.insert(key, matrix)).is_some()
    }

    /// Stores rows of an allocated matrix from `first_row` on.
    pub fn write_rows(&mut self, key: WeightKey, first_row: u32, rows: &WeightRows) {
        if let Some(matrix) = self.matrices.get_mut(&key) {
            matrix.write_rows(first_row, rows);
        }
    }

    /// Stores a vector.
    pub fn write_vector(&mut self, key: WeightKey, vector: &[f32]) {
        let tiles = vector.chunks(16).map(|chunk| {
            let mut tile = Vector::default();
            tile.0[..chunk.len()].copy_from_slice(chunk);
            tile
        });
        self.vectors.insert(key, tiles.collect());
    }

    /// A matrix. The loader has checked that all that a program names are there.
    pub(super) fn matrix(&self, key: WeightKey) -> &PackedMatrix {
        &self.matrices[&key]
    }

    /// A vector, if the model has it.
    pub(super) fn vector(&self, key: WeightKey) -> Option<&[Vector]> {
        self.vectors.get(&key).map(Vec::as_slice)
    }

    /// A matrix with its bias, if the model has one.
    pub(super) fn weights(&self, (matrix, bias): (WeightKey, Option<WeightKey>)) -> Weights<'_> {
        Weights { matrix: self.matrix(matrix), bias: bias.and_then(|bias| self.vector(bias)) }
    }

    /// Bytes of a matrix, if the model has it.
    pub(crate) fn matrix_bytes(&self, key: WeightKey) -> Option<u64> {
        self.matrices.get(&key).map(PackedMatrix::bytes)
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.matrices.values().map(PackedMatrix::bytes).sum::<u64>()
            + self.vectors.values().map(|vector| vector.len() as u64 * 64).sum::<u64>()
    }
}
