//! A kernel's WGSL, built from its template, a variant and the shapes it runs on.
//!
//! The templates are the `.wgsl` files beside this one, in the language of `minijinja`: `include` shares code, `if` selects a
//! form, `for` unrolls. The context is the variant's own fields and the shape's, so that whatever a kernel depends on is
//! written in one of two plain values. Shapes are compiled in: the loops' bounds are constants, and per step only a
//! small uniform changes.

use super::KernelVariant;
use crate::weights::{TensorLayout, WeightFormat};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
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
    ("shared/heads.wgsl", include_str!("shared/heads.wgsl")),
    ("shared/cache.wgsl", include_str!("shared/cache.wgsl")),
    ("shared/cache_write.wgsl", include_str!("shared/cache_write.wgsl")),
    ("shared/step.wgsl", include_str!("shared/step.wgsl")),
    ("shared/words.wgsl", include_str!("shared/words.wgsl")),
    ("shared/weights.wgsl", include_str!("shared/weights.wgsl")),
    ("embed.wgsl", include_str!("embed.wgsl")),
    ("rms_norm.wgsl", include_str!("rms_norm.wgsl")),
    ("matvec.wgsl", include_str!("matvec.wgsl")),
    ("matmul.wgsl", include_str!("matmul.wgsl")),
    ("shared/halves.wgsl", include_str!("shared/halves.wgsl")),
    ("shared/product.wgsl", include_str!("shared/product.wgsl")),
    ("shared/packed.wgsl", include_str!("shared/packed.wgsl")),
    ("matvec_serial.wgsl", include_str!("matvec_serial.wgsl")),
    ("matvec_packed.wgsl", include_str!("matvec_packed.wgsl")),
    ("matmul_packed.wgsl", include_str!("matmul_packed.wgsl")),
    ("subgroup_matmul_packed.wgsl", include_str!("subgroup_matmul_packed.wgsl")),
    ("quantize.wgsl", include_str!("quantize.wgsl")),
    ("rope_kv.wgsl", include_str!("rope_kv.wgsl")),
    ("attention.wgsl", include_str!("attention.wgsl")),
    ("attention_serial.wgsl", include_str!("attention_serial.wgsl")),
    ("attention_split.wgsl", include_str!("attention_split.wgsl")),
    ("attention_reduce.wgsl", include_str!("attention_reduce.wgsl")),
    ("attention_tile.wgsl", include_str!("attention_tile.wgsl")),
    ("shared/sample.wgsl", include_str!("shared/sample.wgsl")),
    ("shared/filter.wgsl", include_str!("shared/filter.wgsl")),
    ("sample_adjust.wgsl", include_str!("sample_adjust.wgsl")),
    ("sample_mask.wgsl", include_str!("sample_mask.wgsl")),
    ("sample_survey.wgsl", include_str!("sample_survey.wgsl")),
    ("sample_sift.wgsl", include_str!("sample_sift.wgsl")),
    ("sample_filter.wgsl", include_str!("sample_filter.wgsl")),
    ("sample_scan.wgsl", include_str!("sample_scan.wgsl")),
    ("sample_pick.wgsl", include_str!("sample_pick.wgsl")),
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
    /// [`KernelVariant::Matvec`], [`KernelVariant::MatvecSerial`], [`KernelVariant::Matmul`] and their packed forms.
    Product(ProductShape),
    /// [`KernelVariant::Quantize`].
    Quantize(QuantizeShape),
    /// Kernels that work on heads.
    Heads(HeadsShape),
    /// The kernels of the sampler.
    Logits {
        /// Tokens.
        vocabulary: u32,
        /// Row stride of logits.
        stride: u32,
    },
    /// [`KernelVariant::SiluMul`] and [`KernelVariant::GatherRows`].
    Rows {
        /// Row stride.
        stride: u32,
    },
}

/// A matrix product, and what is fused with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a form of the kernel's template")]
pub struct ProductShape {
    /// The matrix.
    #[serde(flatten)]
    pub weight: WeightShape,
    /// Row stride of the input.
    pub in_stride: u32,
    /// Row stride of the output.
    pub out_stride: u32,
    /// Whether a bias is added.
    pub bias: bool,
    /// Whether the product is added to what the output holds.
    pub accumulate: bool,
    /// Whether the rows are those of the head rather than of the step.
    pub head: bool,
    /// Whether the input is normalized on its way in. Like the forms below, of [`KernelVariant::Matvec`] alone.
    pub norm: bool,
    /// Elements of a row of the input, for the norm's mean.
    pub width: u32,
    /// Added to the mean square, as a WGSL literal.
    pub eps: String,
    /// Whether the matrix is gate and up, one below the other.
    pub gate: bool,
    /// Whether the matrix is query, key and value, and outputs are rotated and go to query and cache.
    pub rope: bool,
    /// Whether the input's rows are those whose logits are asked for.
    pub gather: bool,
    /// With `rope`.
    #[serde(flatten)]
    pub heads: Option<HeadsShape>,
}

