//! An operation whose kernel may be chosen, by value.
//!
//! A choice is made for what a kernel computes and on what sizes, not for where in a model it stands: the same operation of another
//! layer, or of another model, takes the same variant. Rows change from step to step, so they fall into buckets, one for each
//! power of two.

use super::dispatch::{Dispatch, Kernel};
use crate::kernels::source::{HeadsShape, KernelShape, ProductShape, QuantizeShape};
use crate::weights::WeightFormat;

/// An operation of a model's step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunedOp {
    /// A matrix product.
    Product(ProductOp),
    /// Attention of few rows, by parts of the keys.
    AttentionSplit(HeadsOp),
    /// Attention of many rows, by tiles of queries.
    AttentionTile(HeadsOp),
    /// Activations turned into 8-bit integers.
    Quantize(QuantizeOp),
    /// Norm of rows.
    RmsNorm {
        /// Elements of a row.
        width: u32,
        /// Rows, a power of two.
        rows: u32,
    },
    /// Search for the best token of each row of logits.
    SampleScan {
        /// Logits of a row.
        vocabulary: u32,
        /// Rows, a power of two.
        rows: u32,
    },
}

/// A matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProductOp {
    /// How weights are stored.
    pub format: WeightFormat,
    /// Rows of the matrix.
    pub outputs: u32,
    /// Columns of the matrix.
    pub inputs: u32,
    /// Rows of the input.
    pub rows: u32,
    /// What is fused to it.
    pub form: ProductForm,
    /// Whether the input comes as 8-bit integers.
    pub packed: bool,
}

/// What is fused to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProductForm {
    /// Nothing.
    Plain,
    /// The output is added to.
    Accumulate,
    /// Norm, and the gated activation of the two halves of the matrix.
    Gate,
    /// Norm, rotary embedding and KV write.
    Qkv {
        /// Query heads.
        heads: u32,
        /// Key and value heads.
        kv_heads: u32,
    },
    /// Norm of the rows whose logits are asked for.
    Head,
}

/// Attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeadsOp {
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Slots of a KV block.
    pub block_size: u32,
    /// Whether keys and values are kept as halves.
    pub kv_half: bool,
    /// Rows, a power of two.
    pub rows: u32,
}

/// Activations turned into 8-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuantizeOp {
    /// Elements of a row.
    pub width: u32,
    /// Bits of the weights that they meet: decides their order.
    pub order: u32,
    /// Whether rows are normalized on the way.
    pub norm: bool,
    /// Whether a row is gate and up, whose activation comes first.
    pub silu: bool,
    /// Rows, a power of two.
    pub rows: u32,
}

/// The bucket of so many rows.
pub fn bucket(rows: u32) -> u32 {
    rows.max(1).checked_next_power_of_two().unwrap_or(1 << 31)
}

impl From<ProductOp> for TunedOp {
    fn from(op: ProductOp) -> Self {
        Self::Product(op)
    }
}

impl TunedOp {
    /// Its rows.
    pub fn rows(&self) -> u32 {
        match *self {
            Self::Product(ProductOp { rows, .. })
            | Self::AttentionSplit(HeadsOp { rows, .. })
            | Self::AttentionTile(HeadsOp { rows, .. })
            | Self::Quantize(QuantizeOp { rows, .. })
            | Self::RmsNorm { rows, .. }
            | Self::SampleScan { rows, .. } => rows,
        }
    }

    /// The same operation of another number of rows.
    #[must_use]
    pub fn with_rows(mut self, to: u32) -> Self {
        match &mut self {
            Self::Product(ProductOp { rows, .. })
            | Self::AttentionSplit(HeadsOp { rows, .. })
            | Self::AttentionTile(HeadsOp { rows, .. })
            | Self::Quantize(QuantizeOp { rows, .. })
            | Self::RmsNorm { rows, .. }
            | Self::SampleScan { rows, .. } => *rows = to,
        }
        self
    }

    /// What a dispatch computes on `rows` rows; `None` if its kernel has no choice.
    pub(super) fn of(dispatch: &Dispatch, rows: u32) -> Option<Self> {
        let rows = bucket(rows);
        match (dispatch.kernel, &dispatch.shape) {
            (Kernel::Product | Kernel::Matvec | Kernel::Serial | Kernel::Plain, KernelShape::Product(shape)) => {
                Some(product(shape, false, rows).into())
            }
            (Kernel::MatvecPacked | Kernel::MatmulPacked, KernelShape::Product(shape)) => {
                Some(product(shape, true, rows).into())
            }
            (Kernel::Split(_), KernelShape::Heads(shape)) => Some(Self::AttentionSplit(heads(shape, rows))),
            (Kernel::Tile(_), KernelShape::Heads(shape)) => Some(Self::AttentionTile(heads(shape, rows))),
            (Kernel::Quantize, KernelShape::Quantize(shape)) => {
                let &QuantizeShape { width, order, norm, silu, .. } = shape;
                Some(Self::Quantize(QuantizeOp { width, order, norm, silu, rows }))
            }
            (Kernel::RmsNorm, KernelShape::RmsNorm { width, .. }) => Some(Self::RmsNorm { width: *width, rows }),
            (Kernel::Scan | Kernel::Pick, KernelShape::Logits { vocabulary, .. }) => {
                Some(Self::SampleScan { vocabulary: *vocabulary, rows })
            }
            _ => None,
        }
    }
}

fn product(shape: &ProductShape, packed: bool, rows: u32) -> ProductOp {
    let form = match &shape.heads {
        Some(heads) if shape.rope => ProductForm::Qkv { heads: heads.heads, kv_heads: heads.kv_heads },
        _ if shape.gate => ProductForm::Gate,
        // Without its norm it is a product as any other.
        _ if shape.head && (packed || shape.norm) => ProductForm::Head,
        _ if shape.accumulate => ProductForm::Accumulate,
        _ => ProductForm::Plain,
    };
    let weight = &shape.weight;
    let inputs = if shape.norm { shape.width } else { weight.cols };
    ProductOp { format: weight.weight_format, outputs: weight.part_rows, inputs, rows, form, packed }
}

fn heads(shape: &HeadsShape, rows: u32) -> HeadsOp {
    let &HeadsShape { heads, kv_heads, head_dim, block_size, kv_half, .. } = shape;
    HeadsOp { heads, kv_heads, head_dim, block_size, kv_half, rows }
}
