//! The host's `ModelFiles`, read through callbacks: the JS side knows where files are, keeps them, and resumes downloads.

use futures_util::future::{FutureExt, LocalBoxFuture};
use js_sys::{Reflect, Uint8Array};
use tilewright_host::{ByteStream, FileError, ModelFiles};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// `ModelFiles` of model-files.ts.
    pub type JsModelFiles;

    /// A small file's text; `undefined` if there is no such file.
    #[wasm_bindgen(method, catch)]
    async fn text(this: &JsModelFiles, name: &str) -> Result<JsValue, JsValue>;

    /// A `ByteStream`.
    #[wasm_bindgen(method, catch)]
    async fn open(this: &JsModelFiles, name: &str) -> Result<JsValue, JsValue>;

    /// `ByteStream` of download.ts.
    type JsByteStream;

    #[wasm_bindgen(method, getter)]
    fn length(this: &JsByteStream) -> Option<f64>;

    /// A `Uint8Array`; `undefined` at the end.
    #[wasm_bindgen(method, catch)]
    async fn next(this: &JsByteStream) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method)]
    fn cancel(this: &JsByteStream);
}

impl ModelFiles for JsModelFiles {
    fn text(&self, name: &str) -> LocalBoxFuture<'_, Result<Option<String>, FileError>> {
        let name = name.to_owned();
        async move {
            let text = JsModelFiles::text(self, &name).await.map_err(|thrown| failed(&name, &thrown))?;
            Ok(text.as_string())
        }
        .boxed_local()
    }

    fn open(&self, name: &str) -> LocalBoxFuture<'_, Result<Box<dyn ByteStream>, FileError>> {
        let name = name.to_owned();
        async move {
            let stream = JsModelFiles::open(self, &name).await.map_err(|thrown| failed(&name, &thrown))?;
            let stream: Box<dyn ByteStream> = Box::new(FileBytes { name, stream: stream.unchecked_into() });
            Ok(stream)
        }
        .boxed_local()
    }
}

/// One open file. Dropped before its end, it stops the download.
struct FileBytes {
    name: String,
    stream: JsByteStream,
}

impl ByteStream for FileBytes {
    fn len(&self) -> Option<u64> {
        self.stream.length().map(|length| length as u64)
    }

    fn next(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, FileError>> {
        async move {
            let bytes = self.stream.next().await.map_err(|thrown| failed(&self.name, &thrown))?;
            Ok(bytes.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec))
        }
        .boxed_local()
    }
}

impl Drop for FileBytes {
    fn drop(&mut self) {
        self.stream.cancel();
    }
}

/// What JS threw, with its `code` and `message` where it is one of our own errors.
fn failed(name: &str, thrown: &JsValue) -> FileError {
    let field = |field: &str| Reflect::get(thrown, &JsValue::from_str(field)).ok().and_then(|value| value.as_string());
    let message = field("message").or_else(|| thrown.as_string()).unwrap_or_else(|| format!("{thrown:?}"));
    FileError { name: name.to_owned(), code: field("code"), message }
}
