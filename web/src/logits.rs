//! Logits as they leave the model, without scheduler and sampler: `tilewright logits` of the command line, for a browser.
//!
//! What a browser's GPU computes can only be compared with a reference there, and the API gives twenty log-probabilities a
//! token at most. The tests call this in a page; it needs no worker.

use crate::devices;
use tilewright_api::ApiError;
use tilewright_engine::{Device, LoadOptions};
use tilewright_host::{LoadError, ModelLayout, load_weights};
use tilewright_plan::TokenId;
use tilewright_web_io::{JsModelFiles, thrown};
use wasm_bindgen::prelude::*;

/// A step's rows, on any adapter: nobody waits for a first token here.
const MAX_ROWS: u32 = 256;

/// Kernels as on a real GPU, also where a program pretends to be one: the API's tests cover those for software.
const SOFTWARE: bool = false;

/// A model's weights on the GPU.
#[wasm_bindgen]
pub struct Logits(tilewright_host::Logits);

#[wasm_bindgen]
impl Logits {
    /// Reads the weights; the arguments are those of [`load`](crate::engine::load).
    ///
    /// # Errors
    /// An `ErrorObject` of errors.ts.
    pub async fn load(gguf_file: Option<String>, files: JsModelFiles) -> Result<Self, JsValue> {
        let layout = gguf_file.map_or(ModelLayout::HuggingFace, |file| ModelLayout::Gguf { file });
        open(&files, layout).await.map(Self).map_err(|error| thrown(&ApiError::from(&error)))
    }

    /// Logits f32 `[ids, vocabulary]` of several prompts that stand in `ids` one after the other, `lengths` long. They
    /// share each step, `rows` of every prompt at a time.
    ///
    /// # Errors
    /// The executor's, an `ErrorObject`: ids that the vocabulary lacks, more rows or tokens than it holds.
    pub async fn run(&mut self, ids: Vec<u32>, lengths: Vec<u32>, rows: u32) -> Result<Vec<f32>, JsValue> {
        let mut rest = ids.into_iter().map(TokenId);
        let prompts: Vec<Vec<TokenId>> =
            lengths.iter().map(|&length| rest.by_ref().take(length as usize).collect()).collect();
        let logits = self.0.run(&prompts, rows).await;
        logits.map_err(|error| thrown(&ApiError::server("step_failed", error.to_string())))
    }
}

async fn open(files: &JsModelFiles, layout: ModelLayout) -> Result<tilewright_host::Logits, LoadError> {
    let gpu = devices::first("", SOFTWARE).await?;
    let options = LoadOptions { max_rows: Some(MAX_ROWS), ..LoadOptions::default() };
    let loaded = load_weights(files, layout, Device::Gpu(gpu), options, &mut |_| ()).await?;
    Ok(tilewright_host::Logits::new(loaded.executor))
}
