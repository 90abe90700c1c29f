//! Every kernel variant against its CPU twin, on random data and odd shapes.
//!
//! The device is Mesa's lavapipe; `TILEWRIGHT_TEST_ADAPTER` names another one. The random numbers are the project's own
//! counter-based generator, so a failure comes again.

use super::dispatch::workgroups;
use super::pipelines::{Access, Pipelines};
use super::weights::storage;
use super::{Gpu, GpuOptions};
use crate::graph::{RowData, StepData, StepHeader};
use crate::kernels::attention::{KvCache, attention, attention_scale};
use crate::kernels::matmul::{Product, matmul};
use crate::kernels::rope_kv::{KvWrite, rope_kv};
use crate::kernels::source::{KernelShape, WeightShape, literal};
use crate::kernels::{KernelVariant, embed, gather_rows, rms_norm, silu_mul};
use crate::model::{ModelConfig, Rope, RopeScaling, llama::LLAMA, rope::rotations};
use crate::sampling::random::philox;
use crate::weights::{Quantization, TensorLayout, WeightFormat, WeightRows};
use bytemuck::{Pod, cast_slice};
use half::f16;
use std::sync::LazyLock;

static GPU: LazyLock<Gpu> = LazyLock::new(|| {
    let adapter = std::env::var("TILEWRIGHT_TEST_ADAPTER").unwrap_or_else(|_| "llvmpipe".into());
    let options = GpuOptions { adapter: Some(adapter), ..GpuOptions::default() };
    pollster::block_on(Gpu::request(&options)).expect("a GPU; `cargo xtask setup` installs Mesa's lavapipe")
});

/// Random numbers of one test.
struct Random(u32);

impl Random {
    fn word(&mut self) -> u32 {
        self.0 += 1;
        philox([self.0, 0, 0, 0], [11, 22])[0]
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.word() % bound
    }

    /// In [-1, 1).
    fn float(&mut self) -> f32 {
        self.word() as f32 / 2.0_f32.powi(31) - 1.0
    }

    fn floats(&mut self, count: u32) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }

    /// `[rows, stride]` whose padding is zero, as activations' is.
    fn rows(&mut self, rows: u32, width: u32, stride: u32) -> Vec<f32> {
        (0..rows * stride).map(|i| if i % stride < width { self.float() } else { 0.0 }).collect()
    }

    fn weights(&mut self, layout: &TensorLayout) -> WeightRows {
        let mut rows = WeightRows::zeroed(layout, layout.rows);
        match layout.format {
            WeightFormat::Quantized(_) => rows.codes.iter_mut().for_each(|code| *code = self.word()),
            format => {
                let pack = layout.packs() * format.pack();
                for element in 0..layout.rows * pack {
                    if element % pack >= layout.cols {
                        continue;
                    }
                    let (x, at) = (self.float(), element as usize);
                    match format {
                        WeightFormat::F32 => rows.codes[at] = x.to_bits(),
                        WeightFormat::F16 => {
                            rows.codes[at / 2] |= u32::from(f16::from_f32(x).to_bits()) << (16 * (at % 2));
                        }
                        _ => rows.codes[at / 2] |= (x.to_bits() >> 16) << (16 * (at % 2)),
                    }
                }
            }
        }
        let small = |random: &mut Self| f16::from_f32(random.float() / 16.0);
        rows.scales.iter_mut().for_each(|scale| *scale = small(self));
        rows.mins.iter_mut().for_each(|min| *min = small(self));
        rows
    }
}

/// A binding's access and first contents.
fn bytes<T: Pod>(data: &[T]) -> Vec<u8> {
    cast_slice(data).to_vec()
}

/// Runs one kernel and reads the bindings back that it writes.
fn run(variant: &KernelVariant, shape: &KernelShape, rows: u32, bindings: &[(u32, Access, Vec<u8>)]) -> Vec<Vec<f32>> {
    let gpu = &*GPU;
    let limit = gpu.device.limits().max_compute_invocations_per_workgroup;
    assert!(variant.workgroup_size() <= limit, "{variant:?} fits the device");
    let buffers: Vec<_> = bindings
        .iter()
        .map(|(_, access, data)| {
            let buffer = if *access == Access::Uniform {
                gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: data.len() as u64,
                    usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            } else {
                storage(gpu, "test", data.len() as u64)
            };
            let mut padded = data.clone();
            padded.resize(data.len().next_multiple_of(4), 0);
            gpu.queue.write_buffer(&buffer, 0, &padded);
            buffer
        })
        .collect();
    let list: Vec<(u32, Access, &wgpu::Buffer)> =
        bindings.iter().zip(&buffers).map(|((binding, access, _), buffer)| (*binding, *access, buffer)).collect();
    let mut pipelines = Pipelines::default();
    let kinds = list.iter().map(|&(binding, access, _)| (binding, access)).collect();
    let pipeline = pipelines.pipeline(gpu, &kinds, variant, shape);
    let entries: Vec<_> = list
        .iter()
        .map(|(binding, _, buffer)| wgpu::BindGroupEntry { binding: *binding, resource: buffer.as_entire_binding() })
        .collect();
    let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipelines.layout(gpu, &kinds),
        entries: &entries,
    });
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let [x, y, z] = workgroups(variant, shape, rows);
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
    let written: Vec<_> = list.iter().filter(|(_, access, _)| *access == Access::ReadWrite).collect();
    let staging: Vec<_> = written
        .iter()
        .map(|(_, _, buffer)| {
            let staging = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: buffer.size(),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
            staging
        })
        .collect();
    gpu.queue.submit([encoder.finish()]);
    for staging in &staging {
        staging.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    }
    gpu.wait();
    gpu.check().unwrap();
    staging.iter().map(|staging| cast_slice(&staging.get_mapped_range(..).unwrap()).to_vec()).collect()
}

