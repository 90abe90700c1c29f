//! The tuning database's `Store`, kept through callbacks: IndexedDB stays in JS, with `TuningStore` of tuning-store.ts.

use futures_util::future::{FutureExt, LocalBoxFuture};
use js_sys::{Array, Object, Reflect};
use tilewright_tuning_db::store::{Loaded, SetAside, Store, StoreError, entry_from_text, entry_to_text};
use tilewright_tuning_db::{Entry, RecordId};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// `TuningStore` of tuning-store.ts.
    #[derive(Clone)]
    pub type JsTuningStore;

    /// `{ entries, unreadable }`.
    #[wasm_bindgen(method, catch)]
    async fn load(this: &JsTuningStore) -> Result<JsValue, JsValue>;

    /// Takes a list of `StoredEntry`.
    #[wasm_bindgen(method, catch)]
    async fn put(this: &JsTuningStore, entries: Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setAside)]
    async fn set_aside(this: &JsTuningStore, key: &str, why: &str) -> Result<JsValue, JsValue>;

    /// Takes a list of keys.
    #[wasm_bindgen(method, catch)]
    async fn remove(this: &JsTuningStore, keys: Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn clear(this: &JsTuningStore) -> Result<JsValue, JsValue>;
}

impl Store for JsTuningStore {
    fn load(&self) -> LocalBoxFuture<'_, Result<Loaded, StoreError>> {
        async move {
            let kept = JsTuningStore::load(self).await.map_err(|thrown| failed(&thrown))?;
            let mut loaded = Loaded::default();
            for entry in list(&kept, "entries") {
                let (key, text) = (text(&entry, "key"), text(&entry, "text"));
                match entry_from_text(&text) {
                    Ok(entry) => loaded.entries.push(entry),
                    Err(error) => {
                        let why = error.to_string();
                        // If it can't be moved it is met again, which does no more harm.
                        let _ = self.set_aside(&key, &why).await;
                        loaded.set_aside.push(SetAside { what: format!("the entry {key}"), why });
                    }
                }
            }
            for entry in list(&kept, "unreadable") {
                let what = format!("the entry {}", text(&entry, "key"));
                loaded.set_aside.push(SetAside { what, why: text(&entry, "why") });
            }
            Ok(loaded)
        }
        .boxed_local()
    }

    fn put<'a>(&'a self, entries: &'a [Entry]) -> LocalBoxFuture<'a, Result<(), StoreError>> {
        let list = Array::new();
        for entry in entries {
            let object = Object::new();
            let set = |field: &str, value: JsValue| {
                // A fresh object takes any field.
                let _ = Reflect::set(&object, &field.into(), &value);
            };
            set("key", entry.id.as_str().into());
            set("text", entry_to_text(entry).into());
            set("trust", JsValue::from_f64(f64::from(entry.provenance as u8)));
            list.push(&object);
        }
        async move { JsTuningStore::put(self, list).await.map(drop).map_err(|thrown| failed(&thrown)) }.boxed_local()
    }

    fn remove<'a>(&'a self, ids: &'a [RecordId]) -> LocalBoxFuture<'a, Result<(), StoreError>> {
        let keys: Array = ids.iter().map(|id| JsValue::from_str(id.as_str())).collect();
        async move { JsTuningStore::remove(self, keys).await.map(drop).map_err(|thrown| failed(&thrown)) }.boxed_local()
    }

    fn clear(&self) -> LocalBoxFuture<'_, Result<(), StoreError>> {
        async move { JsTuningStore::clear(self).await.map(drop).map_err(|thrown| failed(&thrown)) }.boxed_local()
    }
}

fn list(value: &JsValue, field: &str) -> Array {
    let list = Reflect::get(value, &field.into()).ok();
    list.and_then(|list| list.dyn_into::<Array>().ok()).unwrap_or_default()
}

fn text(value: &JsValue, field: &str) -> String {
    Reflect::get(value, &field.into()).ok().and_then(|value| value.as_string()).unwrap_or_default()
}

/// What JS threw: a `TuningStoreError` with its `problem`, or whatever else.
fn failed(thrown: &JsValue) -> StoreError {
    let words = text(thrown, "message");
    let words = if words.is_empty() { format!("{thrown:?}") } else { words };
    match text(thrown, "problem").as_str() {
        "full" => StoreError::Full(words),
        "blocked" => StoreError::Blocked(words),
        "unavailable" => StoreError::Unavailable(words),
        _ => StoreError::Failed(words),
    }
}
