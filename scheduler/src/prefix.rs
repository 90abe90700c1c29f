//! The name of a prompt's beginning.
//!
//! Keys and values at a position depend on all tokens up to it, so a block of KV slots can be shared exactly if its own
//! tokens and everything before them are equal. A [`PrefixHash`] chains over full blocks (vLLM's prefix caching): equal
//! chains mean equal beginnings, but for a collision, which is why a hit compares the tokens as well.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use tilewright_plan::TokenId;

/// Names all tokens from the first one to the end of a full block, and the salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixHash(u64);

impl PrefixHash {
    /// The empty beginning. Different salts share nothing.
    pub fn root(salt: Option<&str>) -> Self {
        Self(hash(&salt))
    }

    /// This beginning and one more block.
    #[must_use]
    pub fn then(self, block: &[TokenId]) -> Self {
        Self(hash(&(self.0, block)))
    }
}

/// `SipHash` with constant keys: the same on every run of one build, which is all that replaying a script needs.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_order_and_block_borders_all_count() {
        let (a, b) = (&[TokenId(1), TokenId(2)][..], &[TokenId(3), TokenId(4)][..]);
        let root = PrefixHash::root(None);
        assert_eq!(root.then(a).then(b), PrefixHash::root(None).then(a).then(b));
        assert_ne!(root.then(a).then(b), root.then(b).then(a));
        assert_ne!(root.then(a).then(b), root.then(&[a, b].concat()));
        assert_ne!(root.then(a), PrefixHash::root(Some("")).then(a));
        assert_ne!(PrefixHash::root(Some("x")), PrefixHash::root(Some("y")));
    }
}
