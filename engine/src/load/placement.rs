//! A file's tensors matched with what the family needs, and their bytes gathered into rows.

use super::LoadError;
use super::store::Store;
use crate::model::family::{Dim, Naming, Presence, TensorRule};
use crate::model::{ModelConfig, Role, RopeScaling, WeightKey};
use crate::weights::convert::{convert_rows, file_bytes_per_row};
use crate::weights::{TensorLayout, WeightFormat};
use half::{bf16, f16};
use std::collections::BTreeSet;
use tilewright_formats::{DType, Header, TensorInfo, TensorSink};

/// Takes the tensors of all files of a model.
pub(super) struct Placement {
    pub(super) store: Store,
    pub(super) naming: Naming,
    /// Known before the first tensor: from config.json, or from a GGUF file's header.
    pub(super) config: Option<ModelConfig>,
    /// File that is being read.
    pub(super) file: String,
    placed: BTreeSet<WeightKey>,
    /// By index of the file's tensors; `None`: passed over.
    targets: Vec<Option<Target>>,
}

/// A tensor that is being read.
struct Target {
    key: WeightKey,
    dtype: DType,
    shape: TargetShape,
    /// Bytes of a row that is not whole yet.
    partial: Vec<u8>,
    next_row: u32,
}

enum TargetShape {
    Matrix { layout: TensorLayout, row_bytes: usize },
    Vector { bytes: usize },
}

/// Rows are converted in slabs of about this many bytes.
const SLAB_BYTES: usize = 1 << 20;

impl Placement {
    pub(super) fn new(store: Store, naming: Naming, config: Option<ModelConfig>) -> Self {
        Self { store, naming, config, file: String::new(), placed: BTreeSet::new(), targets: Vec::new() }
    }

    fn target(&self, config: &ModelConfig, info: &TensorInfo) -> Result<Option<Target>, LoadError> {
        let family = config.family;
        let (file, tensor) = (self.file.clone(), info.name.clone());
        let known = family.rule(self.naming, &info.name).filter(|(_, layer)| layer.is_none_or(|l| l < config.layers));
        let Some((rule, layer)) = known else {
            if family.ignored.iter().any(|part| info.name.contains(part)) {
                return Ok(None);
            }
            return Err(LoadError::UnexpectedTensor { file, tensor, family: family.name });
        };
        if rule.presence == Presence::UnlessTied && config.tied_head {
            return Ok(None);
        }
        let key = WeightKey { role: rule.role, layer };
        if self.placed.contains(&key) {
            return Err(LoadError::RepeatedTensor { file, tensor });
        }
        let expected: Vec<u64> = rule.shape.iter().map(|dim: &Dim| dim.size(config).into()).collect();
        if info.shape != expected {
            return Err(LoadError::Shape { file, tensor, found: info.shape.clone(), expected });
        }
        let shape = if let [rows, cols] = *rule.shape {
            let layout =
                TensorLayout { rows: rows.size(config), cols: cols.size(config), format: WeightFormat::of(info.dtype) };
            // The header's check says that rows are whole blocks; it has no words for what can't happen here.
            let row_bytes = file_bytes_per_row(info.dtype, layout.cols).ok_or_else(|| LoadError::Shape {
                file,
                tensor,
                found: info.shape.clone(),
                expected,
            })?;
            TargetShape::Matrix { layout, row_bytes: row_bytes as usize }
        } else {
            if !matches!(info.dtype, DType::F32 | DType::F16 | DType::Bf16) {
                return Err(LoadError::VectorFormat { file, tensor, dtype: info.dtype.name() });
            }
            TargetShape::Vector { bytes: info.bytes as usize }
        };
        Ok(Some(Target { key, dtype: info.dtype, shape, partial: Vec::new(), next_row: 0 }))
    }

    /// The first tensor that is missing, by its name.
    pub(super) fn missing(&self) -> Option<String> {
        let config = self.config.as_ref()?;
        let needed = |rule: &&TensorRule| match rule.presence {
            Presence::Required => true,
            Presence::Optional => false,
            Presence::UnlessTied => !config.tied_head,
        };
        config.family.tensors.iter().filter(needed).find_map(|rule| {
            let layers = if rule.per_layer() { config.layers } else { 1 };
            (0..layers)
                .map(|layer| WeightKey { role: rule.role, layer: rule.per_layer().then_some(layer) })
                .find(|key| !self.placed.contains(key))
                .map(|key| rule.name(self.naming, key.layer))
        })
    }

    fn place_vector(&mut self, key: WeightKey, dtype: DType, bytes: &[u8]) {
        let halves = bytes.chunks_exact(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let vector: Vec<f32> = match dtype {
            DType::F16 => halves.map(|bits| f16::from_bits(bits).to_f32()).collect(),
            DType::Bf16 => halves.map(|bits| bf16::from_bits(bits).to_f32()).collect(),
            _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        };
        match (key.role, &mut self.config) {
            (Role::RopeFactors, Some(config)) => config.rope.scaling = RopeScaling::Factors(vector),
            _ => self.store.write_vector(key, vector),
        }
    }
}

impl TensorSink for Placement {
    type Error = LoadError;

    fn header(&mut self, header: &Header) -> Result<(), LoadError> {
        if let Some(metadata) = &header.gguf {
            self.config = Some(crate::model::gguf::config(metadata, &header.tensors)?);
        }
        let config = self.config.take().ok_or(LoadError::Order("there is no configuration before the first tensor"))?;
        let targets = header.tensors.iter().map(|info| self.target(&config, info)).collect::<Result<Vec<_>, _>>();
        self.config = Some(config);
        self.targets = targets?;
        for (target, info) in self.targets.iter().zip(&header.tensors) {
            let Some(target) = target else { continue };
            if !self.placed.insert(target.key) {
                return Err(LoadError::RepeatedTensor { file: self.file.clone(), tensor: info.name.clone() });
            }
            if let TargetShape::Matrix { layout, .. } = target.shape {
                self.store.allocate(target.key, &info.name, layout)?;
            }
        }
        Ok(())
    }

    fn data(&mut self, tensor: usize, _offset: u64, mut bytes: &[u8]) -> Result<(), LoadError> {
        let Some(Some(target)) = self.targets.get_mut(tensor) else { return Ok(()) };
        let (layout, row_bytes) = match target.shape {
            TargetShape::Matrix { layout, row_bytes } => (layout, row_bytes),
            TargetShape::Vector { bytes: whole } => {
                target.partial.extend_from_slice(bytes);
                if target.partial.len() == whole {
                    let (key, dtype, bytes) = (target.key, target.dtype, std::mem::take(&mut target.partial));
                    self.place_vector(key, dtype, &bytes);
                }
                return Ok(());
            }
        };
        let mut convert = |target: &mut Target, bytes: &[u8]| {
            for slab in bytes.chunks(SLAB_BYTES.next_multiple_of(row_bytes)) {
                let rows = convert_rows(target.dtype, &layout, slab);
                self.store.write_rows(target.key, target.next_row, &rows);
                target.next_row += (slab.len() / row_bytes) as u32;
            }
        };
        if !target.partial.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(row_bytes - target.partial.len()));
            target.partial.extend_from_slice(head);
            bytes = rest;
            if target.partial.len() == row_bytes {
                let row = std::mem::take(&mut target.partial);
                convert(target, &row);
            }
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % row_bytes);
        convert(target, whole);
        target.partial.extend_from_slice(rest);
        Ok(())
    }
}
