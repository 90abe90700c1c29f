//! CPU pools as the engine sees them: opened somewhere by the worker's TypeScript, spoken to in bytes.
//!
//! Where a pool lives (in a dedicated worker of some tab), how one is chosen and how its end is noticed is pools.ts.

use futures_util::future::LocalBoxFuture;
use js_sys::{Function, Promise, Reflect};
use std::rc::Rc;
use tilewright_host::{LoadError, RemoteExecutor, Weights};
use tilewright_plan::ExecutorError;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// `PoolOpener` of pools.ts.
    pub type Pools;

    /// Opens a pool with the model loaded. `progress` is called with JSON; `lost` once, with the reason, when an open pool is
    /// gone.
    #[wasm_bindgen(method, catch)]
    async fn open(this: &Pools, progress: &Function, lost: &Function) -> Result<JsValue, JsValue>;

    /// `Pool` of pools.ts.
    type Pool;

    #[wasm_bindgen(method, getter)]
    fn description(this: &Pool) -> Vec<u8>;

    /// Said to the user: why there are not more threads, if there are not.
    #[wasm_bindgen(method, getter)]
    fn notice(this: &Pool) -> Option<String>;

    /// Sends at once; rejects when there will be no answer.
    #[wasm_bindgen(method)]
    fn step(this: &Pool, question: Vec<u8>) -> Promise;

    #[wasm_bindgen(method)]
    fn close(this: &Pool);
}

/// A pool with a model in it, and what its user is to know.
pub(crate) struct Opened {
    pub(crate) weights: Weights,
    pub(crate) notice: Option<String>,
}

impl Pools {
    /// Opens a pool.
    pub(crate) async fn opened(&self, progress: &Function, lost: &Function) -> Result<Opened, LoadError> {
        let pool = self.open(progress, lost).await.map_err(|thrown| elsewhere(&thrown))?;
        let pool: Pool = pool.unchecked_into();
        let (description, notice) = (pool.description(), pool.notice());
        let weights = RemoteExecutor::open(Box::new(Line(Rc::new(pool))), &description)?;
        Ok(Opened { weights, notice })
    }
}

struct Line(Rc<Pool>);

impl tilewright_host::Line for Line {
    fn ask(&self, question: Vec<u8>) -> LocalBoxFuture<'static, Result<Vec<u8>, ExecutorError>> {
        let answer = JsFuture::from(self.0.step(question));
        Box::pin(async move {
            match answer.await {
                Ok(bytes) => Ok(js_sys::Uint8Array::new(&bytes).to_vec()),
                Err(thrown) => Err(gone(&thrown)),
            }
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn text(thrown: &JsValue, field: &str) -> Option<String> {
    Reflect::get(thrown, &JsValue::from_str(field)).ok()?.as_string()
}

fn words(thrown: &JsValue) -> String {
    text(thrown, "message").unwrap_or_else(|| format!("{thrown:?}"))
}

/// A `PoolGone` of pools.ts.
fn gone(thrown: &JsValue) -> ExecutorError {
    let crashed = Reflect::get(thrown, &JsValue::from_str("crashed")).is_ok_and(|crashed| crashed.is_truthy());
    let reason = words(thrown);
    if crashed { ExecutorError::Lost { reason } } else { ExecutorError::Moved { reason } }
}

fn elsewhere(thrown: &JsValue) -> LoadError {
    LoadError::Elsewhere { code: text(thrown, "code"), message: words(thrown) }
}
