//! Newtypes, so that a block can't be taken for a token.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// An index into the model's vocabulary.
    TokenId(u32)
}
id! {
    /// A sequence that the executor holds sampler state for; unique among the sequences open at one time.
    SequenceId(u64)
}
id! {
    /// A block of [`Capacity::block_size`](crate::Capacity::block_size) KV slots; below
    /// [`Capacity::blocks`](crate::Capacity::blocks).
    BlockId(u32)
}
id! {
    /// A step's number; every step that an executor is given has a larger one than the step before it.
    StepId(u64)
}
