//! A product to be tried: what it reads, and what its twin says comes of it.
//!
//! The matrix repeats some dozen random rows and the input a few, so that the twin has the right answer to all of it in a few
//! milliseconds. The output is full of other numbers before: what is added to has to be read, and what lies past a row's outputs or past
//! the last row has to stay. Positions, slots and the rows of the head are in no order that a kernel could guess.

use super::{EPS, Judge, Random, close};
use crate::gpu::check::heads::{cached, config, heads_shape, interleaved, placed};
use crate::gpu::tuned_op::{ProductForm, ProductOp};
use crate::graph::{RowData, StepData};
use crate::kernels::matmul::{Product, matmul};
use crate::kernels::quantize::{halves, quantize, values};
use crate::kernels::rms_norm;
use crate::kernels::rope_kv::{KvWrite, rope_kv};
use crate::kernels::source::{ProductShape, WeightShape, literal};
use crate::model::ModelConfig;
use crate::model::rope::rotations;
use crate::weights::{TensorLayout, WeightFormat, WeightRows};
use half::f16;

/// Distinct rows of a matrix, of an input, and numbers of an output before: primes, so that no tile of a power of two gets the right answer
/// from the wrong place.
const PERIOD: u32 = 61;
const INPUT_PERIOD: u32 = 7;
const BEFORE_PERIOD: u32 = 1009;

/// Rows whose logits nobody asks for, and slots of a cache that nobody writes.
pub(super) const SPARE: u32 = 3;

impl ProductOp {
    pub(super) fn layout(&self) -> TensorLayout {
        TensorLayout { rows: self.outputs, cols: self.inputs, format: self.format }
    }

    /// Bytes of weights that one run reads.
    pub fn weight_bytes(&self) -> u64 {
        self.layout().bytes()
    }

    /// A model with such heads. They are rotated whole and by halves, as most models' are, which is what timing has to cost; heads of a size
    /// that only checks have are rotated in part and by neighbours.
    fn config(&self) -> Option<ModelConfig> {
        let ProductForm::Qkv { heads, kv_heads } = self.form else { return None };
        let head_dim = self.outputs / (heads + 2 * kv_heads);
        let odd = !head_dim.is_multiple_of(8);
        Some(config(heads, kv_heads, head_dim, if odd { head_dim / 4 * 2 } else { head_dim }, odd))
    }
}

/// A product, its operands and its step.
pub(super) struct Case {
    op: ProductOp,
    pub(super) shape: ProductShape,
    config: Option<ModelConfig>,
    pub(super) step: StepData,
    /// Rows of the input.
    pub(super) read: u32,
    /// The matrix's distinct rows.
    pub(super) weights: WeightRows,
    /// The input's distinct rows, as they come.
    pub(super) raw: Vec<f32>,
    /// The same as integers.
    pub(super) records: Vec<u32>,
    /// The same as f16.
    pub(super) halves: Vec<u32>,
    /// The norm's weights and the bias, where there are such.
    pub(super) vectors: Vec<f32>,
    /// What the output holds before, over and over.
    pub(super) before: Vec<f32>,
    /// What comes of the distinct rows of input and matrix, from which all follows, and how many there are of either.
    products: Vec<f32>,
    pub(super) distinct: [u32; 2],
}

