//! Where rows go.

use super::LoadError;
use super::capacity::{
    BLOCK_SIZE, CPU_ROWS, DEFAULT_ROWS, GPU_DEPTH, LEAST_BLOCKS, LoadOptions, MemoryUse, SOFTWARE_DEPTH, SOFTWARE_ROWS,
    StepCost, capacity, default_kv_bytes, kv_bytes,
};
use crate::cpu::reference::{CpuReference, ReferenceWeights};
use crate::cpu::{CpuExecutor, CpuWeights};
use crate::gpu::{Gpu, GpuError, GpuExecutor, GpuWeights, StepMemory, TunableExecutor};
use crate::graph::Program;
use crate::model::{ModelConfig, Role, WeightKey};
use crate::weights::{TensorLayout, WeightRows};
use tilewright_plan::{Capacity, Executor};

/// What computes.
#[derive(Clone, Debug)]
pub enum Device {
    /// The processor, as fast as it can.
    Cpu,
    /// The processor, by the kernels' twins: what the others are compared with.
    CpuReference,
    /// A GPU.
    Gpu(Gpu),
}

/// Weights on their way to a device.
pub(super) enum Store {
    Cpu(CpuWeights),
    CpuReference(ReferenceWeights),
    Gpu(GpuWeights),
}

/// An executor, and what it takes.
pub(super) struct Ready {
    pub(super) executor: Box<dyn Executor>,
    pub(super) tunable: Option<TunableExecutor>,
    pub(super) memory: MemoryUse,
    pub(super) cost: StepCost,
}

