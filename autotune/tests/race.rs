//! Candidates on a software device: who is right is timed, who is wrong or refused is kept with the reason.

use std::time::Instant;
use tilewright_autotune::{Outcome, RaceOptions, ops, race, space};
use tilewright_engine::gpu::trial::{ProductForm, ProductOp, Trial};
use tilewright_engine::model::shapes::SHAPES;
use tilewright_engine::weights::{Quantization, WeightFormat};
use tilewright_engine::{Gpu, GpuOptions};

const FORMAT: WeightFormat = WeightFormat::Quantized(Quantization { bits: 4, group: 32, mins: true });
const OP: ProductOp = ProductOp { format: FORMAT, outputs: 70, inputs: 96, rows: 5, form: ProductForm::Accumulate };
const LIMITS: space::Limits = space::Limits { workgroup_bytes: 16_384, workgroup_size: 256, subgroup: 1 };
/// Short, and nobody drops out: what is tested is not who wins.
const QUICK: RaceOptions = RaceOptions { tolerance: 2e-3, least_us: 100.0, rounds: 1, drop: 1e9 };

fn gpu(refuse: &[&str]) -> Gpu {
    let options = GpuOptions {
        adapter: Some("llvmpipe".into()),
        refuse: refuse.iter().map(ToString::to_string).collect(),
        ..GpuOptions::default()
    };
    pollster::block_on(Gpu::request(&options)).expect("Mesa's lavapipe; `cargo xtask setup` installs it")
}

/// One of each kernel's variants out of so many.
fn some(every: usize) -> Vec<tilewright_engine::kernels::KernelVariant> {
    space::products(&OP, &LIMITS).into_iter().step_by(every).collect()
}

#[test]
fn every_variant_keeps_the_device_s_limits_and_there_are_hundreds() {
    let mut count = 0;
    for shape in SHAPES {
        for rows in [1, 8, 32, 480] {
            for op in ops::products(&shape.config(), FORMAT, rows) {
                let variants = space::products(&op, &LIMITS);
                assert!(!variants.is_empty(), "{op:?}");
                assert!(variants.iter().all(|variant| variant.workgroup_size() <= LIMITS.workgroup_size), "{op:?}");
                count = count.max(variants.len());
            }
        }
    }
    assert!(count > 300, "{count}");
}

#[test]
fn whoever_is_right_is_timed_and_comes_back_fastest_first() {
    let started = Instant::now();
    let mut trial = Trial::new(&gpu(&[]), OP);
    let clock_us = || started.elapsed().as_secs_f64() * 1e6;
    let candidates = some(60);
    let entries = pollster::block_on(race(&mut trial, &candidates, &QUICK, &clock_us)).unwrap();
    assert_eq!(entries.len(), candidates.len());
    assert!(entries.iter().all(|entry| matches!(entry.outcome, Outcome::Ok(_))), "{entries:#?}");
    let times: Vec<f64> = entries.iter().filter_map(tilewright_autotune::Entry::time_us).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn whoever_is_wrong_or_refused_has_no_time_and_costs_the_others_nothing() {
    let started = Instant::now();
    let clock_us = || started.elapsed().as_secs_f64() * 1e6;
    let candidates = some(100);
    let mut trial = Trial::new(&gpu(&["matvec_packed"]), OP);
    let entries = pollster::block_on(race(&mut trial, &candidates, &QUICK, &clock_us)).unwrap();
    for entry in &entries {
        let refused = matches!(&entry.outcome, Outcome::Refused(reason) if reason.contains("matvec_packed"));
        assert_eq!(refused, entry.variant.kernel() == "matvec_packed", "{entry:?}");
        assert_eq!(entry.time_us().is_none(), refused);
    }
    // No sum of floats is exact, so with no tolerance everybody is wrong.
    let strict = RaceOptions { tolerance: 0.0, ..QUICK };
    let entries = pollster::block_on(race(&mut Trial::new(&gpu(&[]), OP), &candidates, &strict, &clock_us)).unwrap();
    assert!(entries.iter().all(|entry| matches!(entry.outcome, Outcome::Wrong(error) if error > 0.0)), "{entries:#?}");
}
