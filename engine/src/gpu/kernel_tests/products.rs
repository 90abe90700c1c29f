//! Matrix products, alone and with what is fused to them.

use super::{GPU, assert_close, run};
use crate::gpu::check::heads::{SPLIT, cache_bytes, cached, config, heads_shape, interleaved, placed, step_bindings};
use crate::gpu::check::rig::{FORMATS, Random, bytes, header, weight_bindings};
use crate::gpu::pipelines::Access;
use crate::graph::{RowData, StepData};
use crate::kernels::KernelVariant;
use crate::kernels::matmul::{Product, matmul};
use crate::kernels::quantize::{RECORD_WORDS, quantize, values};
use crate::kernels::rope_kv::{KvWrite, rope_kv};
use crate::kernels::serial::serial_spans;
use crate::kernels::source::{KernelShape, ProductShape, QuantizeShape, WeightShape, literal};
use crate::kernels::{rms_norm, silu_mul};
use crate::model::rope::rotations;
use crate::weights::{TensorLayout, WeightFormat, WeightRows};
use half::f16;

/// Of a whole number of vec4, as the engine's buffers are.
fn padded(data: &[f32]) -> Vec<u8> {
    let mut bytes = bytes(data);
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    bytes
}

/// Threads, teams, columns, block and stage.
const MATVECS: [(u32, u32, u32, u32, u32); 9] = [
    (1, 64, 1, 1, 0),
    (2, 8, 2, 2, 0),
    (8, 8, 4, 3, 0),
    (32, 2, 8, 4, 0),
    (64, 1, 3, 1, 0),
    (128, 1, 1, 5, 0),
    (16, 8, 1, 4, 16),
    (4, 16, 8, 4, 5),
    (8, 4, 4, 4, 24),
];

/// What a product reads of an input, and what that stands for: the same, or integers.
fn operand(variant: &KernelVariant, format: WeightFormat, input: Vec<f32>) -> (Vec<f32>, Vec<u8>) {
    if !variant.is_packed() {
        let data = bytes(&input);
        return (input, data);
    }
    let order = order_of(format);
    let records = quantize(&input, order);
    (values(&records, order), bytes(&records))
}

fn order_of(format: WeightFormat) -> u32 {
    format.quantization().map_or(8, |quantization| quantization.bits)
}

fn check_product(
    random: &mut Random,
    variant: KernelVariant,
    layout: TensorLayout,
    rows: u32,
    bias: bool,
    accumulate: bool,
) {
    let (in_stride, out_stride) = (layout.cols.next_multiple_of(8), layout.rows.next_multiple_of(8));
    let weights = random.weights(&layout);
    let input = random.rows(rows, layout.cols, in_stride);
    let mut out = random.rows(rows, layout.rows, out_stride);
    let bias = bias.then(|| random.floats(layout.rows));
    let shape = KernelShape::Product(ProductShape {
        bias: bias.is_some(),
        accumulate,
        ..ProductShape::new(WeightShape::new(&layout, 0, layout.rows, 0), in_stride, out_stride)
    });
    let (input, bytes_in) = operand(&variant, layout.format, input);
    let mut bindings = vec![header(rows, 0), (2, Access::Read, bytes_in), (6, Access::ReadWrite, bytes(&out))];
    bindings.extend(weight_bindings(&weights));
    bindings.extend(bias.iter().map(|bias| (7, Access::Read, padded(bias))));
    let actual = run(&variant, &shape, rows, &bindings);
    let product = Product {
        input: &input,
        in_stride: in_stride as usize,
        layout: &layout,
        weight: &weights,
        bias: bias.as_deref(),
        accumulate,
    };
    matmul(&product, &mut out, out_stride as usize);
    let what = format!("{variant:?} on {layout:?}, {rows} rows");
    if !variant.uses_halves() {
        return assert_close(&what, &actual[0], &out, 2e-4);
    }
    let bounds = bounds_of_halves(&product, out_stride as usize);
    for (index, ((a, e), bound)) in actual[0].iter().zip(&out).zip(bounds).enumerate() {
        assert!((a - e).abs() <= bound + 2e-4 * (1.0 + e.abs()), "{what}: element {index} is {a}, the twin says {e}");
    }
}

