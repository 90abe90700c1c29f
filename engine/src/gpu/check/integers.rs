//! Activations as 8-bit integers.

use super::rig::{Random, Rig, bytes, header};
use crate::gpu::GpuError;
use crate::gpu::pipelines::Access;
use crate::kernels::quantize::{HALVES_WORDS, RECORD_WORDS, halves, quantize, values};
use crate::kernels::source::{KernelShape, QuantizeShape, literal};
use crate::kernels::{KernelVariant, rms_norm, silu_mul};
use half::f16;

/// Activations become the integers of the twin, whatever they go through before.
pub(super) async fn quantized(rig: &mut Rig) -> Result<(), GpuError> {
    let mut random = Random(3000);
    for (order, norm, silu, gather, in_halves) in [
        (4, false, false, false, false),
        (8, true, false, false, true),
        (4, true, false, true, true),
        (4, false, true, false, true),
    ] {
        // Long rows that are normalized have a variant of their own.
        let (least, most) = match (norm, gather) {
            (true, false) => (33, 70),
            (true, true) => (1, 32),
            _ => (1, 70),
        };
        let (rows, width) = (1 + random.below(9), 32 * (least + random.below(most + 1 - least)));
        let in_stride = if silu { 2 * width } else { width };
        let input: Vec<f32> = random.rows(rows, in_stride, in_stride).iter().map(|x| x * x * x * 9.0).collect();
        let weight = random.floats(width);
        let picked: Vec<u32> = (0..rows).map(|row| if gather { random.below(rows) } else { row }).collect();
        let (mut expected, mut expected_halves) = (Vec::new(), Vec::new());
        for &row in &picked {
            let row = &input[(row * in_stride) as usize..][..in_stride as usize];
            let mut x = row[..width as usize].to_vec();
            if silu {
                silu_mul::silu_mul(&mut x, &row[width as usize..]);
            }
            if norm {
                let raw = x.clone();
                rms_norm::rms_norm(&raw, &weight, &mut x, width as usize, 1e-5);
            }
            expected.extend(quantize(&x, order));
            expected_halves.extend(halves(&x, order));
        }
        let eps = literal(1e-5);
        let shape = QuantizeShape { in_stride, width, order, norm, eps, silu, gather, halves: in_halves };
        let shape = KernelShape::Quantize(shape);
        let mut bindings = vec![
            header(rows, rows),
            (2, Access::Read, bytes(&input)),
            (3, Access::ReadWrite, bytes(&vec![0_u32; expected.len()])),
        ];
        bindings.extend(gather.then(|| (1, Access::Read, bytes(&picked))));
        bindings.extend(norm.then(|| (7, Access::Read, bytes(&weight))));
        let room = vec![0_u32; expected.len() / RECORD_WORDS * HALVES_WORDS];
        bindings.extend(in_halves.then(|| (9, Access::ReadWrite, bytes(&room))));
        let variant = KernelVariant::default_quantize(norm, width);
        let written = rig.run(&variant, &shape, rows, &bindings).await?;
        let actual: Vec<u32> = written[0].iter().map(|x| x.to_bits()).collect();
        let what = format!("{rows} rows of {width}, order {order}, norm {norm}, silu {silu}");
        // A code that lies between two may go either way.
        let (a, e) = (values(&actual, order), values(&expected, order));
        let differ = a.iter().zip(&e).filter(|(a, e)| (*a - *e).abs() > 1e-4 * (1.0 + e.abs())).count();
        rig.note(&variant, &format!("codes that differ, {what}"), differ as f32, (e.len() / 100) as f32);
        let mut worst = if a.len() == e.len() { 0.0_f32 } else { f32::INFINITY };
        for (a, e) in actual.chunks_exact(RECORD_WORDS).zip(expected.chunks_exact(RECORD_WORDS)) {
            let [a, e] = [a, e].map(|record| [record[8], record[9], record[10]].map(f32::from_bits));
            let step = e[0].abs() * 2.0;
            for (a, e) in a.into_iter().zip(e) {
                let error = (a - e).abs() - step;
                worst = if error.is_nan() { f32::INFINITY } else { worst.max(error) };
            }
        }
        rig.note(&variant, &format!("sums and scales beyond two steps, {what}"), worst, 1e-4);
        if in_halves {
            let floats = |words: &[u32]| -> Vec<f32> {
                let pairs = words.iter().flat_map(|word| [*word, word >> 16]);
                pairs.map(|half| 16.0 * f16::from_bits(half as u16).to_f32()).collect()
            };
            let words: Vec<u32> = written[1].iter().map(|x| x.to_bits()).collect();
            rig.close(&variant, &format!("halves, {what}"), &floats(&words), &floats(&expected_halves), 1e-3);
        }
    }
    Ok(())
}
