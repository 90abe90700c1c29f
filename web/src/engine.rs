//! A running service, told things by calls and answering by one callback.
//!
//! The service is one task on the browser's event loop. Calls put what they say into its queue and return at once; what
//! comes of it is told to `output`. Nothing here waits for a timer, which a hidden tab would slow.

use crate::clock::clock;
use crate::gpu_source::{self, GpuSource};
use crate::messages::{Loading, Memory, Message, ModelInfo};
use crate::model_files::JsModelFiles;
use futures_channel::{mpsc, oneshot};
use js_sys::{Function, JSON};
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;
use tilewright_api::ApiError;
use tilewright_engine::{Device, LoadOptions};
use tilewright_host::{ClientId, Endpoint, Input, LoadError, ModelFiles, ModelLayout, RequestId, Service};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

/// A model that answers. It lives until [`shutdown`](Engine::shutdown).
#[wasm_bindgen]
pub struct Engine {
    info: String,
    inputs: mpsc::UnboundedSender<Input>,
    output: Callback,
    ended: oneshot::Receiver<()>,
}

/// Loads a model onto the GPU and starts answering. `gguf_file` is the file's name, or nothing for a folder in Hugging
/// Face layout; `progress` and `output` are called with JSON (`WasmProgress` and `WasmOutput` of wasm-engine.ts).
///
/// # Errors
/// An `ErrorObject` of errors.ts.
#[wasm_bindgen]
pub async fn load(
    id: String,
    gguf_file: Option<String>,
    adapter: &Adapter,
    files: JsModelFiles,
    progress: Function,
    output: Function,
) -> Result<Engine, JsValue> {
    let layout = gguf_file.map_or(ModelLayout::HuggingFace, |file| ModelLayout::Gguf { file });
    let files: Rc<dyn ModelFiles> = Rc::new(files);
    let service = start(&id, layout, adapter.software(), files, Callback(progress))
        .await
        .map_err(|error| thrown(&ApiError::from(&error)))?;
    let info = json(&info(&id, &adapter.name(), &service));
    Ok(Engine::run(info, service, Callback(output)))
}

#[wasm_bindgen]
extern "C" {
    /// `AdapterDescription` of webgpu.ts.
    pub type Adapter;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn name(this: &Adapter) -> String;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn software(this: &Adapter) -> bool;
}

async fn start(
    id: &str,
    layout: ModelLayout,
    software: bool,
    files: Rc<dyn ModelFiles>,
    progress: Callback,
) -> Result<Service, LoadError> {
    let gpu = gpu_source::first(software).await?;
    let mut tell = |now| progress.json(&Loading::from(now));
    let service =
        tilewright_host::load(&*files, layout.clone(), id, Device::Gpu(gpu), LoadOptions::default(), &mut tell).await?;
    let back_off = RefCell::default();
    let source = Rc::new(GpuSource { files, layout, software, clock: Box::new(clock()), back_off });
    Ok(service.with_executor_source(move || Rc::clone(&source).another()))
}

impl Engine {
    fn run(info: String, service: Service, output: Callback) -> Self {
        let (inputs, queue) = mpsc::unbounded();
        let (end, ended) = oneshot::channel();
        let emit = output.clone();
        spawn_local(async move {
            service.serve(queue, clock(), |output| emit.json(&Message::from(output))).await;
            // Whoever shut it down may not wait for it.
            let _ = end.send(());
        });
        Self { info, inputs, output, ended }
    }

    /// The service takes inputs for as long as it runs, and after that there is nobody to answer.
    fn tell(&self, input: Input) {
        if self.inputs.unbounded_send(input).is_err() {
            let error = ApiError::server("engine_ended", "the engine ended; the next request starts it anew");
            self.output.json(&Message::Ended { error });
        }
    }
}

#[wasm_bindgen]
impl Engine {
    /// JSON of a `ModelInfo` of protocol.ts.
    pub fn info(&self) -> String {
        self.info.clone()
    }