/// How far a product in f16 may be off: `shared/halves.wgsl` derives it. Magnitudes are those of what is multiplied, which with a
/// minimum are a code's and the minimum's, each counted from the middle of the codes.
fn bounds_of_halves(product: &Product<'_>, out_stride: usize) -> Vec<f32> {
    let (cols, outputs) = (product.layout.cols as usize, product.layout.rows as usize);
    // The matrix itself, column by column.
    let mut identity = vec![0.0; cols * product.in_stride];
    (0..cols).for_each(|k| identity[k * product.in_stride + k] = 1.0);
    let mut columns = vec![0.0; cols * outputs];
    let alone = Product { input: &identity, bias: None, accumulate: false, ..*product };
    matmul(&alone, &mut columns, outputs);
    // Twice the largest of 8 scales and a minimum, a sixteenth each: see `Random::weights`.
    let offset = if product.layout.format.quantization().is_some_and(|q| q.mins) { 2.0 * 9.0 / 16.0 } else { 0.0 };
    let mut bounds = Vec::new();
    for input in product.input.chunks_exact(product.in_stride) {
        let mut sums = vec![0.0; out_stride];
        for (x, column) in input.iter().zip(columns.chunks_exact(outputs)) {
            for (sum, weight) in sums.iter_mut().zip(column) {
                *sum += x.abs() * (weight.abs() + offset);
            }
        }
        bounds.extend(sums.into_iter().map(|sum: f32| 10.0 / 2048.0 * sum));
    }
    bounds
}

#[test]
fn matrix_products_agree_with_their_twin_in_every_format_on_odd_shapes() {
    let mut random = Random(0);
    for format in FORMATS {
        for rows in [1, 2, 3, 5, 8, 9, 16, 17, 40] {
            let cols = if format.quantization().is_some() { 32 * (1 + random.below(9)) } else { 1 + random.below(150) };
            let layout = TensorLayout { rows: 1 + random.below(90), cols, format };
            let (bias, accumulate) = (random.below(2) == 0, random.below(2) == 0);
            let software = random.below(2) == 0;
            let product = KernelVariant::default_product(rows, software);
            let matvec = KernelVariant::default_matvec(rows, format.pack(), layout.packs(), layout.rows, software);
            let serial = KernelVariant::default_serial(rows, format, layout.packs(), layout.rows, 4);
            for variant in [product, matvec, serial] {
                check_product(&mut random, variant, layout, rows, bias, accumulate);
            }
        }
    }
}

#[test]
fn matrix_products_agree_with_their_twin_whatever_the_variant() {
    let mut random = Random(1000);
    let matvecs = MATVECS.map(|(threads, outputs, columns, block, stage)| KernelVariant::Matvec {
        threads,
        outputs,
        columns,
        block,
        stage,
        subgroups: false,
        halves: false,
    });
    let matmuls = [(8, 8, 1, 1), (16, 64, 4, 4), (64, 16, 8, 2), (64, 64, 4, 8), (32, 64, 8, 8)].map(
        |(tile_m, tile_n, thread_m, thread_n)| KernelVariant::Matmul {
            tile_m,
            tile_n,
            thread_m,
            thread_n,
            halves: false,
        },
    );
    for variant in matvecs.into_iter().chain(matmuls) {
        for format in [FORMATS[0], FORMATS[1], FORMATS[4], FORMATS[7]] {
            let layout = TensorLayout { rows: 1 + random.below(130), cols: 32 * (1 + random.below(20)), format };
            let rows = 1 + random.below(70);
            check_product(&mut random, variant, layout, rows, true, false);
        }
    }
}

#[test]
fn serial_products_agree_with_their_twin_whatever_the_variant() {
    let mut random = Random(1500);
    let mut sizes = [(1, 1, 1), (4, 24, 1), (3, 5, 2), (8, 2, 3), (16, 7, 8)].into_iter().cycle();
    for format in FORMATS {
        // Turns of 1, 2, 4 and 8 packs, as far as a format has them, and rows that leave the last of a pair of scales unused.
        for cols in [32 * 3, 32 * 8] {
            let layout = TensorLayout { rows: 1 + random.below(130), cols, format };
            for (span, (lanes, block, columns)) in serial_spans(format, layout.packs(), 64).zip(&mut sizes) {
                let variant = KernelVariant::MatvecSerial { lanes, block, columns, span };
                let rows = 1 + random.below(2 * columns + 1);
                let (bias, accumulate) = (random.below(2) == 0, random.below(2) == 0);
                check_product(&mut random, variant, layout, rows, bias, accumulate);
            }
        }
    }
}

