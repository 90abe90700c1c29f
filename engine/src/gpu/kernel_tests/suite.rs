//! What the check finds on this device, and that it finds what is wrong.

use super::{GPU, gpu};
use crate::gpu::check::Rig;
use crate::kernels::KernelVariant;
use std::collections::BTreeSet;

#[test]
fn every_kernel_but_the_products_agrees_with_its_twin() {
    let findings = pollster::block_on(Rig::check(&GPU, true)).unwrap();
    for finding in &findings {
        assert!(finding.is_right(), "{finding:?}");
    }
    let kernels: BTreeSet<&str> = findings.iter().map(|finding| finding.variant.kernel()).collect();
    let all = [
        "attention",
        "attention_reduce",
        "attention_serial",
        "attention_split",
        "attention_tile",
        "embed",
        "gather_rows",
        "quantize",
        "rms_norm",
        "rope_kv",
        "sample_adjust",
        "sample_mask",
        "sample_filter",
        "sample_pick",
        "sample_scan",
        "sample_sift",
        "sample_survey",
        "silu_mul",
    ];
    assert_eq!(kernels, BTreeSet::from(all));
}

#[test]
fn kernels_that_are_refused_are_named_and_what_they_did_not_write_is_wrong() {
    let refusing = gpu(&["rms_norm", "sample_scan"]);
    let findings = pollster::block_on(Rig::check(&refusing, false)).unwrap();
    let named = |findings: Vec<&crate::gpu::check::Finding>| -> BTreeSet<&str> {
        findings.iter().map(|finding| finding.variant.kernel()).collect()
    };
    let refused = named(findings.iter().filter(|finding| finding.refused.is_some()).collect());
    assert_eq!(refused, BTreeSet::from(["rms_norm", "sample_scan"]));
    let wrong = named(findings.iter().filter(|finding| !finding.is_right()).collect());
    // The sampler's kernels are judged by what they do together.
    let expected = [
        "rms_norm",
        "sample_adjust",
        "sample_filter",
        "sample_mask",
        "sample_pick",
        "sample_scan",
        "sample_sift",
        "sample_survey",
    ];
    assert_eq!(wrong, BTreeSet::from(expected));
}

#[test]
fn a_wrong_answer_is_found_and_so_is_one_that_is_missing_or_no_number() {
    let mut rig = Rig::new(&GPU);
    let variant = KernelVariant::Embed { workgroup: 32 };
    for actual in [&[1.0, 2.5][..], &[1.0], &[1.0, f32::NAN], &[1.0, 2.0]] {
        rig.close(&variant, "two numbers", actual, &[1.0, 2.0], 1e-3);
    }
    let right: Vec<bool> = rig.take().iter().map(super::super::check::Finding::is_right).collect();
    assert_eq!(right, [false, false, false, true]);
}