impl Case {
    pub(super) fn new(op: &ProductOp, packed: bool, kv_half: bool) -> Self {
        let ProductOp { outputs, inputs, form, rows, .. } = *op;
        let config = op.config();
        let out_stride = match (form, &config) {
            (ProductForm::Gate, _) => outputs / 2,
            (_, Some(config)) => config.query_width(),
            _ => outputs.next_multiple_of(8),
        };
        let (norm, head) = (!matches!(form, ProductForm::Plain | ProductForm::Accumulate), form == ProductForm::Head);
        let shape = ProductShape {
            // Few models have any, but to read one is nothing beside an output's weights. The head has none in any.
            bias: !head,
            accumulate: form == ProductForm::Accumulate,
            norm: norm && !packed,
            width: inputs,
            eps: literal(EPS),
            gate: form == ProductForm::Gate,
            rope: config.is_some(),
            gather: head && !packed,
            head,
            heads: config.as_ref().map(|config| heads_shape(config, out_stride, 0, 16, kv_half)),
            ..ProductShape::new(WeightShape::new(&op.layout(), 0, outputs, 0), inputs, out_stride)
        };
        let step = step(rows, head, config.as_ref());
        let read = if shape.gather { step.rows.len() as u32 } else { rows };

        let distinct = [INPUT_PERIOD.min(read), PERIOD.min(outputs)];
        let layout = TensorLayout { rows: distinct[1], ..op.layout() };
        let mut random = Random(0);
        let weights = even_weights(&mut random, &layout);
        let raw = random.floats(distinct[0] * inputs);
        let norm_weight: Vec<f32> = (0..inputs).map(|_| 1.0 + random.float() / 4.0).collect();
        let bias = random.floats(distinct[1]);
        let mut input = raw.clone();
        if norm {
            rms_norm::rms_norm(&raw, &norm_weight, &mut input, inputs as usize, EPS);
        }
        let order = op.format.quantization().map_or(8, |quantization| quantization.bits);
        let records = if packed { quantize(&input, order) } else { Vec::new() };
        if packed {
            input = values(&records, order);
        }
        let halves = if packed { halves(&input, order) } else { Vec::new() };
        let product = Product {
            input: &input,
            in_stride: inputs as usize,
            layout: &layout,
            weight: &weights,
            bias: shape.bias.then_some(&bias[..]),
            accumulate: false,
        };
        let mut products = vec![0.0; (distinct[0] * distinct[1]) as usize];
        matmul(&product, &mut products, distinct[1] as usize);
        let mut vectors = if shape.norm { norm_weight } else { Vec::new() };
        if shape.bias {
            vectors.extend(bias.iter().cycle().take(outputs as usize));
        }
        let before = random.floats(BEFORE_PERIOD);
        Self { op: *op, shape, config, step, read, weights, raw, records, halves, vectors, before, products, distinct }
    }

    /// Largest error of these rows of the output, of the one past the last, and of what [`Case::slots`] of theirs hold.
    pub(super) fn judge(&self, rows: &[u32]) -> Judge {
        let stride = self.shape.out_stride;
        let before = |row: u32, n: u32| self.before[((row * stride + n) % BEFORE_PERIOD) as usize];
        let past = (0..stride).map(|n| before(self.op.rows, n));
        if let Some((config, heads)) = self.config.as_ref().zip(self.shape.heads.as_ref()) {
            let (mut outputs, mut slots) = self.rotated(config, heads.kv_half, rows);
            outputs.extend(past);
            slots.extend(vec![0.0; 2 * config.kv_width() as usize]);
            let (count, kv_half) = (outputs.len(), heads.kv_half);
            let close = close([outputs, slots].concat());
            return Box::new(move |words| {
                let (outputs, slots) = words.split_at(count.min(words.len()));
                let slots = cached(bytemuck::cast_slice(slots), kv_half);
                close(&[outputs, bytemuck::cast_slice(&slots)].concat())
            });
        }
        let output = |row: u32, n: u32| match self.op.form {
            ProductForm::Gate => {
                let gate = self.product(row, n);
                gate / (1.0 + (-gate).exp()) * self.product(row, n + self.op.outputs / 2)
            }
            ProductForm::Accumulate if n < self.op.outputs => before(row, n) + self.product(row, n),
            _ if n < self.op.outputs => self.product(row, n),
            _ => before(row, n),
        };
        close(rows.iter().flat_map(|&row| (0..stride).map(move |n| output(row, n))).chain(past).collect())
    }

    /// The slots that rows write, and one that none does.
    pub(super) fn slots(&self, rows: &[u32]) -> impl Iterator<Item = u32> {
        rows.iter().map(|&row| self.step.rows[row as usize].slot).chain([SPARE - 1])
    }