impl ProductShape {
    /// A product alone.
    pub fn new(weight: WeightShape, in_stride: u32, out_stride: u32) -> Self {
        Self {
            weight,
            in_stride,
            out_stride,
            bias: false,
            accumulate: false,
            head: false,
            norm: false,
            width: 0,
            eps: literal(0.0),
            gate: false,
            rope: false,
            gather: false,
            heads: None,
        }
    }
}

/// Activations to be turned into integers, and what they go through before.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a form of the kernel's template")]
pub struct QuantizeShape {
    /// Row stride of the input.
    pub in_stride: u32,
    /// Elements of a row of the output; a multiple of 32.
    pub width: u32,
    /// 4: each eight elements' even ones come first, as 4-bit weights are unpacked; 8: they stay in order.
    pub order: u32,
    /// Whether rows are normalized.
    pub norm: bool,
    /// Added to the mean square, as a WGSL literal.
    pub eps: String,
    /// Whether a row of the input is gate and up, one after the other.
    pub silu: bool,
    /// Whether rows are those whose logits are asked for.
    pub gather: bool,
    /// Whether they are left as f16 too, for matrix units.
    pub halves: bool,
}

/// Sizes of heads and cache.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadsShape {
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Elements of a head that are rotated.
    pub rotated: u32,
    /// Whether a rotated pair is (2i, 2i + 1) rather than (i, i + half).
    pub interleaved: bool,
    /// Row stride of queries.
    pub q_stride: u32,
    /// Row stride of new keys and values.
    pub kv_stride: u32,
    /// Row stride of queries, keys and values side by side, where they come so; else 0.
    pub joined_stride: u32,
    /// Slots of a KV block.
    pub block_size: u32,
    /// Whether keys and values are kept as halves.
    pub kv_half: bool,
    /// Multiplies query . key, as a WGSL literal.
    pub scale: String,
}

/// A weight matrix, or the part of one that fits a binding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightShape {
    /// How it is stored; [`WeightShape::new`] says the rest of it in the templates' words.
    #[serde(skip)]
    pub weight_format: WeightFormat,
    /// Columns of the matrix.
    #[serde(skip)]
    pub cols: u32,
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
    /// Row of the buffers that this part begins at.
    pub base: u32,
}

impl WeightShape {
    /// Rows `part_start .. part_start + part_rows` of a matrix in the canonical layout.
    pub fn new(layout: &TensorLayout, part_start: u32, part_rows: u32, base: u32) -> Self {
        let quantization = layout.format.quantization();
        Self {
            weight_format: layout.format,
            cols: layout.cols,
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
            base,
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
    // Browsers want subgroups enabled by a directive that naga, which compiles natively, does not know yet.
    let browser = cfg!(target_arch = "wasm32");
    template.render(context! { ..context! { browser }, ..Value::from(Serde(variant)), ..Value::from(Serde(shape)) })
}

/// A hash of a kernel's source: its template and all that it includes. Another hash, another kernel: nothing that was measured
/// of the one holds for the other. `None` if there is no kernel of this name.
pub fn source_hash(kernel: &str) -> Option<String> {
    let mut digest = Sha256::new();
    sources(kernel)?.values().for_each(|text| digest.update(text));
    Some(digest.finalize()[..8].iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}")))
}

/// The files of a kernel's source, by name.
fn sources(kernel: &str) -> Option<BTreeMap<&'static str, &'static str>> {
    let file = |name: &str| FILES.iter().find(|(known, _)| *known == name).copied();
    let mut sources = BTreeMap::new();
    let mut unread = vec![file(&format!("{kernel}.wgsl"))?];
    while let Some((name, text)) = unread.pop() {
        if sources.insert(name, text).is_none() {
            let included = text.split("include \"").skip(1).filter_map(|rest| rest.split('"').next());
            unread.extend(included.filter_map(file));
        }
    }
    Some(sources)
}

/// Names of all kernels.
pub fn kernels() -> impl Iterator<Item = &'static str> {
    FILES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.starts_with("shared/"))
        .map(|name| name.trim_end_matches(".wgsl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_a_kernel_covers_what_it_includes_and_nothing_else() {
        let names = |kernel| sources(kernel).unwrap_or_default().into_keys().collect::<Vec<_>>();
        assert_eq!(
            names("sample_filter"),
            ["sample_filter.wgsl", "shared/filter.wgsl", "shared/sample.wgsl", "shared/step.wgsl", "shared/words.wgsl"]
        );
        assert_eq!(names("rms_norm"), ["rms_norm.wgsl", "shared/step.wgsl"]);
        assert!(names("no_such_kernel").is_empty() && source_hash("no_such_kernel").is_none());
        let hashes: Vec<_> = kernels().map(source_hash).collect();
        assert!(hashes.iter().all(Option::is_some));
        assert_eq!(hashes.iter().collect::<std::collections::HashSet<_>>().len(), hashes.len());
    }
}
