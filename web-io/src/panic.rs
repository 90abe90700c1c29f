//! A panic ends this instance: wasm traps, and whatever was being changed stays half-changed. All that can be done is to
//! say so while the panic hook runs, so that the worker ends the requests in it and starts another instance.

use js_sys::Function;
use std::cell::RefCell;
use wasm_bindgen::prelude::*;

thread_local! {
    static LISTENER: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Calls back with the message and place of a panic, once, before the instance traps. Nothing of this instance may be
/// called from the callback or after it.
#[wasm_bindgen]
pub fn on_panic(listener: Function) {
    LISTENER.with_borrow_mut(|slot| *slot = Some(listener));
    std::panic::set_hook(Box::new(|panic| {
        console_error_panic_hook::hook(panic);
        // A second panic finds no listener.
        let listener = LISTENER.with(|slot| slot.try_borrow_mut().ok().and_then(|mut slot| slot.take()));
        if let Some(listener) = listener {
            // What the listener throws has nobody left to be told to.
            let _ = listener.call1(&JsValue::NULL, &JsValue::from_str(&panic.to_string()));
        }
    }));
}