    /// Of a row of the output.
    fn product(&self, row: u32, n: u32) -> f32 {
        // The first of the head's rows is another segment's.
        let row = if self.shape.gather { self.step.output_rows[row as usize + 1] } else { row };
        let [rows, outputs] = self.distinct;
        self.products[(row % rows * outputs + n % outputs) as usize]
    }

    /// Queries of some rows, and what is kept of their keys and values.
    fn rotated(&self, config: &ModelConfig, kv_half: bool, rows: &[u32]) -> (Vec<f32>, Vec<f32>) {
        let (query_width, kv_width) = (config.query_width(), config.kv_width());
        let part = |from: u32, width: u32| -> Vec<f32> {
            rows.iter().flat_map(|&row| (from..from + width).map(move |n| self.product(row, n))).collect()
        };
        let mut query = part(0, query_width);
        let (key, value) = (part(query_width, kv_width), part(query_width + kv_width, kv_width));
        let (query_width, kv_width, pairs) = (query_width as usize, kv_width as usize, config.rope.dims as usize / 2);
        let side_by_side: Vec<RowData> =
            (0..rows.len() as u32).map(|slot| RowData { slot, ..RowData::default() }).collect();
        let turns: Vec<[f32; 2]> =
            rows.iter().flat_map(|&row| self.step.rotations[row as usize * pairs..][..pairs].to_vec()).collect();
        let (mut key_cache, mut value_cache) = (vec![0.0; key.len()], vec![0.0; value.len()]);
        let mut kv = KvWrite {
            key: &key,
            value: &value,
            stride: kv_width,
            key_cache: &mut key_cache,
            value_cache: &mut value_cache,
        };
        rope_kv(config, &side_by_side, &turns, &mut query, query_width, &mut kv);
        if kv_half {
            query = placed(config, &query, query_width);
            key_cache = placed(config, &key_cache, kv_width);
        }
        (query, interleaved(&key_cache, &value_cache, kv_width))
    }
}

/// A step of so many rows, or one that asks for the logits of so many.
fn step(rows: u32, head: bool, config: Option<&ModelConfig>) -> StepData {
    let count = rows + if head { SPARE } else { 0 };
    let row = |row| RowData { position: (5 + 37 * row) % 2000, slot: count + SPARE - 1 - row, ..RowData::default() };
    let all: Vec<RowData> = (0..count).map(row).collect();
    let turns = |config: &ModelConfig| {
        let frequencies = config.rope.frequencies();
        all.iter().flat_map(|row| rotations(&frequencies, row.position)).collect()
    };
    StepData {
        rotations: config.map(turns).unwrap_or_default(),
        output_rows: if head { (SPARE - 1..count).rev().collect() } else { Vec::new() },
        rows: all,
        ..StepData::default()
    }
}

/// Weights whose products with rows of magnitude one are of magnitude one.
fn even_weights(random: &mut Random, layout: &TensorLayout) -> WeightRows {
    let mut rows = WeightRows::zeroed(layout, layout.rows);
    let size = 1.0 / (layout.cols as f32).sqrt();
    match layout.format {
        WeightFormat::Quantized(quantization) => {
            rows.codes.iter_mut().for_each(|code| *code = random.word());
            let scale = size / if quantization.bits == 4 { 8.0 } else { 128.0 };
            rows.scales.iter_mut().for_each(|s| *s = f16::from_f32(scale * (1.0 + random.float() / 2.0)));
            rows.mins.iter_mut().for_each(|min| *min = f16::from_f32(-size * (1.0 + random.float() / 2.0)));
        }
        WeightFormat::F32 => rows.codes.iter_mut().for_each(|code| *code = (random.float() * size).to_bits()),
        format => {
            for code in &mut rows.codes {
                let half = |x: f32| match format {
                    WeightFormat::F16 => u32::from(f16::from_f32(x).to_bits()),
                    _ => x.to_bits() >> 16,
                };
                *code = half(random.float() * size) | half(random.float() * size) << 16;
            }
        }
    }
    rows
}
