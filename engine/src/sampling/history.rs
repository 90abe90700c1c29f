//! What penalties have to know of a sequence: which tokens it has seen, and how often it said them itself.

use std::collections::BTreeMap;
use tilewright_plan::TokenId;

/// Tokens of a sequence so far, counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenHistory {
    /// Token to its occurrences in the output; 0 for tokens of the prompt only.
    counts: BTreeMap<TokenId, u32>,
}

impl TokenHistory {
    /// Of a sequence whose first `prompt_len` tokens are the prompt.
    pub fn new(tokens: &[TokenId], prompt_len: usize) -> Self {
        let mut history = Self::default();
        let (prompt, output) = tokens.split_at(prompt_len.min(tokens.len()));
        for &token in prompt {
            history.counts.entry(token).or_default();
        }
        for &token in output {
            history.push(token);
        }
        history
    }

    /// Counts a token of the output.
    pub fn push(&mut self, token: TokenId) {
        *self.counts.entry(token).or_default() += 1;
    }

    /// Every token seen, with its occurrences in the output.
    pub fn iter(&self) -> impl Iterator<Item = (TokenId, u32)> + '_ {
        self.counts.iter().map(|(&token, &count)| (token, count))
    }
}
