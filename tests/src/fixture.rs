//! The checkpoints in `tests/fixtures`, with the reference outputs of `transformers` in float32.

use safetensors::SafeTensors;
use std::fs;
use std::path::PathBuf;

/// A checkpoint's reference outputs; `tests/fixtures/README.md` says what each is.
pub struct Expected {
    /// One prompt.
    pub prompt_ids: Vec<u32>,
    /// f32 `[prompt, vocabulary]`
    pub prompt_logits: Vec<f32>,
    /// What greedy decoding appends.
    pub greedy_ids: Vec<u32>,
    /// Further prompts.
    pub ragged: Vec<Vec<u32>>,
    /// f32 `[prompts, vocabulary]`: logits of each one's last position.
    pub ragged_logits: Vec<f32>,
    /// Size of the vocabulary.
    pub vocabulary: usize,
}

/// `tests/fixtures/NAME`
pub fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The reference outputs of a checkpoint.
pub fn expected(name: &str) -> Expected {
    let bytes = fs::read(folder(name).join("expected.safetensors")).expect("the fixture is in the repository");
    let tensors = SafeTensors::deserialize(&bytes).expect("the fixture is whole");
    let data = |name: &str| tensors.tensor(name).expect("the fixture has all tensors").data().to_vec();
    let ids = |name: &str| -> Vec<u32> {
        data(name).chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect()
    };
    let floats = |name: &str| -> Vec<f32> {
        data(name).chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let mut rest = ids("ragged_ids");
    let ragged = ids("ragged_lengths").iter().map(|&length| rest.drain(..length as usize).collect()).collect();
    let (prompt_ids, prompt_logits) = (ids("prompt_ids"), floats("prompt_logits"));
    Expected {
        vocabulary: prompt_logits.len() / prompt_ids.len(),
        prompt_ids,
        prompt_logits,
        greedy_ids: ids("greedy_ids"),
        ragged,
        ragged_logits: floats("ragged_logits"),
    }
}

/// Asserts that every logit is within 1e-3 + 2e-3 |x| of the reference x; returns the largest share of that which was used.
pub fn assert_close(what: &str, actual: &[f32], reference: &[f32]) -> f32 {
    assert_eq!(actual.len(), reference.len(), "{what}: as many logits as the reference has");
    let mut worst = 0.0_f32;
    for (index, (a, r)) in actual.iter().zip(reference).enumerate() {
        let used = (a - r).abs() / (1e-3 + 2e-3 * r.abs());
        assert!(used <= 1.0, "{what}: logit {index} is {a}, the reference says {r}");
        worst = worst.max(used);
    }
    worst
}
