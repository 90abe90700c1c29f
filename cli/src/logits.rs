//! `tilewright logits`

use crate::args::Logits;
use crate::error::CliError;
use crate::open;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use tilewright_host::Logits as Model;
use tilewright_plan::TokenId;

/// Writes the logits of every position, f32 `[ids, vocabulary]`.
pub(crate) async fn run(command: Logits) -> Result<(), CliError> {
    let mut model = Model::new(open::weights(&command.model).await?.executor);
    let capacity = model.capacity();
    if command.ids.len() > capacity.max_context as usize {
        return Err(CliError::TooManyIds { count: command.ids.len(), context: capacity.max_context });
    }
    if let Some(&id) = command.ids.iter().find(|&&id| id >= capacity.vocabulary) {
        return Err(CliError::UnknownId { id, vocabulary: capacity.vocabulary });
    }
    let tokens: Vec<TokenId> = command.ids.iter().copied().map(TokenId).collect();
    let logits = model.run(&[tokens], capacity.max_rows).await?;

    let output = |message: String| CliError::Output { path: command.out.clone(), message };
    let bytes: Vec<u8> = logits.iter().flat_map(|logit: &f32| logit.to_le_bytes()).collect();
    let shape = vec![command.ids.len(), capacity.vocabulary as usize];
    let view = TensorView::new(Dtype::F32, shape, &bytes).map_err(|error| output(error.to_string()))?;
    serialize_to_file([("logits", view)], None, &command.out).map_err(|error| output(error.to_string()))?;
    println!(
        "{} x {} logits from {} in {}",
        command.ids.len(),
        capacity.vocabulary,
        model.device(),
        command.out.display()
    );
    Ok(())
}
