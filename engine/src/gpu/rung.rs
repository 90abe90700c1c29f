//! Which kernels are asked for, and by what a device goes on whose compiler refuses one.
//!
//! Products go down a ladder: its rungs may share a kernel in different variants, so a kernel's name doesn't say which of them are
//! left. Each kernel of attention is refused or not, and few rows and many have an order of their own in which to try them: a
//! device without tiles for its prompts still decodes by parts of the keys. A refused kernel of one kind leaves the other kind alone.

use super::Gpu;
use crate::kernels::KernelVariant;
use crate::model::ModelConfig;
use std::fmt;

/// Which form operations take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Products of floats, fused with what is beside them.
    Few,
    /// Few rows, but enough for products of integers where the device multiplies them.
    Integers,
    /// Products and attention by tiles.
    Many,
}

/// What a device has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rung {
    pub(super) products: Products,
    /// Kernels of attention that are out of the question.
    without: Vec<&'static str>,
}

/// The ladder of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Products {
    /// Of integers, of many rows by the matrix units of subgroups.
    Units,
    /// Of integers where there are enough rows.
    Integers,
    /// Of floats, fused with what is beside them.
    Fused,
    /// One kernel for each operation, for a processor that stands in for a GPU.
    Serial,
    /// One kernel for each operation, without workgroup memory.
    Plain,
    /// One kernel for each operation, by tiles.
    Tiles,
}

/// How rows attend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attention {
    /// By parts of the keys, for a processor that stands in for a GPU.
    Serial,
    /// By parts of the keys.
    Parts,
    /// By tiles of queries.
    Tiles,
    /// Each row by itself, with heads of any size.
    Rows,
}

impl Attention {
    fn kernels(self) -> &'static [&'static str] {
        match self {
            Self::Serial => &["attention_serial", "attention_reduce"],
            Self::Parts => &["attention_split", "attention_reduce"],
            Self::Tiles => &["attention_tile"],
            Self::Rows => &["attention"],
        }
    }
}

impl Rung {
    /// Where a device begins.
    pub(super) fn new(gpu: &Gpu, config: &ModelConfig) -> Self {
        let products = match (gpu.multiplies_integers(), gpu.is_software()) {
            (true, _) if gpu.matrix_unit().is_some() => Products::Units,
            (true, _) => Products::Integers,
            (false, false) => Products::Fused,
            // Dispatches cost a software adapter little and barriers much, and a fused norm's weights are loaded again for every few outputs:
            // SwiftShader takes a tenth less time without.
            (false, true) => Products::Serial,
        };
        let has_tiles = |variant| matches!(variant, KernelVariant::AttentionTile { .. });
        let mut without = Vec::new();
        if products != Products::Serial {
            without.push("attention_serial");
        }
        if !has_tiles(KernelVariant::default_attention(config.head_dim, gpu.is_software())) {
            without.push("attention_tile");
        }
        Self { products, without }
    }

    pub(super) fn has_integers(&self) -> bool {
        matches!(self.products, Products::Units | Products::Integers)
    }

    /// Whether operations are fused with what is beside them.
    pub(super) fn fuses(&self) -> bool {
        matches!(self.products, Products::Units | Products::Integers | Products::Fused)
    }

    /// How rows of a form attend.
    pub(super) fn attention(&self, form: Form) -> Attention {
        self.left(form).unwrap_or(Attention::Rows)
    }

    fn left(&self, form: Form) -> Option<Attention> {
        use Attention::{Parts, Rows, Serial, Tiles};
        // There is room for the parts of few rows, and of all only on a processor that stands in for a GPU.
        let order: &[Attention] =
            if form == Form::Many { &[Serial, Tiles, Rows] } else { &[Serial, Parts, Rows, Tiles] };
        order.iter().copied().find(|way| !way.kernels().iter().any(|kernel| self.without.contains(kernel)))
    }

    /// The attention by parts of the keys.
    pub(super) fn split(&self, gpu: &Gpu, config: &ModelConfig) -> KernelVariant {
        let heads_per_kv = config.heads / config.kv_heads;
        match self.attention(Form::Few) {
            Attention::Serial => {
                KernelVariant::default_attention_serial(config.head_dim, heads_per_kv, gpu.serial_lanes())
            }
            _ => KernelVariant::default_split(config.head_dim, heads_per_kv),
        }
    }

    /// What is left when a kernel was refused.
    pub(super) fn next(&self, refused: &'static str) -> Option<Self> {
        let mut next = self.clone();
        if refused.starts_with("attention") {
            next.without.push(refused);
            return [Form::Few, Form::Many].iter().all(|form| next.left(*form).is_some()).then_some(next);
        }
        next.products = match self.products {
            Products::Units => Products::Integers,
            Products::Integers => Products::Fused,
            Products::Fused | Products::Serial => Products::Plain,
            Products::Plain => Products::Tiles,
            Products::Tiles => return None,
        };
        Some(next)
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let products = match self.products {
            Products::Units => "products by matrix units",
            Products::Integers => "products of integers",
            Products::Fused => "fused products of floats",
            Products::Serial => "products for processors",
            Products::Plain => "the plainest products",
            Products::Tiles => "products by tiles",
        };
        let attention = |form| match self.attention(form) {
            Attention::Serial => "as processors do",
            Attention::Parts => "by parts of the keys",
            Attention::Tiles => "by tiles of queries",
            Attention::Rows => "row by row",
        };
        write!(f, "{products}, attention {} and in prompts {}", attention(Form::Few), attention(Form::Many))
    }
}