/// The scales at both ends of what f16 has: nothing is flushed to zero, or loses its digits, on the way.
#[test]
fn serial_products_are_as_exact_for_the_smallest_and_the_largest_scales() {
    for format in &FORMATS[3..] {
        let layout = TensorLayout { rows: 16, cols: 64, format: *format };
        let mut weights = Random(1600).weights(&layout);
        for (index, scale) in weights.scales.iter_mut().enumerate() {
            *scale = f16::from_bits([0x0001, 0x03ff, 0x0400, 0x7bff, 0x8001, 0xfbff][index % 6]);
        }
        weights.mins.iter_mut().for_each(|min| *min = f16::from_f32(0.0));
        let input = Random(1601).floats(64);
        let mut expected = vec![0.0; 16];
        let product =
            Product { input: &input, in_stride: 64, layout: &layout, weight: &weights, bias: None, accumulate: false };
        matmul(&product, &mut expected, 16);
        let shape = KernelShape::Product(ProductShape::new(WeightShape::new(&layout, 0, 16, 0), 64, 16));
        let mut bindings =
            vec![header(1, 0), (2, Access::Read, bytes(&input)), (6, Access::ReadWrite, bytes(&[0.0_f32; 16]))];
        bindings.extend(weight_bindings(&weights));
        let variant = KernelVariant::default_serial(1, *format, layout.packs(), 16, 8);
        let actual = run(&variant, &shape, 1, &bindings);
        for (row, (a, e)) in actual[0].iter().zip(&expected).enumerate() {
            let scales = &weights.scales[row * layout.scale_stride() as usize..][..layout.scale_stride() as usize];
            let largest = scales.iter().map(|scale| scale.to_f32().abs()).fold(0.0, f32::max);
            assert!((a - e).abs() <= largest * 128.0 * 64.0 * 1e-6, "{format:?}, row {row}: {a}, the twin says {e}");
        }
    }
}

#[test]
fn products_in_halves_are_as_close_to_their_twin_as_their_arithmetic_allows() {
    assert!(GPU.has_halves(), "{} has no f16, which these products are about", GPU.name());
    let mut random = Random(3000);
    let matvecs = MATVECS.map(|(threads, outputs, columns, block, stage)| KernelVariant::Matvec {
        threads,
        outputs,
        columns,
        block,
        stage: stage.min(12),
        subgroups: false,
        halves: true,
    });
    let matmuls =
        [(8, 8, 1, 1), (16, 64, 4, 4), (64, 16, 8, 2), (64, 64, 4, 8)].map(|(tile_m, tile_n, thread_m, thread_n)| {
            KernelVariant::Matmul { tile_m, tile_n, thread_m, thread_n, halves: true }
        });
    for variant in matvecs.into_iter().chain(matmuls) {
        for format in FORMATS {
            let layout = TensorLayout { rows: 1 + random.below(130), cols: 32 * (1 + random.below(20)), format };
            let (rows, bias, accumulate) = (1 + random.below(40), random.below(2) == 0, random.below(2) == 0);
            check_product(&mut random, variant, layout, rows, bias, accumulate);
        }
    }
}

#[test]
fn products_of_integers_agree_with_the_twin_on_what_the_integers_stand_for() {
    let mut random = Random(2000);
    let matvecs = [(1, 64, 1, 1), (16, 4, 8, 2), (32, 2, 4, 4), (8, 8, 3, 5), (64, 1, 16, 1)].map(
        |(threads, outputs, columns, block)| KernelVariant::MatvecPacked {
            threads,
            outputs,
            columns,
            block,
            subgroups: false,
        },
    );
    let matmuls = [(8, 8, 1, 1), (16, 64, 4, 4), (64, 64, 8, 8), (128, 64, 8, 8), (32, 32, 4, 2)]
        .map(|(tile_m, tile_n, thread_m, thread_n)| KernelVariant::MatmulPacked { tile_m, tile_n, thread_m, thread_n });
    for variant in matvecs.into_iter().chain(matmuls) {
        for format in &FORMATS[3..] {
            let layout =
                TensorLayout { rows: 1 + random.below(150), cols: 32 * (1 + random.below(20)), format: *format };
            let (rows, bias, accumulate) = (1 + random.below(140), random.below(2) == 0, random.below(2) == 0);
            check_product(&mut random, variant, layout, rows, bias, accumulate);
        }
    }
}

#[test]
fn an_activation_that_is_not_finite_poisons_its_block_and_no_other() {
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut input = vec![0.5_f32; 96];
        input[40] = poison;
        let shape = QuantizeShape {
            in_stride: 96,
            width: 96,
            order: 4,
            norm: false,
            eps: literal(0.0),
            silu: false,
            gather: false,
            halves: false,
        };
        let bindings =
            [header(1, 1), (2, Access::Read, bytes(&input)), (3, Access::ReadWrite, bytes(&[0_u32; 3 * RECORD_WORDS]))];
        let actual = run(&KernelVariant::Quantize { workgroup: 64 }, &KernelShape::Quantize(shape), 1, &bindings);
        let scales: Vec<bool> = actual[0].chunks_exact(RECORD_WORDS).map(|record| record[8].is_finite()).collect();
        assert_eq!(scales, [true, false, true], "{poison}");
    }
}

