//! `tilewright tune`

use crate::args::Tune;
use crate::error::CliError;
use std::time::Instant;
use tilewright_autotune::{Outcome, RaceOptions, ops, race, space};
use tilewright_engine::gpu::trial::Trial;
use tilewright_engine::kernels::KernelVariant;
use tilewright_engine::model::shapes::Shape;
use tilewright_engine::weights::{Quantization, WeightFormat};
use tilewright_engine::{Gpu, GpuOptions};
use tilewright_plan::ExecutorError;

/// Races the variants of a model's operations and prints the fastest.
pub(crate) async fn run(command: Tune) -> Result<(), CliError> {
    let started = Instant::now();
    let options = GpuOptions { adapter: command.adapter.clone(), ..GpuOptions::default() };
    let gpu = Gpu::request(&options).await?;
    let Some(shape) = Shape::named(&command.shape) else { return Ok(()) };
    let format = WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: false });
    let limits = space::Limits { workgroup_bytes: 16_384, workgroup_size: 256, subgroup: gpu.least_subgroup() };
    let clock_us = || started.elapsed().as_secs_f64() * 1e6;
    println!("{}, subgroups of {}", gpu.name(), gpu.least_subgroup());
    for &rows in &command.rows {
        for op in ops::products(&shape.config(), format, rows).into_iter().take(command.ops) {
            let begun = Instant::now();
            let mut trial = Trial::new(&gpu, op);
            let all = space::products(&op, &limits);
            let mut names: Vec<&str> = all.iter().map(KernelVariant::kernel).collect();
            names.sort_unstable();
            names.dedup();
            let mut chosen = Vec::new();
            for name in names {
                if command.kernel.as_ref().is_some_and(|wanted| wanted != name) {
                    continue;
                }
                let of: Vec<_> = all.iter().filter(|variant| variant.kernel() == name).collect();
                let take = command.sample.unwrap_or(of.len()).min(of.len());
                chosen.extend((0..take).map(|i| *of[i * of.len() / take]));
            }
            let entries = race(&mut trial, &chosen, &RaceOptions::default(), &clock_us)
                .await
                .map_err(|error| CliError::Step(ExecutorError::Lost { reason: error.to_string() }))?;
            let failed = entries.iter().filter(|entry| !matches!(entry.outcome, Outcome::Ok(_)));
            println!(
                "{:?} [{}, {}], {} rows: {} of {} variants in {:.1} s, {} failed",
                op.form,
                op.outputs,
                op.inputs,
                op.rows,
                entries.len(),
                all.len(),
                begun.elapsed().as_secs_f64(),
                failed.clone().count(),
            );
            for entry in failed.take(2) {
                println!("    {:?} {:?}", entry.variant, entry.outcome);
            }
            let mut shown: Vec<(&str, usize)> = Vec::new();
            for entry in &entries {
                let Some(time) = entry.time_us() else { continue };
                let name = entry.variant.kernel();
                if !shown.iter().any(|(shown, _)| *shown == name) {
                    shown.push((name, 0));
                }
                let Some((_, count)) = shown.iter_mut().find(|(shown, _)| *shown == name) else { continue };
                *count += 1;
                if *count <= command.top {
                    let flops = 2.0 * f64::from(op.outputs) * f64::from(op.inputs) * f64::from(op.rows);
                    let bytes = trial.weight_bytes() as f64;
                    println!(
                        "  {time:8.2} us {:5.2} TB/s {:5.1} TFLOP/s  {:?}",
                        bytes / time / 1e6,
                        flops / time / 1e6,
                        entry.variant
                    );
                }
            }
        }
    }
    Ok(())
}
