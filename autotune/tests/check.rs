//! The selection covers what it says, and on lavapipe all of it is right.

use std::collections::HashSet;
use tilewright_autotune::check::{ROWS, Verdict, selection};
use tilewright_autotune::space::{Limits, variants};
use tilewright_engine::gpu::check::FORMATS;
use tilewright_engine::gpu::trial::ProductForm;
use tilewright_engine::kernels::MatrixUnit;
use tilewright_engine::{Gpu, GpuOptions};

const LIMITS: Limits = Limits {
    workgroup_bytes: 16_384,
    workgroup_size: 256,
    subgroup: 1,
    halves: false,
    unit: Some(MatrixUnit::PRETENDED),
    serial: true,
};

fn gpu(options: GpuOptions) -> Gpu {
    let adapter = std::env::var("TILEWRIGHT_TEST_ADAPTER").unwrap_or_else(|_| "llvmpipe".into());
    let options = GpuOptions { adapter: Some(adapter), ..options };
    pollster::block_on(Gpu::request(&options)).expect("Mesa's lavapipe; `cargo xtask setup` installs it")
}

#[test]
fn a_round_has_every_kernel_with_every_form_in_every_format_and_all_numbers_of_rows() {
    for seed in 0..20 {
        let checks = selection(&LIMITS, seed, 1);
        let forms: HashSet<_> = checks
            .iter()
            .map(|c| (c.variant.kernel(), std::mem::discriminant(&c.op.form), c.op.format.name(), c.op.format))
            .collect();
        // Five forms in eight formats and twice in the five that are quantized, twice two forms in eight, and three in five.
        assert_eq!((forms.len(), checks.len()), (40 + 25 + 25 + 16 + 16 + 15, 137), "seed {seed}");
        let rows: HashSet<u32> = checks.iter().map(|check| check.op.rows).collect();
        assert_eq!(rows.len(), ROWS.len(), "seed {seed}");
        assert!(FORMATS.iter().all(|format| checks.iter().any(|check| check.op.format == *format)));
        assert!(checks.iter().any(|check| check.op.outputs % 2 == 1));
    }
    assert_eq!(selection(&LIMITS, 7, 2), selection(&LIMITS, 7, 2));
    assert_ne!(selection(&LIMITS, 7, 1), selection(&LIMITS, 8, 1));
}

#[test]
fn only_where_a_device_has_halves_are_there_variants_in_f16_and_then_of_both_kernels_of_floats() {
    let with = Limits { halves: true, ..LIMITS };
    for check in selection(&LIMITS, 5, 2) {
        assert!(!check.variant.uses_halves());
        let all = variants(&check.op.into(), &with);
        let halves: Vec<_> = all.iter().filter(|variant| variant.uses_halves()).collect();
        assert!(check.op.packed == halves.is_empty(), "{check:?}");
        // What there is without them stays.
        let rest: Vec<_> = all.iter().filter(|variant| !variant.uses_halves()).copied().collect();
        assert_eq!(rest, variants(&check.op.into(), &LIMITS));
    }
    let kernels: HashSet<_> = selection(&with, 5, 1)
        .iter()
        .filter(|check| check.variant.uses_halves())
        .map(|check| check.variant.kernel())
        .collect();
    assert_eq!(kernels, HashSet::from(["matvec", "matmul"]));
}

#[test]
fn every_product_of_a_selection_is_right() {
    // A GPU keeps keys and values as halves, a device in software as floats.
    let [floats, halves] =
        [false, true].map(|halves| gpu(GpuOptions { half_cache: Some(halves), ..GpuOptions::default() }));
    assert!(floats.least_subgroup() > 1 && floats.has_halves(), "{} is to have subgroups and f16", floats.name());
    let with_subgroups = Limits { subgroup: floats.least_subgroup(), ..LIMITS };
    let some = selection(&with_subgroups, 2, 1).into_iter().filter(|check| check.variant.uses_subgroups());
    assert!(some.clone().count() > 10);
    // A product in f16 may be off by 0.5 % of what its products' magnitudes add up to, which here is 0.25 times the root of the inputs'
    // number, 4 at most: by 2e-2. Errors of either sign leave a tenth of that.
    let in_halves = Limits { halves: true, ..LIMITS };
    let narrow = selection(&in_halves, 3, 1).into_iter().filter(|check| check.variant.uses_halves());
    assert!(narrow.clone().count() > 20);
    for check in selection(&LIMITS, 1, 1).into_iter().chain(some).chain(narrow) {
        let caches = matches!(check.op.form, ProductForm::Qkv { .. });
        for gpu in [&floats, &halves].into_iter().take(if caches { 2 } else { 1 }) {
            let verdict = pollster::block_on(check.run(gpu)).unwrap();
            assert!(matches!(verdict, Verdict::Error(error) if error <= 2e-3), "{check:?}: {verdict:?}");
        }
    }
}

#[test]
fn a_kernel_that_the_device_refuses_is_a_verdict_and_the_next_one_is_checked() {
    let gpu = gpu(GpuOptions { refuse: vec!["matvec".to_owned()], ..GpuOptions::default() });
    for check in selection(&LIMITS, 1, 1).iter().step_by(20) {
        let verdict = pollster::block_on(check.run(&gpu)).unwrap();
        let refused = matches!(verdict, Verdict::Refused(_));
        assert_eq!(refused, check.variant.kernel() == "matvec", "{check:?}: {verdict:?}");
    }
}
