//! `tilewright logits`

use crate::args::Logits;
use crate::error::CliError;
use crate::open;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use tilewright_plan::{
    BlockId, Chunk, ChunkOutput, OpenSequence, SamplingParams, SequenceId, StepId, StepPlan, TokenId, TokenSource,
};

/// Writes the logits of every position, f32 `[ids, vocabulary]`.
pub(crate) async fn run(command: Logits) -> Result<(), CliError> {
    let mut loaded = open::weights(&command.model).await?;
    let capacity = loaded.executor.capacity();
    if command.ids.len() > capacity.max_context as usize {
        return Err(CliError::TooManyIds { count: command.ids.len(), context: capacity.max_context });
    }
    if let Some(&id) = command.ids.iter().find(|&&id| id >= capacity.vocabulary) {
        return Err(CliError::UnknownId { id, vocabulary: capacity.vocabulary });
    }
    let sequence = SequenceId(0);
    let tokens: Vec<TokenId> = command.ids.iter().copied().map(TokenId).collect();
    let block_table: Vec<BlockId> = (0..(tokens.len() as u32).div_ceil(capacity.block_size)).map(BlockId).collect();
    let prompt_len = tokens.len() as u32;
    let mut open =
        vec![OpenSequence { sequence, tokens: tokens.clone(), prompt_len, sampling: SamplingParams::default() }];
    let mut logits = Vec::with_capacity(tokens.len() * capacity.vocabulary as usize);
    for (index, rows) in tokens.chunks(capacity.max_rows as usize).enumerate() {
        let chunk = Chunk {
            sequence,
            start: index as u32 * capacity.max_rows,
            tokens: rows.iter().copied().map(TokenSource::Id).collect(),
            block_table: block_table.clone(),
            output: ChunkOutput::AllLogits,
        };
        let plan = StepPlan { open: std::mem::take(&mut open), chunks: vec![chunk], ..StepPlan::default() };
        logits.extend(loaded.executor.issue(StepId(index as u64), plan).await?.logits);
    }

    let output = |message: String| CliError::Output { path: command.out.clone(), message };
    let bytes: Vec<u8> = logits.iter().flat_map(|logit: &f32| logit.to_le_bytes()).collect();
    let shape = vec![tokens.len(), capacity.vocabulary as usize];
    let view = TensorView::new(Dtype::F32, shape, &bytes).map_err(|error| output(error.to_string()))?;
    serialize_to_file([("logits", view)], None, &command.out).map_err(|error| output(error.to_string()))?;
    println!(
        "{} x {} logits from {} in {}",
        tokens.len(),
        capacity.vocabulary,
        loaded.executor.device(),
        command.out.display()
    );
    Ok(())
}
