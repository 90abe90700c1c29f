//! Every kernel against its CPU twin on this browser's GPU: its WGSL goes through another compiler in each browser.
//!
//! The tests call this in a page, as they do [`logits`](crate::logits); it needs no worker. Nothing is thrown because a kernel
//! is wrong or refused: that is what the answer says.

use crate::device_shim;
use serde::{Deserialize, Serialize};
use tilewright_api::ApiError;
use tilewright_autotune::check::{Verdict, selection};
use tilewright_autotune::space::Limits;
use tilewright_engine::gpu::check::{Finding, Rig};
use tilewright_engine::gpu::trial::{ProductForm, ProductOp};
use tilewright_engine::kernels::{KernelVariant, MatrixUnit};
use tilewright_engine::{Gpu, GpuError, GpuOptions};
use tilewright_web_io::{json, thrown};
use wasm_bindgen::prelude::*;

/// What every WebGPU device has: bytes and invocations of a workgroup.
const LEAST: (u32, u32) = (16_384, 256);

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Whether the kernels that are no products are checked too.
    others: bool,
    /// Which variants and shapes of products are drawn.
    seed: u32,
    /// Each kernel with each form in each weight format so many times.
    rounds: u32,
    /// Largest error of a product that is right.
    tolerance: f32,
    /// Whether the device may have subgroups.
    #[serde(default = "yes")]
    subgroups: bool,
    /// Only every so-manieth of them,
    #[serde(default = "one")]
    every: usize,
    /// from this one on.
    #[serde(default)]
    from: usize,
    /// Kernels that the device pretends to refuse, to see that this is told.
    #[serde(default)]
    refuse: Vec<String>,
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

/// What is answered.
#[derive(Serialize)]
struct Report {
    checks: Vec<Checked>,
    /// How many were right.
    right: usize,
    /// Wrong answers.
    wrong: usize,
    /// Kernels that the device's compiler refused.
    refused: usize,
    /// Invocations of the smallest subgroup; 1 without subgroups.
    subgroup: u32,
    /// Whether products are checked in f16 too.
    halves: bool,
}

/// One kernel on one operation.
#[derive(Serialize)]
struct Checked {
    kernel: &'static str,
    variant: KernelVariant,
    /// What it was tried on, of what there is more than one.
    what: String,
    /// The same of a product.
    op: Option<Op>,
    /// Against the twin, relative to one plus the magnitude, or how many answers differ; nothing for what is no number.
    error: Option<f32>,
    /// How large it may be.
    allowed: f32,
    right: bool,
    /// What the device's compiler said.
    refused: Option<String>,
}

/// A [`ProductOp`] as JSON.
#[derive(Serialize)]
struct Op {
    form: &'static str,
    format: &'static str,
    group: Option<u32>,
    outputs: u32,
    inputs: u32,
    rows: u32,
}

/// Checks a selection of kernels; takes a `Request` and resolves to a `Report`, both as JSON.
///
/// # Errors
/// An `ErrorObject` of errors.ts: there is no GPU, or it broke off.
#[wasm_bindgen]
pub async fn check_kernels(request: String) -> Result<String, JsValue> {
    let report = async {
        let request: Request = serde_json::from_str(&request)
            .map_err(|error| ApiError::invalid("request", format!("the request is none: {error}")))?;
        check(&request).await.map_err(|error| ApiError::server("check_failed", error.to_string()))
    };
    report.await.map(|report| json(&report)).map_err(|error| thrown(&error))
}

async fn check(request: &Request) -> Result<Report, GpuError> {
    // Kernels as on a real GPU, also where a program pretends to be one.
    let options = GpuOptions { software: Some(false), refuse: request.refuse.clone(), ..GpuOptions::default() };
    let gpu = if request.subgroups { device_shim::open(options).await? } else { Gpu::request(&options).await? };
    let checks = all(&gpu, request).await;
    gpu.destroy();
    let checks = checks?;
    let right = checks.iter().filter(|check| check.right).count();
    let refused = checks.iter().filter(|check| check.refused.is_some()).count();
    let (subgroup, halves) = (gpu.least_subgroup(), gpu.has_halves());
    Ok(Report { subgroup, halves, right, refused, wrong: checks.len() - right - refused, checks })
}

async fn all(gpu: &Gpu, request: &Request) -> Result<Vec<Checked>, GpuError> {
    let (workgroup_bytes, workgroup_size) = LEAST;
    let limits = Limits {
        workgroup_bytes,
        workgroup_size,
        subgroup: gpu.least_subgroup(),
        halves: gpu.has_halves(),
        unit: Some(gpu.matrix_unit().unwrap_or(MatrixUnit::PRETENDED)),
        serial: true,
    };
    let mut checks = Vec::new();
    let selected = selection(&limits, request.seed, request.rounds);
    for check in selected.iter().skip(request.from).step_by(request.every.max(1)) {
        let (error, refused) = match check.run(gpu).await? {
            Verdict::Error(error) => (error, None),
            Verdict::Refused(reason) => (f32::INFINITY, Some(reason)),
        };
        let (variant, allowed) = (check.variant, request.tolerance);
        let finding = Finding { variant, what: "product".to_owned(), error, allowed, refused };
        checks.push(Checked { op: Some(Op::from(&check.op)), ..Checked::from(finding) });
    }
    if request.others {
        checks.extend(Rig::check(gpu, false).await?.into_iter().map(Checked::from));
    }
    Ok(checks)
}

impl From<Finding> for Checked {
    fn from(finding: Finding) -> Self {
        let right = finding.is_right();
        let Finding { variant, what, error, allowed, refused } = finding;
        let error = Some(error).filter(|error| error.is_finite());
        Self { kernel: variant.kernel(), variant, what, op: None, error, allowed, right, refused }
    }
}

impl From<&ProductOp> for Op {
    fn from(op: &ProductOp) -> Self {
        let form = match op.form {
            ProductForm::Plain => "plain",
            ProductForm::Accumulate => "accumulate",
            ProductForm::Gate => "gate",
            ProductForm::Qkv { .. } => "qkv",
            ProductForm::Head => "head",
        };
        let group = op.format.quantization().map(|quantization| quantization.group);
        Self { form, format: op.format.name(), group, outputs: op.outputs, inputs: op.inputs, rows: op.rows }
    }
}