impl Store {
    pub(super) fn new(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu(CpuWeights::default()),
            Device::CpuReference => Self::CpuReference(ReferenceWeights::default()),
            Device::Gpu(gpu) => Self::Gpu(GpuWeights::new(gpu)),
        }
    }

    pub(super) fn allocate(&mut self, key: WeightKey, name: &str, layout: TensorLayout) -> Result<(), LoadError> {
        let out_of_memory = || LoadError::OutOfMemory { tensor: name.to_owned(), bytes: layout.bytes() };
        match self {
            Self::Cpu(weights) => weights.allocate(key, layout).then_some(()).ok_or_else(out_of_memory)?,
            Self::CpuReference(weights) => weights.allocate(key, layout).then_some(()).ok_or_else(out_of_memory)?,
            Self::Gpu(weights) => {
                let (bytes, limit) = (layout.code_bytes_per_row(), weights.gpu().max_binding_bytes);
                if bytes > limit {
                    let device = weights.gpu().name();
                    return Err(LoadError::RowTooLarge { tensor: name.to_owned(), bytes, limit, device });
                }
                weights.allocate(key, layout);
            }
        }
        Ok(())
    }

    pub(super) fn write_rows(&mut self, key: WeightKey, first_row: u32, rows: &WeightRows) {
        match self {
            Self::Cpu(weights) => weights.write_rows(key, first_row, rows),
            Self::CpuReference(weights) => weights.write_rows(key, first_row, rows),
            Self::Gpu(weights) => weights.write_rows(key, first_row, rows),
        }
    }

    pub(super) fn write_vector(&mut self, key: WeightKey, vector: Vec<f32>) {
        match self {
            Self::Cpu(weights) => weights.write_vector(key, &vector),
            Self::CpuReference(weights) => weights.write_vector(key, vector),
            Self::Gpu(weights) => weights.write_vector(key, &vector),
        }
    }

    pub(super) async fn flush(&self) -> Result<(), LoadError> {
        match self {
            Self::Cpu(_) | Self::CpuReference(_) => Ok(()),
            Self::Gpu(weights) => weights.flush().await.map_err(|error| refused_weights(error, weights)),
        }
    }

    pub(super) async fn executor(self, config: &ModelConfig, options: &LoadOptions) -> Result<Ready, LoadError> {
        // A tied table is read whole as the head; an untied one only gives a row.
        let embedding = WeightKey { role: Role::Embedding, layer: None };
        let read = |all: u64, embedding: Option<u64>| all - if config.tied_head { 0 } else { embedding.unwrap_or(0) };
        match self {
            Self::Cpu(weights) => {
                let capacity = capacity(config, options, CPU_ROWS, u64::MAX, 1, 4)?;
                let (all, bytes) = (weights.bytes(), weights.matrix_bytes(embedding));
                let executor = CpuExecutor::new(config.clone(), weights, capacity, options.threads)?;
                Ok(on_cpu(Box::new(executor), config, &capacity, all, read(all, bytes)))
            }
            Self::CpuReference(weights) => {
                let capacity = capacity(config, options, DEFAULT_ROWS, u64::MAX, 1, 4)?;
                let (all, bytes) = (weights.bytes(), weights.matrix_bytes(embedding));
                let executor = CpuReference::new(config.clone(), weights, capacity);
                Ok(on_cpu(Box::new(executor), config, &capacity, all, read(all, bytes)))
            }
            Self::Gpu(mut weights) => {
                let (rows, depth) = if weights.gpu().is_software() {
                    (SOFTWARE_ROWS, SOFTWARE_DEPTH)
                } else {
                    (DEFAULT_ROWS, GPU_DEPTH)
                };
                let gpu = weights.gpu().clone();
                let element_bytes = if gpu.halves_cache() { 2 } else { 4 };
                // A layer's keys and values are one binding, which has a block more than sequences are told of.
                let spare = u64::from(BLOCK_SIZE * config.kv_width()) * 2 * element_bytes;
                let most = gpu.max_binding_bytes.saturating_sub(spare);
                let sized = |options: &LoadOptions| capacity(config, options, rows, most, depth, element_bytes);
                let weights_bytes = weights.bytes();
                let joined = weights.join_all(&Program::new(config).fused()).await;
                joined.map_err(|error| refused_weights(error, &weights))?;
                let mut options = options.clone();
                options.kv_bytes.get_or_insert(default_kv_bytes(weights_bytes));
                let mut memory = StepMemory::new(&gpu, config, &sized(&options)?);
                let scratch_bytes = memory.scratch_bytes;
                let refused_scratch = |error| match error {
                    GpuError::OutOfMemory { .. } => LoadError::NoMemoryForSteps { scratch_bytes, weights_bytes, rows },
                    other => other.into(),
                };
                gpu.idle().await.map_err(refused_scratch)?;
                // Nobody can say how much memory a device has left, so it is asked: for what is wanted, then for half of that.
                let capacity = loop {
                    let capacity = sized(&options)?;
                    if memory.take_cache(&gpu, config, &capacity).await {
                        break capacity;
                    }
                    let wanted = kv_bytes(config, &capacity, element_bytes);
                    if capacity.blocks <= LEAST_BLOCKS {
                        return Err(LoadError::NoMemoryForKv {
                            kv_bytes: wanted,
                            tokens: capacity.blocks * capacity.block_size,
                            weights_bytes,
                        });
                    }
                    tracing::info!("no memory for {} MiB of keys and values; asking for half of it", wanted >> 20);
                    options.kv_bytes = Some(wanted / 2);
                };
                let weight_bytes = read(weights_bytes, weights.matrix_bytes(embedding));
                let executor = GpuExecutor::new(config, weights, capacity, memory).await.map_err(refused_scratch)?;
                let memory = MemoryUse {
                    weights_bytes,
                    kv_bytes: kv_bytes(config, &capacity, element_bytes),
                    scratch_bytes: executor.scratch_bytes(),
                };
                let cost = StepCost { dispatches: executor.decode_dispatches(), weight_bytes };
                let tunable = TunableExecutor::new(executor);
                Ok(Ready { executor: Box::new(tunable.clone()), tunable: Some(tunable), memory, cost })
            }
        }
    }
}

/// Memory that was refused while weights came, in words of its own.
fn refused_weights(error: GpuError, weights: &GpuWeights) -> LoadError {
    match error {
        GpuError::OutOfMemory { adapter } => {
            LoadError::NoMemoryForWeights { device: adapter, weights_bytes: weights.bytes() }
        }
        other => other.into(),
    }
}

fn on_cpu(
    executor: Box<dyn Executor>,
    config: &ModelConfig,
    capacity: &Capacity,
    weights_bytes: u64,
    weight_bytes: u64,
) -> Ready {
    let memory = MemoryUse { weights_bytes, kv_bytes: kv_bytes(config, capacity, 4), scratch_bytes: 0 };
    Ready { executor, tunable: None, memory, cost: StepCost { dispatches: 0, weight_bytes } }
}