/// The forms that fuse something, each against the twins of what it stands for.
#[test]
fn fused_products_agree_with_the_twins_of_their_parts() {
    let mut random = Random(7000);
    for (threads, outputs, columns, block, stage) in MATVECS.into_iter().filter(|variant| variant.3 % 2 == 0) {
        let variant =
            KernelVariant::Matvec { threads, outputs, columns, block, stage, subgroups: false, halves: false };
        for format in [FORMATS[1], FORMATS[3], FORMATS[4], FORMATS[7]] {
            check_gate(&mut random, variant, format);
            check_head(&mut random, variant, format);
            check_qkv(&mut random, variant, format);
        }
    }
    let packed = [(16, 4, 8, 2), (32, 2, 4, 4), (8, 8, 3, 4), (1, 64, 1, 2), (64, 1, 16, 2)];
    for ((threads, outputs, columns, block), format) in packed.into_iter().zip(&FORMATS[3..]) {
        let variant = KernelVariant::MatvecPacked { threads, outputs, columns, block, subgroups: false };
        check_gate(&mut random, variant, *format);
        check_head(&mut random, variant, *format);
        check_qkv(&mut random, variant, *format);
    }
}

/// A normalized input, f32 `[rows, stride]`, and the bindings that it comes from.
struct Normed {
    rows: u32,
    width: u32,
    stride: u32,
    result: Vec<f32>,
    /// Whether somebody normalized it before, and made it integers.
    packed: bool,
    given: Vec<u8>,
    norm: Vec<f32>,
}

fn normed(random: &mut Random, variant: &KernelVariant, format: WeightFormat) -> Normed {
    let (rows, width) = (1 + random.below(19), 32 * (1 + random.below(12)));
    let raw = random.rows(rows, width, width);
    let norm = random.floats(width);
    let mut result = vec![0.0; raw.len()];
    rms_norm::rms_norm(&raw, &norm, &mut result, width as usize, 1e-5);
    let (packed, mut given) = (variant.is_packed(), bytes(&raw));
    if packed {
        (result, given) = operand(variant, format, result);
    }
    Normed { rows, width, stride: width, result, packed, given, norm }
}

impl Normed {
    fn product(
        &self,
        random: &mut Random,
        format: WeightFormat,
        outputs: u32,
    ) -> (TensorLayout, WeightRows, Vec<f32>, Vec<f32>) {
        let layout = TensorLayout { rows: outputs, cols: self.width, format };
        let (weights, bias) = (random.weights(&layout), random.floats(outputs));
        let mut out = vec![0.0; (self.rows * outputs) as usize];
        let product = Product {
            input: &self.result,
            in_stride: self.stride as usize,
            layout: &layout,
            weight: &weights,
            bias: Some(&bias),
            accumulate: false,
        };
        matmul(&product, &mut out, outputs as usize);
        (layout, weights, bias, out)
    }

    fn shape(&self, layout: &TensorLayout, out_stride: u32) -> ProductShape {
        ProductShape {
            bias: true,
            norm: !self.packed,
            width: self.width,
            eps: literal(1e-5),
            ..ProductShape::new(WeightShape::new(layout, 0, layout.rows, 0), self.stride, out_stride)
        }
    }

    fn bindings(&self, weights: &WeightRows, bias: &[f32], out: usize) -> Vec<(u32, Access, Vec<u8>)> {
        let norm: &[f32] = if self.packed { &[] } else { &self.norm };
        let mut bindings = vec![
            header(self.rows, self.rows),
            (2, Access::Read, self.given.clone()),
            (6, Access::ReadWrite, bytes(&vec![0.0_f32; out])),
            (7, Access::Read, padded(&[norm, bias].concat())),
        ];
        bindings.extend(weight_bindings(weights));
        bindings
    }
}