fn header(rows: u32, outputs: u32) -> (u32, Access, Vec<u8>) {
    (0, Access::Uniform, bytes(&[StepHeader { rows, table_stride: 0, output_base: 0, outputs }]))
}

fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * (1.0 + e.abs()), "{what}: element {index} is {a}, the twin says {e}");
    }
}

const FORMATS: [WeightFormat; 8] = [
    WeightFormat::F32,
    WeightFormat::F16,
    WeightFormat::Bf16,
    WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: false }),
    WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: true }),
    WeightFormat::Quantized(Quantization { bits: 8, group: 32, mins: false }),
    WeightFormat::Quantized(Quantization { bits: 8, group: 32, mins: true }),
    WeightFormat::Quantized(Quantization { bits: 8, group: 16, mins: false }),
];

fn weight_bindings(weights: &WeightRows) -> Vec<(u32, Access, Vec<u8>)> {
    let mut bindings = vec![(3, Access::Read, bytes(&weights.codes))];
    if !weights.scales.is_empty() {
        bindings.push((4, Access::Read, bytes(&weights.scales)));
    }
    if !weights.mins.is_empty() {
        bindings.push((5, Access::Read, bytes(&weights.mins)));
    }
    bindings
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
    let shape = KernelShape::Product {
        weight: WeightShape::new(&layout, 0, layout.rows),
        in_stride,
        out_stride,
        bias: bias.is_some(),
        accumulate,
        head: false,
    };
    let mut bindings = vec![header(rows, 0), (1, Access::Read, bytes(&input)), (2, Access::ReadWrite, bytes(&out))];
    bindings.extend(weight_bindings(&weights));
    bindings.extend(bias.iter().map(|bias| (6, Access::Read, bytes(bias))));
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
    assert_close(&format!("{variant:?} on {layout:?}, {rows} rows"), &actual[0], &out, 2e-4);
}

#[test]
fn matrix_products_agree_with_their_twin_in_every_format_on_odd_shapes() {
    let mut random = Random(0);
    for format in FORMATS {
        for rows in [1, 2, 3, 5, 8, 9, 16, 17, 40] {
            let cols = if format.quantization().is_some() { 32 * (1 + random.below(9)) } else { 1 + random.below(150) };
            let layout = TensorLayout { rows: 1 + random.below(90), cols, format };
            let (bias, accumulate) = (random.below(2) == 0, random.below(2) == 0);
            let variant = KernelVariant::default_product(rows, random.below(2) == 0);
            check_product(&mut random, variant, layout, rows, bias, accumulate);
        }
    }
}

#[test]
fn matrix_products_agree_with_their_twin_whatever_the_variant() {
    let mut random = Random(1000);
    let matvecs = [(1, 64, 1), (2, 8, 2), (8, 8, 4), (32, 2, 8), (64, 1, 3), (128, 1, 1)]
        .map(|(threads, outputs, columns)| KernelVariant::Matvec { threads, outputs, columns });
    let matmuls = [(8, 8, 1, 1), (16, 64, 4, 4), (64, 16, 8, 2), (64, 64, 4, 8), (32, 64, 8, 8)]
        .map(|(tile_m, tile_n, thread_m, thread_n)| KernelVariant::Matmul { tile_m, tile_n, thread_m, thread_n });
    for variant in matvecs.into_iter().chain(matmuls) {
        for format in [FORMATS[0], FORMATS[1], FORMATS[4], FORMATS[7]] {
            let layout = TensorLayout { rows: 1 + random.below(130), cols: 32 * (1 + random.below(20)), format };
            let rows = 1 + random.below(70);
            check_product(&mut random, variant, layout, rows, true, false);
        }
    }
}

