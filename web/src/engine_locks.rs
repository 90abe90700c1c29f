//! What the engines of a site tell each other: the Web Locks of engine-locks.ts, held as values are.

use futures_channel::oneshot;
use js_sys::Function;
use tilewright_host::Activity;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

#[wasm_bindgen]
extern "C" {
    /// `EngineLocks` of engine-locks.ts.
    #[derive(Clone)]
    pub type EngineLocks;

    /// Resolves to a function.
    #[wasm_bindgen(method, catch)]
    async fn tuning(this: &EngineLocks) -> Result<JsValue, JsValue>;

    /// Resolves to a function.
    #[wasm_bindgen(method, catch)]
    async fn answering(this: &EngineLocks) -> Result<JsValue, JsValue>;

    /// Resolves to whether nobody answers.
    #[wasm_bindgen(method, catch, js_name = isQuiet)]
    async fn quiet_now(this: &EngineLocks) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn quiet(this: &EngineLocks) -> Result<JsValue, JsValue>;
}

/// A lock, until it is dropped.
pub(crate) struct Held(Option<Function>);

impl Drop for Held {
    fn drop(&mut self) {
        // Letting go can't fail.
        self.0.take().map(|release| release.call0(&JsValue::NULL));
    }
}

/// Waits for a lock. The wait itself can't be given up: one that comes when nobody wants it any more is passed on at once.
async fn held(lock: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Held {
    let (sender, granted) = oneshot::channel();
    spawn_local(async move {
        let release = lock.await.ok().and_then(|release| release.dyn_into().ok());
        // Unwanted, it comes back and is dropped.
        let _ = sender.send(Held(release));
    });
    granted.await.unwrap_or(Held(None))
}

impl EngineLocks {
    /// Waits until no other engine is tuning.
    pub(crate) async fn turn(&self) -> Held {
        let locks = self.clone();
        held(async move { locks.tuning().await }).await
    }

    /// Whether no engine of the site answers now.
    pub(crate) async fn is_quiet(&self) -> bool {
        // Who can't ask has nobody to give way to.
        self.quiet_now().await.ok().and_then(|quiet| quiet.as_bool()).unwrap_or(true)
    }

    /// Waits until no engine of the site answers.
    pub(crate) async fn wait_for_quiet(&self) {
        // As above.
        let _ = self.quiet().await;
    }

    /// Tells the others whenever this engine answers. Ends never.
    pub(crate) async fn announce(self, answering: Activity) {
        loop {
            answering.busy().await;
            let locks = self.clone();
            let _held = held(async move { locks.answering().await }).await;
            answering.idle().await;
        }
    }
}