    /// A client came.
    pub fn hello(&self, client: u32) {
        self.tell(Input::Hello { client: ClientId(client.into()) });
    }

    /// A client left: its requests end, and nothing more is said to it.
    pub fn gone(&self, client: u32) {
        self.tell(Input::Gone { client: ClientId(client.into()) });
    }

    /// What a client's user sees.
    pub fn state(&self, client: u32, visible: bool, focused: bool, frozen: bool) {
        self.tell(Input::State { client: ClientId(client.into()), visible, focused, frozen });
    }

    /// A request: `endpoint` is `chat.completions` or `completions`, `body` is JSON, and so is `resume`, a `Resume` of
    /// protocol.ts.
    pub fn submit(&self, client: u32, request: u32, endpoint: &str, body: &str, resume: Option<String>) {
        let endpoint = match endpoint {
            "chat.completions" => Endpoint::ChatCompletions,
            _ => Endpoint::Completions,
        };
        let (client, request) = (ClientId(client.into()), RequestId(request.into()));
        let resume = resume.map(|resume| serde_json::from_str(&resume)).transpose();
        match serde_json::from_str(body).and_then(|body| Ok((body, resume?))) {
            Ok((body, resume)) => self.tell(Input::Submit { client, request, endpoint, body, resume }),
            Err(error) => {
                let error = ApiError::new(
                    "invalid_request_error",
                    Some("body_not_json"),
                    None,
                    format!("the request can't be read as JSON: {error}"),
                );
                self.output.json(&Message::Error { client, request: Some(request), error });
            }
        }
    }

    /// The client has read a request's chunks up to and including `seq`.
    pub fn ack(&self, client: u32, request: u32, seq: f64) {
        let seq = seq as u64;
        self.tell(Input::Ack { client: ClientId(client.into()), request: RequestId(request.into()), seq });
    }

    /// A request is no longer wanted.
    pub fn cancel(&self, client: u32, request: u32) {
        self.tell(Input::Cancel { client: ClientId(client.into()), request: RequestId(request.into()) });
    }

    /// What goes on, told to `output` as JSON of a `Snapshot` of the scheduler.
    pub fn inspect(&self, client: u32, id: u32) {
        self.tell(Input::Inspect { client: ClientId(client.into()), id: id.into() });
    }

    /// Ends every request and frees the model; resolves when that is done.
    pub async fn shutdown(self) {
        self.tell(Input::Shutdown);
        // It has ended either way.
        let _ = self.ended.await;
    }
}

fn info(id: &str, adapter: &str, service: &Service) -> ModelInfo {
    let memory = service.memory().map_or(Memory { weights: 0, kv: 0, scratch: 0 }, |memory| Memory {
        weights: memory.weights_bytes,
        kv: memory.kv_bytes,
        scratch: memory.scratch_bytes,
    });
    ModelInfo {
        model: id.to_owned(),
        device: if adapter.is_empty() { service.device().to_owned() } else { format!("{adapter} (WebGPU)") },
        family: service.config().map_or("unknown", |config| config.family.name),
        context: service.max_context(),
        vocabulary: service.capacity().vocabulary,
        memory,
    }
}

/// A JS function that takes one string of JSON.
#[derive(Clone)]
pub(crate) struct Callback(pub(crate) Function);

impl Callback {
    pub(crate) fn json(&self, message: &impl Serialize) {
        if let Err(error) = self.0.call1(&JsValue::NULL, &JsValue::from_str(&json(message))) {
            wasm_bindgen::throw_val(error);
        }
    }
}

/// Our messages are structs of strings and numbers, which JSON can always hold.
pub(crate) fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_else(|_| "null".to_owned())
}

/// An error as JS throws it: an object, never a string.
pub(crate) fn thrown(error: &ApiError) -> JsValue {
    JSON::parse(&json(error)).unwrap_or_else(|unreadable| unreadable)
}