#[test]
fn embeddings_agree_with_their_twin_in_every_format_and_part() {
    let mut random = Random(2000);
    for format in FORMATS {
        let cols = if format.quantization().is_some() { 96 } else { 50 };
        let layout = TensorLayout { rows: 37, cols, format };
        let weights = random.weights(&layout);
        let rows: Vec<RowData> = (0..13).map(|_| RowData { token: random.below(37), ..RowData::default() }).collect();
        let stride = cols.next_multiple_of(8);
        let mut expected = vec![0.0; rows.len() * stride as usize];
        embed::embed(&rows, &mut expected, stride as usize, &layout, &weights);
        let mut actual = vec![0.0; expected.len()];
        // Two parts, as a table that is larger than a binding has.
        for (start, count) in [(0, 20), (20, 17)] {
            let part = WeightRows {
                codes: weights.codes[(start * layout.packs() * 4) as usize..][..(count * layout.packs() * 4) as usize]
                    .to_vec(),
                scales: weights.scales.iter().copied().skip((start * layout.scale_stride()) as usize).collect(),
                mins: weights.mins.iter().copied().skip((start * layout.scale_stride()) as usize).collect(),
            };
            let shape = KernelShape::Embed { table: WeightShape::new(&layout, start, count), out_stride: stride };
            let mut bindings =
                vec![header(13, 0), (1, Access::Read, bytes(&rows)), (2, Access::ReadWrite, bytes(&actual))];
            bindings.extend(weight_bindings(&part));
            actual = run(&KernelVariant::Embed { workgroup: 32 }, &shape, 13, &bindings).swap_remove(0);
        }
        assert_close(&format!("{format:?}"), &actual, &expected, 1e-6);
    }
}

#[test]
fn norms_gates_and_gathers_agree_with_their_twins() {
    let mut random = Random(3000);
    for (width, workgroup) in [(1, 1), (5, 32), (64, 64), (576, 64), (1000, 256)] {
        let (rows, stride) = (1 + random.below(9), u32::next_multiple_of(width, 8));
        let input = random.rows(rows, width, stride);
        let weight = random.floats(width);
        let mut expected = vec![0.0; input.len()];
        rms_norm::rms_norm(&input, &weight, &mut expected, stride as usize, 1e-5);
        let shape = KernelShape::RmsNorm { width, stride, eps: literal(1e-5) };
        let bindings = [
            header(rows, 0),
            (1, Access::Read, bytes(&input)),
            (2, Access::Read, bytes(&weight)),
            (3, Access::ReadWrite, bytes(&vec![0.0_f32; input.len()])),
        ];
        let actual = run(&KernelVariant::RmsNorm { workgroup }, &shape, rows, &bindings);
        assert_close(&format!("norm of {width}"), &actual[0], &expected, 1e-5);

        let mut gate: Vec<f32> = random.rows(rows, width, stride).iter().map(|x| x * 20.0).collect();
        let bindings = [header(rows, 0), (1, Access::ReadWrite, bytes(&gate)), (2, Access::Read, bytes(&input))];
        let actual = run(&KernelVariant::SiluMul { workgroup }, &KernelShape::Rows { stride }, rows, &bindings);
        silu_mul::silu_mul(&mut gate, &input);
        assert_close(&format!("gate of {width}"), &actual[0], &gate, 1e-5);

        let picked: Vec<u32> = (0..5).map(|_| random.below(rows)).collect();
        let mut expected = vec![0.0; 5 * stride as usize];
        gather_rows::gather_rows(&picked, &input, &mut expected, stride as usize);
        let bindings = [
            header(rows, 5),
            (1, Access::Read, bytes(&picked)),
            (2, Access::Read, bytes(&input)),
            (3, Access::ReadWrite, bytes(&vec![0.0_f32; expected.len()])),
        ];
        let actual = run(&KernelVariant::GatherRows { workgroup }, &KernelShape::Rows { stride }, 5, &bindings);
        assert_eq!(actual[0], expected, "gather of {width}");
    }
}

/// A model of which only the heads matter.
fn config(heads: u32, kv_heads: u32, head_dim: u32, rotated: u32, interleaved: bool) -> ModelConfig {
    ModelConfig {
        family: &LLAMA,
        vocabulary: 1,
        context: 1024,
        layers: 1,
        hidden: 1,
        feed_forward: 1,
        heads,
        kv_heads,
        head_dim,
        norm_eps: 0.0,
        rope: Rope { theta: 10_000.0, dims: rotated, interleaved, scaling: RopeScaling::None },
        tied_head: true,
    }
}

fn heads_shape(config: &ModelConfig, q_stride: u32, kv_stride: u32, block_size: u32) -> KernelShape {
    KernelShape::Heads {
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        rotated: config.rope.dims,
        interleaved: config.rope.interleaved,
        q_stride,
        kv_stride,
        block_size,
        scale: literal(attention_scale(config)),
    }
}

