//! A kernel's WGSL, built from its template, a variant and the shapes it runs on.
//!
//! The templates are the `.wgsl` files beside this one, in the language of `minijinja`: `include` shares code, `if` selects a
//! form, `for` unrolls. The context is the variant's own fields and the shape's, so that whatever a kernel depends on is
//! written in one of two plain values. Shapes are compiled in: the loops' bounds are constants, and per step only a
//! small uniform changes.

use super::KernelVariant;
use crate::weights::TensorLayout;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;
use std::sync::LazyLock;

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    for (name, text) in FILES {
        environment.add_template(name, text).expect("the kernel templates parse: a test renders each of them");
    }
    environment
});

/// Every template: name, text.
const FILES: &[(&str, &str)] = &[
    ("shared/product.wgsl", include_str!("shared/product.wgsl")),
    ("shared/step.wgsl", include_str!("shared/step.wgsl")),
    ("shared/weights.wgsl", include_str!("shared/weights.wgsl")),
    ("embed.wgsl", include_str!("embed.wgsl")),
    ("rms_norm.wgsl", include_str!("rms_norm.wgsl")),
    ("matvec.wgsl", include_str!("matvec.wgsl")),
    ("matmul.wgsl", include_str!("matmul.wgsl")),
    ("rope_kv.wgsl", include_str!("rope_kv.wgsl")),
    ("attention.wgsl", include_str!("attention.wgsl")),
    ("silu_mul.wgsl", include_str!("silu_mul.wgsl")),
    ("gather_rows.wgsl", include_str!("gather_rows.wgsl")),
];

/// The shapes that a kernel is compiled for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum KernelShape {
    /// [`KernelVariant::Embed`].
    Embed {
        /// The table.
        #[serde(flatten)]
        table: WeightShape,
        /// Row stride of the output.
        out_stride: u32,
    },
    /// [`KernelVariant::RmsNorm`].
    RmsNorm {
        /// Elements of a row.
        width: u32,
        /// Row stride of input and output.
        stride: u32,
        /// Added to the mean square, as a WGSL literal.
        eps: String,
    },
    /// [`KernelVariant::Matvec`] and [`KernelVariant::Matmul`].
    Product {
        /// The matrix.
        #[serde(flatten)]
        weight: WeightShape,
        /// Row stride of the input.
        in_stride: u32,
        /// Row stride of the output.
        out_stride: u32,
        /// Whether a bias is added.
        bias: bool,
        /// Whether the product is added to what the output holds.
        accumulate: bool,
        /// Whether the rows are those of the head rather than of the step.
        head: bool,
    },
    /// [`KernelVariant::RopeKv`] and [`KernelVariant::Attention`].
    Heads {
        /// Query heads.
        heads: u32,
        /// Key and value heads.
        kv_heads: u32,
        /// Elements of a head.
        head_dim: u32,
        /// Elements of a head that are rotated.
        rotated: u32,
        /// Whether a rotated pair is (2i, 2i + 1) rather than (i, i + half).
        interleaved: bool,
        /// Row stride of queries.
        q_stride: u32,
        /// Row stride of new keys and values.
        kv_stride: u32,
        /// Slots of a KV block.
        block_size: u32,
        /// Multiplies query . key, as a WGSL literal.
        scale: String,
    },
    /// [`KernelVariant::SiluMul`] and [`KernelVariant::GatherRows`].
    Rows {
        /// Row stride.
        stride: u32,
    },
}

/// A weight matrix, or the part of one that fits a binding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightShape {
    format: &'static str,
    bits: u32,
    group: u32,
    quantized: bool,
    mins: bool,
    /// Elements of a pack.
    pub pack: u32,
    /// Packs per row.
    pub packs: u32,
    scale_stride: u32,
    /// First row of this part.
    pub part_start: u32,
    /// Rows of this part.
    pub part_rows: u32,
}

impl WeightShape {
    /// Rows `part_start .. part_start + part_rows` of a matrix in the canonical layout.
    pub fn new(layout: &TensorLayout, part_start: u32, part_rows: u32) -> Self {
        let quantization = layout.format.quantization();
        Self {
            format: layout.format.name(),
            bits: quantization.map_or(0, |q| q.bits),
            group: quantization.map_or(0, |q| q.group),
            quantized: quantization.is_some(),
            mins: quantization.is_some_and(|q| q.mins),
            pack: layout.format.pack(),
            packs: layout.packs(),
            scale_stride: layout.scale_stride(),
            part_start,
            part_rows,
        }
    }
}

/// A float as a WGSL literal that reads back as the same f32.
pub fn literal(x: f32) -> String {
    format!("{x:e}f")
}

/// The WGSL text.
///
/// # Errors
/// When variant and shape belong to different kernels.
pub fn render(variant: &KernelVariant, shape: &KernelShape) -> Result<String, minijinja::Error> {
    let template = TEMPLATES.get_template(&format!("{}.wgsl", variant.kernel()))?;
    template.render(context! { ..Value::from(Serde(variant)), ..Value::from(Serde(shape)) })
}
