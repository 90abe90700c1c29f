//! The kernels that the caller has, each with a hash of its source.

use std::collections::BTreeMap;

/// Names and source hashes of the caller's kernels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernels(BTreeMap<String, String>);

impl Kernels {
    /// Whether there is such a kernel, whatever its source.
    pub fn has(&self, kernel: &str) -> bool {
        self.0.contains_key(kernel)
    }

    /// Whether it is the kernel with this source.
    pub fn is_current(&self, kernel: &str, source_hash: &str) -> bool {
        self.0.get(kernel).is_some_and(|current| current == source_hash)
    }
}

impl<N: Into<String>, H: Into<String>> FromIterator<(N, H)> for Kernels {
    fn from_iter<I: IntoIterator<Item = (N, H)>>(kernels: I) -> Self {
        Self(kernels.into_iter().map(|(name, hash)| (name.into(), hash.into())).collect())
    }
}
