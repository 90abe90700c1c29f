//! Why a model can't be loaded.

use crate::gpu::GpuError;
use crate::model::ConfigError;
use thiserror::Error;
use tilewright_formats::FormatError;

/// Why a model can't be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file is damaged or of another format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The model's description can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The GPU failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A tensor that the family does not know.
    #[error(
        "{file} holds a tensor \"{tensor}\" that {family} models don't have; it may be of another architecture than it says, so its answers \
         would be wrong"
    )]
    UnexpectedTensor {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// The family.
        family: &'static str,
    },
    /// A tensor that the family needs.
    #[error("the model has no tensor \"{tensor}\"; a file of it is missing or was cut off")]
    MissingTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor that two files hold.
    #[error("{file} holds the tensor \"{tensor}\" again; files of different models are mixed")]
    RepeatedTensor {
        /// The second file.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor whose shape contradicts the model's description.
    #[error("{file}: the tensor \"{tensor}\" is {found:?}, by the model's description it should be {expected:?}")]
    Shape {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<u64>,
        /// The shape that the configuration gives.
        expected: Vec<u64>,
    },
    /// A vector in a block format.
    #[error("{file}: the vector \"{tensor}\" is stored as {dtype}; F32, F16 and BF16 can be read")]
    VectorFormat {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Its format.
        dtype: &'static str,
    },
    /// A row of a matrix is larger than any buffer.
    #[error(
        "one row of \"{tensor}\" takes {bytes} bytes, {device} binds at most {limit}; use a quantized model or another device"
    )]
    RowTooLarge {
        /// The tensor.
        tensor: String,
        /// Bytes of a row.
        bytes: u64,
        /// Largest binding, bytes.
        limit: u64,
        /// The device.
        device: String,
    },
    /// Main memory is used up.
    #[error("there is no memory for the {bytes} bytes of \"{tensor}\"; use a smaller or a quantized model")]
    OutOfMemory {
        /// The tensor.
        tensor: String,
        /// Its bytes.
        bytes: u64,
    },
    /// The CPU lacks an operation.
    #[error("the CPU executor has no kernels for {family} models; use a GPU, or the reference kernels")]
    NoKernels {
        /// The family.
        family: &'static str,
    },
    /// No room for keys and values.
    #[error(
        "{budget_bytes} bytes for keys and values hold not even one block of {block_bytes}; allow more with `kv_bytes`"
    )]
    NoRoomForKv {
        /// What was allowed.
        budget_bytes: u64,
        /// Bytes of one block.
        block_bytes: u64,
    },
    /// The device has no memory left while weights come.
    #[error(
        "{device} has no memory left: it refused some of the first {} MiB of the model's weights; use a smaller or a more strongly \
         quantized model, compute on the CPU, or close other pages and programs",
        .weights_bytes.div_ceil(1 << 20)
    )]
    NoMemoryForWeights {
        /// The device.
        device: String,
        /// Weights that it was asked to hold so far.
        weights_bytes: u64,
    },
    /// The device has no memory left for what steps work in.
    #[error(
        "the device has no memory left: the weights take {} MiB, and {} MiB more that steps of {rows} rows work in were refused; use a \
         smaller model, or close other pages and programs",
        .weights_bytes >> 20, .scratch_bytes.div_ceil(1 << 20)
    )]
    NoMemoryForSteps {
        /// What was asked for.
        scratch_bytes: u64,
        /// What the device holds already.
        weights_bytes: u64,
        /// Most rows of a step.
        rows: u32,
    },
    /// The device has no memory left for keys and values.
    #[error(
        "the device has no memory left: the weights take {} MiB, and {} MiB more for the keys and values of {tokens} tokens were refused; use a \
         smaller model or a shorter context, or close other pages and programs",
        .weights_bytes >> 20, .kv_bytes.div_ceil(1 << 20)
    )]
    NoMemoryForKv {
        /// The least that was asked for.
        kv_bytes: u64,
        /// Tokens that it has room for.
        tokens: u32,
        /// What the device holds already.
        weights_bytes: u64,
    },
    /// `push`, `end_file` or `finish` out of order.
    #[error("the loader was called out of order: {0}")]
    Order(&'static str),
}
