//! A GPU with subgroups where the browser has them.
//!
//! `wgpu` 30 knows no name for the feature in a browser and can't ask for it. What it calls to open a device is a method of
//! JavaScript, though, so `subgroups.js` puts itself before that and adds the feature; the WGSL with `enable subgroups;` goes to
//! the browser unread. It is JavaScript and not a closure of this module, since a module that trapped would leave a dead one behind
//! in the worker. Which device got what is told apart by label.

use tilewright_engine::{Gpu, GpuError, GpuOptions};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/src/subgroups.js")]
extern "C" {
    #[wasm_bindgen(js_name = wantSubgroups)]
    fn want_subgroups() -> String;

    #[wasm_bindgen(js_name = leastSubgroup)]
    fn least_subgroup(label: &str) -> u32;
}

/// Opens the GPU.
pub(crate) async fn open(options: GpuOptions) -> Result<Gpu, GpuError> {
    let label = want_subgroups();
    let gpu = Gpu::request(&GpuOptions { label: Some(label.clone()), ..options }).await;
    // Asked in any case: it forgets the label.
    let least = least_subgroup(&label);
    gpu.map(|gpu| if least.is_power_of_two() { gpu.with_subgroups(least) } else { gpu })
}
