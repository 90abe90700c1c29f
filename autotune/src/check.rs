//! Whether a device's products are right: a selection from the search spaces, each variant against its twin.
//!
//! A tuner tries what a model needs; this tries what there is: every kernel with everything that can be fused to it, in every
//! weight format, on few rows and many and on odd numbers of outputs. Which variants and shapes is drawn at random, from a
//! seed, so that a failure comes again and another seed finds other failures.

use crate::space::{self, Limits};
use tilewright_engine::gpu::check::FORMATS;
use tilewright_engine::gpu::trial::{ProductForm, ProductOp, Trial, TrialError};
use tilewright_engine::kernels::KernelVariant;
use tilewright_engine::sampling::random::philox;
use tilewright_engine::weights::WeightFormat;
use tilewright_engine::{Gpu, GpuError};

/// The numbers of rows that products are tried on: decoding, small batches, and more than a tile.
pub const ROWS: [u32; 8] = [1, 2, 3, 5, 8, 17, 33, 70];

/// Kernels of products.
const KERNELS: [&str; 6] =
    ["matvec", "matmul", "matvec_packed", "matmul_packed", "subgroup_matmul_packed", "matvec_serial"];

/// Something to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// On what.
    pub op: ProductOp,
    /// Which.
    pub variant: KernelVariant,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The largest error against the twin, relative to one plus the magnitude.
    Error(f32),
    /// The device's compiler refused it.
    Refused(String),
}

/// Draws checks. A round has each kernel with each form in each format once, and goes through [`ROWS`] on the way.
pub fn selection(limits: &Limits, seed: u32, rounds: u32) -> Vec<Check> {
    let mut random = Random { seed, drawn: 0 };
    let mut checks = Vec::new();
    for round in 0..rounds as usize {
        for (place, kernel) in KERNELS.into_iter().enumerate() {
            // Rows follow one another, so that a round sees all of them whatever is drawn.
            let mut next_rows = round + place;
            for form in 0..5 {
                for format in FORMATS {
                    let drawn = (0..ROWS.len()).find_map(|_| {
                        let rows = ROWS[next_rows % ROWS.len()];
                        next_rows += 1;
                        random.check(kernel, form, format, rows, limits)
                    });
                    checks.extend(drawn);
                }
            }
        }
    }
    checks
}

impl Check {
    /// Runs it.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn run(&self, gpu: &Gpu) -> Result<Verdict, GpuError> {
        match Trial::new(gpu, self.op).check(&self.variant).await {
            Ok(error) => Ok(Verdict::Error(error)),
            Err(TrialError::Gpu(error)) => Err(error),
            Err(refused) => Ok(Verdict::Refused(refused.to_string())),
        }
    }
}

struct Random {
    seed: u32,
    drawn: u32,
}

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.drawn += 1;
        philox([self.drawn, 0, 0, 0], [self.seed, 91])[0] as usize % bound
    }

    /// In `1..=most`.
    fn some(&mut self, most: usize) -> u32 {
        1 + self.below(most) as u32
    }

    /// Nothing where the kernel has no variant for such an operation.
    fn check(&mut self, kernel: &str, form: u32, format: WeightFormat, rows: u32, limits: &Limits) -> Option<Check> {
        let odd = 2 * self.some(65) - 1;
        let (form, outputs) = match form {
            0 => (ProductForm::Plain, odd),
            1 => (ProductForm::Accumulate, odd),
            // An odd number for each half.
            2 => (ProductForm::Gate, 2 * odd),
            3 => {
                let kv_heads = self.some(3);
                let (heads, head_dim) = (kv_heads * self.some(3), 4 * self.some(6));
                (ProductForm::Qkv { heads, kv_heads }, (heads + 2 * kv_heads) * head_dim)
            }
            _ => (ProductForm::Head, odd),
        };
        let packed = kernel.ends_with("_packed");
        if packed && format.quantization().is_none() {
            return None;
        }
        let op = ProductOp { format, outputs, inputs: 32 * self.some(9), rows, form, packed };
        let mut variants = space::variants(&op.into(), limits);
        variants.retain(|variant| variant.kernel() == kernel);
        // Half of them with subgroups, which few variants have.
        if limits.subgroup > 1 {
            let with = self.below(2) == 1;
            if variants.iter().any(|variant| variant.uses_subgroups() == with) {
                variants.retain(|variant| variant.uses_subgroups() == with);
            }
        }
        // And half of them in f16.
        if limits.halves {
            let with = self.below(2) == 1;
            if variants.iter().any(|variant| variant.uses_halves() == with) {
                variants.retain(|variant| variant.uses_halves() == with);
            }
        }
        let variant = (!variants.is_empty()).then(|| variants.swap_remove(self.below(variants.len())))?;
        Some(Check { op, variant })
    }
}
