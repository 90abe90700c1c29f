//! Embeddings, norms, gates and gathers.

use super::rig::{FORMATS, Random, Rig, bytes, header, weight_bindings};
use crate::gpu::GpuError;
use crate::gpu::pipelines::Access;
use crate::graph::RowData;
use crate::kernels::source::{KernelShape, WeightShape, literal};
use crate::kernels::{KernelVariant, embed, gather_rows, rms_norm, silu_mul};
use crate::weights::{TensorLayout, WeightRows};

/// Embeddings in every format, in two parts.
pub(super) async fn embeddings(rig: &mut Rig) -> Result<(), GpuError> {
    let mut random = Random(2000);
    for format in FORMATS {
        // More packs than a workgroup has invocations.
        let cols = if format.quantization().is_some() { 1056 } else { 530 };
        let layout = TensorLayout { rows: 37, cols, format };
        let weights = random.weights(&layout);
        let rows: Vec<RowData> = (0..13).map(|_| RowData { token: random.below(37), ..RowData::default() }).collect();
        let stride = cols.next_multiple_of(8);
        let mut expected = vec![0.0; rows.len() * stride as usize];
        embed::embed(&rows, &mut expected, stride as usize, &layout, &weights);
        let mut actual = vec![0.0; expected.len()];
        // Two parts, as a table that is larger than a binding has, each by another variant.
        let parts = [(0, 20, KernelVariant::default_embed()), (20, 17, KernelVariant::Embed { workgroup: 32 })];
        for (start, count, variant) in parts {
            let part = WeightRows {
                codes: weights.codes[(start * layout.packs() * 4) as usize..][..(count * layout.packs() * 4) as usize]
                    .to_vec(),
                scales: weights.scales.iter().copied().skip((start * layout.scale_stride()) as usize).collect(),
                mins: weights.mins.iter().copied().skip((start * layout.scale_stride()) as usize).collect(),
            };
            let shape = KernelShape::Embed { table: WeightShape::new(&layout, start, count, 0), out_stride: stride };
            // The last row's token is one that was sampled.
            let mut given = rows.clone();
            let sampled = [0, 0, std::mem::replace(&mut given[12].token, crate::graph::SAMPLED | 1), 1];
            let mut bindings = vec![
                header(13, 0),
                (1, Access::Read, bytes(&given)),
                (2, Access::ReadWrite, bytes(&actual)),
                (6, Access::Read, bytes(&sampled)),
            ];
            bindings.extend(weight_bindings(&part));
            actual = rig.run(&variant, &shape, 13, &bindings).await?.swap_remove(0);
        }
        for (.., variant) in parts {
            rig.close(&variant, format.name(), &actual, &expected, 1e-6);
        }
    }
    Ok(())
}

/// Norms, gates and gathers of rows of any width.
pub(super) async fn rows(rig: &mut Rig) -> Result<(), GpuError> {
    let mut random = Random(3000);
    let odd = |workgroup| {
        let norm = KernelVariant::RmsNorm { workgroup };
        [norm, KernelVariant::SiluMul { workgroup }, KernelVariant::GatherRows { workgroup }]
    };
    let [on_gpu, in_software] = [false, true].map(|software| {
        [KernelVariant::default_norm(software), KernelVariant::default_silu(), KernelVariant::default_gather()]
    });
    for (width, [norm, silu, gather]) in
        [(1, odd(1)), (5, odd(32)), (64, on_gpu), (576, on_gpu), (576, in_software), (1000, odd(256))]
    {
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
        let actual = rig.run(&norm, &shape, rows, &bindings).await?;
        rig.close(&norm, &format!("rows of {width}"), &actual[0], &expected, 1e-5);

        let mut gate: Vec<f32> = random.rows(rows, width, stride).iter().map(|x| x * 20.0).collect();
        let bindings = [header(rows, 0), (1, Access::ReadWrite, bytes(&gate)), (2, Access::Read, bytes(&input))];
        let actual = rig.run(&silu, &KernelShape::Rows { stride }, rows, &bindings).await?;
        silu_mul::silu_mul(&mut gate, &input);
        rig.close(&silu, &format!("rows of {width}"), &actual[0], &gate, 1e-5);

        let picked: Vec<u32> = (0..5).map(|_| random.below(rows)).collect();
        let mut expected = vec![0.0; 5 * stride as usize];
        gather_rows::gather_rows(&picked, &input, &mut expected, stride as usize);
        let bindings = [
            header(rows, 5),
            (1, Access::Read, bytes(&picked)),
            (2, Access::Read, bytes(&input)),
            (3, Access::ReadWrite, bytes(&vec![0.0_f32; expected.len()])),
        ];
        let actual = rig.run(&gather, &KernelShape::Rows { stride }, 5, &bindings).await?;
        rig.close(&gather, &format!("rows of {width}"), &actual[0], &expected, 0.0);
    }
    Ok(())
}
