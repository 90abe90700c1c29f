//! Candidates on a software device: who is right is timed, and whoever is wrong, refused or slow is kept with the reason and costs
//! the others nothing.

mod lavapipe;

use futures_util::lock::Mutex;
use lavapipe::{Alone, gpu};
use std::time::{Duration, Instant};
use tilewright_autotune::{Entry, Outcome, Race, RaceOptions, space};
use tilewright_engine::gpu::PlantedFault;
use tilewright_engine::gpu::trial::{ProductForm, ProductOp, Trial};
use tilewright_engine::gpu::tuned_op::{HeadsOp, QuantizeOp, TunedOp};
use tilewright_engine::kernels::KernelVariant;
use tilewright_engine::weights::{Quantization, WeightFormat};
use tilewright_engine::{Gpu, GpuOptions};

const FORMAT: WeightFormat = WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: true });
const OP: ProductOp =
    ProductOp { format: FORMAT, outputs: 70, inputs: 96, rows: 5, form: ProductForm::Accumulate, packed: false };
const LIMITS: space::Limits = space::Limits {
    workgroup_bytes: 16_384,
    workgroup_size: 256,
    subgroup: 1,
    halves: false,
    unit: None,
    serial: true,
};
/// Short, and nobody drops out: what is tested is not who wins.
const QUICK: RaceOptions =
    RaceOptions { tolerance: None, least_us: 100.0, drop: 1e9, slow_us: 600_000.0, slice_us: 10_000.0 };

fn some(op: impl Into<TunedOp>, every: usize) -> Vec<KernelVariant> {
    space::variants(&op.into(), &LIMITS).into_iter().step_by(every).collect()
}

fn race(gpu: &Gpu, op: impl Into<TunedOp>, candidates: &[KernelVariant], options: RaceOptions) -> Vec<Entry> {
    let (host, device) = (Alone::new(), Mutex::default());
    let mut race = Race::new(Trial::new(gpu, op), options, &host, &device);
    pollster::block_on(race.enter(candidates)).unwrap();
    pollster::block_on(race.round(2)).unwrap();
    race.entries().to_vec()
}

/// The operations of a model's step, of odd sizes.
fn operations() -> Vec<TunedOp> {
    let heads = |rows| HeadsOp { heads: 6, kv_heads: 2, head_dim: 64, block_size: 16, kv_half: true, rows };
    vec![
        TunedOp::AttentionSplit(heads(1)),
        TunedOp::AttentionSplit(heads(3)),
        TunedOp::AttentionTile(heads(70)),
        TunedOp::Quantize(QuantizeOp { width: 96, order: 4, norm: true, silu: false, rows: 3 }),
        TunedOp::Quantize(QuantizeOp { width: 2080, order: 8, norm: false, silu: true, rows: 70 }),
        TunedOp::RmsNorm { width: 90, rows: 70 },
        TunedOp::SampleScan { vocabulary: 1003, rows: 3 },
    ]
}

#[test]
fn every_variant_keeps_the_device_s_limits_and_there_are_hundreds_of_products() {
    let mut most = 0;
    for rows in [1, 8, 32, 512] {
        for (form, packed) in [
            (ProductForm::Plain, true),
            (ProductForm::Accumulate, false),
            (ProductForm::Gate, rows > 1),
            (ProductForm::Head, rows > 1),
        ] {
            if rows == 512 && form == ProductForm::Gate {
                continue;
            }
            let op = ProductOp { outputs: 9728, inputs: 896, rows, form, packed, ..OP }.into();
            let variants = space::variants(&op, &LIMITS);
            assert!(!variants.is_empty(), "{op:?}");
            assert!(variants.iter().all(|variant| variant.workgroup_size() <= LIMITS.workgroup_size), "{op:?}");
            assert!(variants.iter().all(|variant| variant.is_packed() == packed), "{op:?}");
            most = most.max(variants.len());
        }
    }
    assert!(most > 300, "{most}");
    for op in operations() {
        assert!(space::variants(&op, &LIMITS).len() >= 5, "{op:?}");
    }
}

#[test]
fn heads_of_any_common_size_have_tiles_of_queries_to_try_the_default_among_them() {
    for head_dim in [32, 64, 80, 96, 128, 256] {
        let heads = HeadsOp { heads: 6, kv_heads: 2, head_dim, block_size: 16, kv_half: true, rows: 70 };
        let variants = space::variants(&TunedOp::AttentionTile(heads), &LIMITS);
        let default = KernelVariant::default_attention(head_dim, false);
        assert!(variants.len() >= 3 && variants.contains(&default), "{head_dim}: {default:?} of {variants:?}");
        assert!(variants.iter().all(|variant| variant.workgroup_size() <= LIMITS.workgroup_size), "{variants:?}");
    }
}

