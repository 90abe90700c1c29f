//! The time, as fine as a step is short.
//!
//! `Date.now()` counts milliseconds and goes back when the system's clock is set; `performance.now()` counts a tenth of
//! one or less and only goes on, but stands still while the computer sleeps, so that a worker that lives for days would date
//! its answers wrongly. So: the second, put forward whenever the first has left it behind.

use js_sys::Date;
use std::cell::Cell;
use std::time::Duration;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    type Performance;

    #[wasm_bindgen(thread_local_v2, js_name = performance)]
    static PERFORMANCE: Performance;

    #[wasm_bindgen(method)]
    fn now(this: &Performance) -> f64;

    #[wasm_bindgen(method, getter, js_name = timeOrigin)]
    fn time_origin(this: &Performance) -> f64;
}

/// More than the two clocks drift apart between two looks: the computer slept, or its clock was set.
const BEHIND_MS: f64 = 1_000.0;

/// Time since the Unix epoch; never goes backwards.
pub(crate) fn clock() -> impl Fn() -> Duration {
    let origin_ms = Cell::new(PERFORMANCE.with(Performance::time_origin));
    let latest_ms = Cell::new(0.0_f64);
    move || {
        let behind_ms = Date::now() - (origin_ms.get() + PERFORMANCE.with(Performance::now));
        if behind_ms > BEHIND_MS {
            origin_ms.set(origin_ms.get() + behind_ms);
        }
        latest_ms.set(latest_ms.get().max(origin_ms.get() + PERFORMANCE.with(Performance::now)));
        Duration::from_secs_f64(latest_ms.get() / 1e3)
    }
}