fn check_gate(random: &mut Random, variant: KernelVariant, format: WeightFormat) {
    let input = normed(random, &variant, format);
    let half = 1 + random.below(70);
    let (layout, weights, bias, both) = input.product(random, format, 2 * half);
    let (mut gate, mut up) = (Vec::new(), Vec::new());
    for row in both.chunks_exact(2 * half as usize) {
        gate.extend(&row[..half as usize]);
        up.extend(&row[half as usize..]);
    }
    silu_mul::silu_mul(&mut gate, &up);
    let shape = KernelShape::Product(ProductShape { gate: true, ..input.shape(&layout, half) });
    let actual = run(&variant, &shape, input.rows, &input.bindings(&weights, &bias, gate.len()));
    assert_close(&format!("gate, {variant:?}, {format:?}"), &actual[0], &gate, 2e-4);
}

fn check_head(random: &mut Random, variant: KernelVariant, format: WeightFormat) {
    let input = normed(random, &variant, format);
    let outputs = 1 + random.below(150);
    let (layout, weights, bias, all) = input.product(random, format, outputs);
    // Who makes integers of the input picks its rows.
    let gather = !input.packed;
    let picked: Vec<u32> = (0..input.rows).map(|row| if gather { random.below(input.rows) } else { row }).collect();
    let row = |&row: &u32| &all[(row * outputs) as usize..][..outputs as usize];
    let expected: Vec<f32> = picked.iter().flat_map(row).copied().collect();
    let shape = KernelShape::Product(ProductShape { gather, head: true, ..input.shape(&layout, outputs) });
    let mut bindings = input.bindings(&weights, &bias, expected.len());
    bindings.extend(gather.then(|| (1, Access::Read, bytes(&picked))));
    let actual = run(&variant, &shape, input.rows, &bindings);
    assert_close(&format!("head, {variant:?}, {format:?}"), &actual[0], &expected, 2e-4);
}

fn check_qkv(random: &mut Random, variant: KernelVariant, format: WeightFormat) {
    let input = normed(random, &variant, format);
    let (kv_heads, head_dim) = (1 + random.below(3), 4 * (1 + random.below(8)));
    let heads = kv_heads * (1 + random.below(4));
    let config = config(heads, kv_heads, head_dim, 2 * (1 + random.below(head_dim / 2)), random.below(2) == 0);
    let (query_width, kv_width) = (config.query_width() as usize, config.kv_width() as usize);
    let outputs = query_width + 2 * kv_width;
    let (layout, weights, bias, all) = input.product(random, format, outputs as u32);
    let part = |from: usize, width: usize| -> Vec<f32> {
        all.chunks_exact(outputs).flat_map(|row| &row[from..from + width]).copied().collect()
    };
    let mut query = part(0, query_width);
    let (key, value) = (part(query_width, kv_width), part(query_width + kv_width, kv_width));
    let frequencies = config.rope.frequencies();
    let slots = input.rows + 3;
    let rows: Vec<RowData> = (0..input.rows)
        .map(|row| RowData { position: random.below(500), slot: slots - 1 - row, ..RowData::default() })
        .collect();
    let turns: Vec<[f32; 2]> = rows.iter().flat_map(|row| rotations(&frequencies, row.position)).collect();
    let mut caches = [vec![0.0; slots as usize * kv_width], vec![0.0; slots as usize * kv_width]];
    let [key_cache, value_cache] = &mut caches;
    let mut kv = KvWrite { key: &key, value: &value, stride: kv_width, key_cache, value_cache };
    rope_kv(&config, &rows, &turns, &mut query, query_width, &mut kv);
    let kv_half = random.below(2) == 0;
    if kv_half {
        query = placed(&config, &query, query_width);
        caches[0] = placed(&config, &caches[0], kv_width);
    }
    let step = StepData { rows, rotations: turns, ..StepData::default() };
    let shape = KernelShape::Product(ProductShape {
        rope: true,
        heads: Some(heads_shape(&config, query_width as u32, 0, 16, kv_half)),
        ..input.shape(&layout, query_width as u32)
    });
    let mut bindings = input.bindings(&weights, &bias, query.len());
    bindings.splice(0..1, step_bindings(&step, &[], SPLIT).1);
    bindings.push((8, Access::ReadWrite, cache_bytes(&vec![0.0; 2 * slots as usize * kv_width], kv_half)));
    let actual = run(&variant, &shape, input.rows, &bindings);
    let what = format!("{variant:?}, {format:?}, {heads} heads of {head_dim}, halves: {kv_half}");
    assert_close(&format!("queries, {what}"), &actual[0], &query, 2e-4);
    let (expected, tolerance) = (interleaved(&caches[0], &caches[1], kv_width), if kv_half { 2e-3 } else { 2e-4 });
    assert_close(&format!("cache, {what}"), &cached(&actual[1], kv_half), &expected, tolerance);
}