#[test]
fn rotary_embedding_and_kv_write_agree_with_their_twin() {
    let mut random = Random(4000);
    for (heads, kv_heads, head_dim, rotated, interleaved) in [
        (4, 2, 16, 16, false),
        (9, 3, 64, 64, true),
        (3, 1, 20, 8, false),
        (5, 5, 12, 6, true),
        (8, 1, 128, 128, false),
    ] {
        let config = config(heads, kv_heads, head_dim, rotated, interleaved);
        let (q_stride, kv_stride) = (config.query_width().next_multiple_of(8), config.kv_width().next_multiple_of(8));
        let slots = 40;
        let rows: Vec<RowData> =
            (0..7).map(|i| RowData { position: random.below(2000), slot: 39 - 5 * i, ..RowData::default() }).collect();
        let frequencies = config.rope.frequencies();
        let turns: Vec<[f32; 2]> = rows.iter().flat_map(|row| rotations(&frequencies, row.position)).collect();
        let mut query = random.rows(7, config.query_width(), q_stride);
        let (key, value) = (random.rows(7, config.kv_width(), kv_stride), random.rows(7, config.kv_width(), kv_stride));
        let mut key_cache = random.floats(slots * config.kv_width());
        let mut value_cache = random.floats(slots * config.kv_width());
        let bindings = [
            header(7, 0),
            (1, Access::Read, bytes(&rows)),
            (2, Access::Read, bytes(&turns)),
            (3, Access::ReadWrite, bytes(&query)),
            (4, Access::Read, bytes(&key)),
            (5, Access::Read, bytes(&value)),
            (6, Access::ReadWrite, bytes(&key_cache)),
            (7, Access::ReadWrite, bytes(&value_cache)),
        ];
        let shape = heads_shape(&config, q_stride, kv_stride, 16);
        let actual = run(&KernelVariant::RopeKv { workgroup: 64 }, &shape, 7, &bindings);
        let mut kv = KvWrite {
            key: &key,
            value: &value,
            stride: kv_stride as usize,
            key_cache: &mut key_cache,
            value_cache: &mut value_cache,
        };
        rope_kv(&config, &rows, &turns, &mut query, q_stride as usize, &mut kv);
        for (actual, expected) in actual.iter().zip([&query, &key_cache, &value_cache]) {
            assert_close(&format!("{heads} heads of {head_dim}"), actual, expected, 1e-5);
        }
    }
}

#[test]
fn paged_attention_agrees_with_its_twin_over_shuffled_blocks() {
    let mut random = Random(5000);
    for (heads, kv_heads, head_dim, block_size, workgroup) in
        [(4, 2, 16, 16, 64), (9, 3, 64, 16, 64), (6, 1, 20, 4, 32), (2, 2, 256, 8, 64), (8, 2, 128, 16, 128)]
    {
        let config = config(heads, kv_heads, head_dim, head_dim, false);
        let q_stride = config.query_width().next_multiple_of(8);
        let (stride, blocks) = (20, 64);
        let mut order: Vec<u32> = (0..blocks).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i as u32 + 1) as usize);
        }
        let step = StepData {
            rows: [0, 1, block_size - 1, block_size, stride * block_size - 1, 63, 64]
                .into_iter()
                .enumerate()
                .map(|(i, position)| RowData { position, chunk: i as u32 % 3, ..RowData::default() })
                .collect(),
            block_tables: order[..60].to_vec(),
            table_stride: stride,
            ..StepData::default()
        };
        let query: Vec<f32> = random.rows(7, config.query_width(), q_stride).iter().map(|x| x * 4.0).collect();
        let keys = random.floats(blocks * block_size * config.kv_width());
        let values = random.floats(blocks * block_size * config.kv_width());
        let mut expected = vec![0.0; query.len()];
        let cache = KvCache { keys: &keys, values: &values, block_size };
        attention(&config, &step, &cache, &query, &mut expected, q_stride as usize);
        let head = StepHeader { rows: 7, table_stride: stride, ..StepHeader::default() };
        let bindings = [
            (0, Access::Uniform, bytes(&[head])),
            (1, Access::Read, bytes(&step.rows)),
            (2, Access::Read, bytes(&step.block_tables)),
            (3, Access::Read, bytes(&query)),
            (4, Access::Read, bytes(&keys)),
            (5, Access::Read, bytes(&values)),
            (6, Access::ReadWrite, bytes(&vec![0.0_f32; query.len()])),
        ];
        let shape = heads_shape(&config, q_stride, 0, block_size);
        let actual = run(&KernelVariant::Attention { workgroup }, &shape, 7, &bindings);
        assert_close(&format!("{heads} heads of {head_dim}"), &actual[0], &expected, 1e-5);
    }
}
