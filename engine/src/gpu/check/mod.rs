//! Every kernel but the products against its CPU twin, wherever the engine runs: as tests natively, and in browsers.
//!
//! Products have [`trial`](super::trial), since a tuner tries them too, in all their variants. Here are the others, in the
//! variants that executors take, on GPUs and in software, and in some odd ones: embeddings, norms, gates and gathers; activations
//! as integers; rotary embedding, the KV cache and attention in every form; the sampler. The random numbers are the project's own
//! counter-based generator, so a failure comes again.

pub(super) mod heads;
mod integers;
mod layers;
pub(super) mod rig;
pub(super) mod sampling;

use super::{Gpu, GpuError};
pub use rig::{FORMATS, Finding, Rig};

impl Rig {
    /// Checks all of them; unless `thorough`, in two of the sizes of attention, which has the most pipelines, and with fewer draws and
    /// forms of the rotary embedding: SwiftShader in Chromium takes several times as long as natively.
    ///
    /// # Errors
    /// When the device fails. A kernel that is wrong or refused is a finding.
    pub async fn check(gpu: &Gpu, thorough: bool) -> Result<Vec<Finding>, GpuError> {
        let mut rig = Self::new(gpu);
        layers::embeddings(&mut rig).await?;
        layers::rows(&mut rig).await?;
        integers::quantized(&mut rig).await?;
        heads::rotary(&mut rig, thorough).await?;
        heads::paged_attention(&mut rig, thorough).await?;
        sampling::draws(&mut rig, thorough).await?;
        Ok(rig.take())
    }
}