#[test]
fn whoever_is_right_is_timed_by_either_clock() {
    for no_timestamps in [false, true] {
        let gpu = gpu(GpuOptions { no_timestamps, ..GpuOptions::default() });
        assert_eq!(gpu.has_timestamps(), !no_timestamps);
        for packed in [false, true] {
            let op = ProductOp { packed, ..OP };
            let entries = race(&gpu, op, &some(op, 40), QUICK);
            assert!(entries.len() > 2);
            for entry in &entries {
                assert!(entry.time_us().is_some_and(f64::is_finite), "{entry:?}");
                assert!(entry.samples().iter().all(|sample| sample.twice_us.is_some() == no_timestamps), "{entry:?}");
            }
        }
    }
}

#[test]
fn variants_of_attention_norms_and_the_sampler_are_right_too() {
    let gpu = gpu(GpuOptions::default());
    for op in operations() {
        let every = if matches!(op, TunedOp::AttentionSplit(_) | TunedOp::AttentionTile(_)) { 5 } else { 2 };
        for entry in race(&gpu, op, &some(op, every), QUICK) {
            assert!(matches!(&entry.outcome, Outcome::Ok(samples) if !samples.is_empty()), "{op:?}: {entry:?}");
        }
    }
}

#[test]
fn a_check_of_a_sum_starts_afresh_however_often_the_sum_grew_before() {
    let mut trial = Trial::new(&gpu(GpuOptions::default()), OP);
    let variant = some(OP, 1)[0];
    let error = pollster::block_on(trial.check(&variant)).unwrap();
    pollster::block_on(trial.run(&variant, 1000)).unwrap();
    assert_eq!(pollster::block_on(trial.check(&variant)).unwrap(), error);
    assert!(error <= trial.tolerance(), "{error}");
}

#[test]
fn a_first_run_is_timed_without_the_driver_s_compilation() {
    // A size that nobody had yet, as drivers keep what they compiled.
    let block_size = 3 + std::process::id() % 500;
    let op = HeadsOp { heads: 3, kv_heads: 1, head_dim: 64, block_size, kv_half: true, rows: 1 };
    let variant = KernelVariant::AttentionSerial { lanes: 8, group: 3 };
    let mut trial = Trial::new(&gpu(GpuOptions::default()), TunedOp::AttentionSplit(op));
    pollster::block_on(trial.prepare(&[variant])).unwrap();
    let compiled = Instant::now();
    pollster::block_on(trial.compile(&variant)).unwrap();
    let compiling = compiled.elapsed();
    let begun = Instant::now();
    let error = pollster::block_on(trial.check(&variant)).unwrap();
    assert!(error <= trial.tolerance(), "{error}");
    // Where the driver had it already, both are short.
    let first_run = begun.elapsed();
    assert!(first_run < compiling.max(Duration::from_millis(300)), "{first_run:?} after {compiling:?}");
}

#[test]
fn whoever_is_wrong_refused_or_hangs_has_no_time_and_costs_the_others_nothing() {
    // The hang takes seconds on a fast machine, the slow one tens of milliseconds, the others one at most: all are far from the limit,
    // and from each other.
    const HANG: PlantedFault = PlantedFault::Slow(60_000);
    const SLOW: PlantedFault = PlantedFault::Slow(40);
    let options = RaceOptions { slow_us: 200_000.0, ..QUICK };
    let candidates = some(OP, 45);
    let [wrong, refused, hanging, slow] = [1, 2, 3, 4].map(|index| candidates[index]);
    let gpu = gpu(GpuOptions {
        plant: vec![(wrong, PlantedFault::Wrong), (refused, PlantedFault::Refused), (hanging, HANG), (slow, SLOW)],
        ..GpuOptions::default()
    });
    let entries = race(&gpu, OP, &candidates, options);
    let of = |variant| entries.iter().find(|entry| entry.variant == variant).unwrap();
    assert_eq!(of(wrong).outcome, Outcome::Wrong);
    assert!(of(wrong).error.is_some_and(|error| error > 0.1));
    assert!(
        matches!(&of(refused).outcome, Outcome::Refused(reason) if reason.contains("matvec") || reason.contains("matmul"))
    );
    assert!(matches!(of(hanging).outcome, Outcome::Timeout(us) if us > options.slow_us), "{:?}", of(hanging));
    let others = entries.iter().filter(|entry| ![wrong, refused, hanging].contains(&entry.variant));
    assert!(others.clone().all(|entry| entry.time_us().is_some()), "{entries:#?}");
    // The slow one is right, and last.
    let slowest = others.max_by(|a, b| a.time_us().unwrap().total_cmp(&b.time_us().unwrap())).unwrap();
    assert_eq!(slowest.variant, slow, "{entries:#?}");
}

#[test]
fn without_any_tolerance_every_sum_of_floats_is_wrong() {
    let strict = RaceOptions { tolerance: Some(0.0), ..QUICK };
    for entry in race(&gpu(GpuOptions::default()), OP, &some(OP, 60), strict) {
        assert_eq!(entry.outcome, Outcome::Wrong, "{entry:?}");
        assert!(entry.error.is_some_and(|error| error > 0.0 && error < 1e-2), "{entry:?}");
    }
}
