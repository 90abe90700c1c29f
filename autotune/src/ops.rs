//! The operations that a model's steps are made of, largest share of a step first.

use tilewright_engine::ModelConfig;
use tilewright_engine::gpu::trial::{ProductForm, ProductOp};
use tilewright_engine::weights::WeightFormat;

/// The matrix products of a step of `rows` rows in a model whose matrices are stored as `format`, those with most weights first.
pub fn products(config: &ModelConfig, format: WeightFormat, rows: u32) -> Vec<ProductOp> {
    let (query, kv) = (config.query_width(), config.kv_width());
    let op = |outputs, inputs, form| ProductOp { format, outputs, inputs, rows, form };
    // With many rows nothing is fused.
    let few = |form| if rows <= 32 { form } else { ProductForm::Plain };
    let qkv = few(ProductForm::Qkv { heads: config.heads, kv_heads: config.kv_heads });
    let mut ops = vec![
        op(query + 2 * kv, config.hidden, qkv),
        op(config.hidden, query, ProductForm::Accumulate),
        op(2 * config.feed_forward, config.hidden, few(ProductForm::Gate)),
        op(config.hidden, config.feed_forward, ProductForm::Accumulate),
        op(config.vocabulary, config.hidden, few(ProductForm::Head)),
    ];
    let weights = |op: &ProductOp| {
        let often = if op.outputs == config.vocabulary { 1 } else { config.layers };
        u64::from(op.outputs) * u64::from(op.inputs) * u64::from(often)
    };
    ops.sort_by_key(|op| std::cmp::Reverse(weights(op)));
    ops
}
