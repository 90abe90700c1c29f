//! Kernels compiled beside whatever the device does.
//!
//! `wgpu` compiles a pipeline when it is made, one after the other; in Chromium on an H100 that is 90 ms each. A browser can compile many at
//! once and out of the way, but `wgpu` has no name for that. So whoever opened the device may lend a function that asks the
//! browser itself: what it compiled is found again when `wgpu` makes the same pipeline, as long as somebody holds it.

use super::pipelines::{Access, BindingKinds};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A kernel to be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AheadKernel {
    /// WGSL.
    pub source: String,
    /// Bindings, and how each buffer is used: `uniform`, `read-only-storage` or `storage`, as WebGPU calls them.
    pub bindings: Vec<(u32, &'static str)>,
}

/// Resolves when all are compiled, or refused, to what keeps them.
pub type Compiling = Pin<Box<dyn Future<Output = Box<dyn Any>>>>;

/// Compiles kernels beside whatever the device does.
#[derive(Clone)]
pub struct CompileAhead(Arc<dyn Fn(Vec<AheadKernel>) -> Compiling + Send + Sync>);

impl CompileAhead {
    /// By this function.
    pub fn new(compile: impl Fn(Vec<AheadKernel>) -> Compiling + Send + Sync + 'static) -> Self {
        Self(Arc::new(compile))
    }

    pub(super) fn compile(&self, kernels: Vec<AheadKernel>) -> Compiling {
        (self.0)(kernels)
    }
}

impl fmt::Debug for CompileAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompileAhead")
    }
}

impl AheadKernel {
    pub(super) fn new(source: String, kinds: &BindingKinds) -> Self {
        let name = |access| match access {
            Access::Uniform => "uniform",
            Access::Read => "read-only-storage",
            Access::ReadWrite => "storage",
        };
        Self { source, bindings: kinds.iter().map(|&(binding, access)| (binding, name(access))).collect() }
    }
}
