//! What `wgpu` can't ask of a browser: subgroups and their matrix units, and kernels that are compiled beside each other.
//!
//! `wgpu` 30 knows no name for the feature in a browser. What it calls to open a device is a method of
//! JavaScript, though, so `device-shim.js` puts itself before that and adds the feature; the WGSL with `enable subgroups;` goes to
//! the browser unread. It is JavaScript and not a closure of this module, since a module that trapped would leave a dead one behind
//! in the worker. Which device got what is told apart by label.

use js_sys::{Array, Promise};
use std::any::Any;
use tilewright_engine::gpu::ahead::{AheadKernel, CompileAhead, Compiling};
use tilewright_engine::kernels::MatrixUnit;
use tilewright_engine::{Gpu, GpuError, GpuOptions};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(module = "/src/device-shim.js")]
extern "C" {
    #[wasm_bindgen(js_name = nextDevice)]
    fn next_device() -> String;

    #[wasm_bindgen(js_name = grantedTo)]
    fn granted_to(label: &str) -> Vec<u32>;

    /// Takes `[code, binding, type, binding, type, ...]` for each kernel; resolves to what keeps them compiled.
    #[wasm_bindgen(js_name = compileAhead)]
    fn compile_ahead(label: &str, kernels: Array) -> Promise;
}

/// Has the browser compile kernels beside each other. What it refuses is refused again when it is asked for.
fn compile(label: &str, kernels: Vec<AheadKernel>) -> Compiling {
    let list = Array::new();
    for AheadKernel { source, bindings } in kernels {
        let kernel = Array::of1(&source.into());
        for (binding, kind) in bindings {
            kernel.push(&binding.into());
            kernel.push(&kind.into());
        }
        list.push(&kernel);
    }
    let compiled = JsFuture::from(compile_ahead(label, list));
    Box::pin(async move { Box::new(compiled.await) as Box<dyn Any> })
}

/// Opens the GPU.
pub(crate) async fn open(options: GpuOptions) -> Result<Gpu, GpuError> {
    let label = next_device();
    let gpu = Gpu::request(&GpuOptions { label: Some(label.clone()), ..options }).await;
    // Asked in any case: it forgets the label.
    let granted = granted_to(&label);
    let gpu = gpu?.with_compile_ahead(CompileAhead::new(move |kernels| compile(&label, kernels)));
    let [least, m, n, k, lanes] = granted.try_into().unwrap_or_default();
    let gpu = if u32::is_power_of_two(least) { gpu.with_subgroups(least) } else { gpu };
    let unit = MatrixUnit { m, n, k, lanes, real: true };
    let whole = [m, n, k, lanes].iter().all(|size| size.is_power_of_two());
    Ok(gpu.with_matrix_unit(Some(unit).filter(|_| whole)))
}
