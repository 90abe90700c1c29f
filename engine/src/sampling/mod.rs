//! Drawing tokens from logits.
//!
//! - [`random`]: the counter-based generator: noise is a function of (seed, position, token)
//! - [`history`]: what penalties have to know of a sequence
//! - [`sampler`]: logits to a token

pub mod history;
pub mod random;
pub mod sampler;

pub use history::TokenHistory;
pub use sampler::{Drawn, FORBIDDEN, log_probabilities, sample};
