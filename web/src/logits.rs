//! Logits as they leave the model, without scheduler and sampler: `tilewright logits` of the command line, for a browser.
//!
//! What a browser's GPU computes can only be compared with a reference there, and the API gives twenty log-probabilities a
//! token at most. The tests call this in a page; it needs no worker.

use crate::engine::thrown;
use crate::gpu_source;
use crate::model_files::JsModelFiles;
use tilewright_api::ApiError;
use tilewright_engine::{Device, LoadOptions};
use tilewright_host::{LoadError, ModelLayout, load_weights};
use tilewright_plan::{
    BlockId, Chunk, ChunkOutput, Executor, ExecutorError, OpenSequence, SamplingParams, SequenceId, StepId, StepPlan,
    TokenId, TokenSource,
};
use wasm_bindgen::prelude::*;

/// A step's rows, on any adapter: nobody waits for a first token here.
const MAX_ROWS: u32 = 256;

/// Kernels as on a real GPU, also where a program pretends to be one: the API's tests cover those for software.
const SOFTWARE: bool = false;

/// A model's weights on the GPU.
#[wasm_bindgen]
pub struct Logits {
    executor: Box<dyn Executor>,
    steps: u64,
}

#[wasm_bindgen]
impl Logits {
    /// Reads the weights; the arguments are those of [`load`](crate::engine::load).
    ///
    /// # Errors
    /// An `ErrorObject` of errors.ts.
    pub async fn load(gguf_file: Option<String>, files: JsModelFiles) -> Result<Self, JsValue> {
        let layout = gguf_file.map_or(ModelLayout::HuggingFace, |file| ModelLayout::Gguf { file });
        let executor = load_executor(&files, layout).await.map_err(|error| thrown(&ApiError::from(&error)))?;
        Ok(Self { executor, steps: 0 })
    }

    /// Logits f32 `[ids, vocabulary]` of several prompts that stand in `ids` one after the other, `lengths` long. They
    /// share each step, `rows` of every prompt at a time.
    ///
    /// # Errors
    /// The executor's, an `ErrorObject`: ids that the vocabulary lacks, more rows or tokens than it holds.
    pub async fn run(&mut self, ids: Vec<u32>, lengths: Vec<u32>, rows: u32) -> Result<Vec<f32>, JsValue> {
        let prompts = Prompts::new(&ids, &lengths, self.executor.capacity().block_size);
        self.compute(&prompts, rows.max(1)).await.map_err(|error| {
            let message = error.to_string();
            thrown(&ApiError::server("step_failed", message))
        })
    }
}

impl Logits {
    async fn compute(&mut self, prompts: &Prompts, rows: u32) -> Result<Vec<f32>, ExecutorError> {
        let vocabulary = self.executor.capacity().vocabulary as usize;
        let mut logits: Vec<Vec<f32>> = vec![Vec::new(); prompts.tokens.len()];
        let longest = prompts.tokens.iter().map(Vec::len).max().unwrap_or(0) as u32;
        for start in (0..longest).step_by(rows as usize) {
            let plan = prompts.step(start, rows);
            let sizes: Vec<(usize, usize)> =
                plan.chunks.iter().map(|chunk| (chunk.sequence.0 as usize, chunk.tokens.len() * vocabulary)).collect();
            let mut computed = self.issue(plan).await?.into_iter();
            for (prompt, size) in sizes {
                logits[prompt].extend(computed.by_ref().take(size));
            }
        }
        let close = (0..prompts.tokens.len() as u64).map(SequenceId).collect();
        self.issue(StepPlan { close, ..StepPlan::default() }).await?;
        Ok(logits.concat())
    }

    async fn issue(&mut self, plan: StepPlan) -> Result<Vec<f32>, ExecutorError> {
        self.steps += 1;
        Ok(self.executor.issue(StepId(self.steps), plan).await?.logits)
    }
}

async fn load_executor(files: &JsModelFiles, layout: ModelLayout) -> Result<Box<dyn Executor>, LoadError> {
    let gpu = gpu_source::first(SOFTWARE).await?;
    let options = LoadOptions { max_rows: Some(MAX_ROWS), ..LoadOptions::default() };
    let loaded = load_weights(files, layout, Device::Gpu(gpu), options, &mut |_| ()).await?;
    Ok(loaded.executor)
}

/// Prompts with a block table each; a prompt's place in the list is its sequence.
struct Prompts {
    tokens: Vec<Vec<TokenId>>,
    tables: Vec<Vec<BlockId>>,
}

impl Prompts {
    fn new(ids: &[u32], lengths: &[u32], block_size: u32) -> Self {
        let mut rest = ids;
        let mut next_block = 0;
        let (mut tokens, mut tables) = (Vec::new(), Vec::new());
        for &length in lengths {
            let (prompt, after) = rest.split_at((length as usize).min(rest.len()));
            rest = after;
            let blocks = (prompt.len() as u32).div_ceil(block_size);
            tokens.push(prompt.iter().copied().map(TokenId).collect());
            tables.push((next_block..next_block + blocks).map(BlockId).collect());
            next_block += blocks;
        }
        Self { tokens, tables }
    }

    /// The next `rows` rows of every prompt that has any at `start`.
    fn step(&self, start: u32, rows: u32) -> StepPlan {
        let mut plan = StepPlan::default();
        for (index, (tokens, table)) in self.tokens.iter().zip(&self.tables).enumerate() {
            let sequence = SequenceId(index as u64);
            if start == 0 {
                plan.open.push(OpenSequence {
                    sequence,
                    tokens: tokens.clone(),
                    prompt_len: tokens.len() as u32,
                    sampling: SamplingParams::default(),
                });
            }
            let rows: Vec<TokenSource> =
                tokens.iter().skip(start as usize).take(rows as usize).copied().map(TokenSource::Id).collect();
            if !rows.is_empty() {
                let block_table = table.clone();
                plan.chunks.push(Chunk { sequence, start, tokens: rows, block_table, output: ChunkOutput::AllLogits });
            }
        }
        plan
    }
}
