//! A running service, told things by calls and answering by one callback.
//!
//! The service is one task on the browser's event loop. Calls put what they say into its queue and return at once; what
//! comes of it is told to `output`. Nothing here waits for a timer, which a hidden tab would slow.

use crate::clock::clock;
use crate::devices::{Choice, Current, Devices};
use crate::messages::{Memory, Message, ModelInfo};
use crate::pools::Pools;
use crate::tuning::{Tuning, TuningSetup};
use futures_channel::{mpsc, oneshot};
use js_sys::Function;
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use tilewright_api::ApiError;
use tilewright_host::{
    Activity, ClientId, Endpoint, Input, LoadError, ModelFiles, ModelLayout, Phase, Progress, RequestId, Service,
};
use tilewright_web_io::{Callback, JsModelFiles, Loading, json, thrown};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

/// A model that answers. It lives until [`shutdown`](Engine::shutdown).
#[wasm_bindgen]
pub struct Engine {
    info: String,
    inputs: mpsc::UnboundedSender<Input>,
    output: Callback,
    ended: oneshot::Receiver<()>,
    tuning: Rc<Tuning>,
}

/// Loads a model and starts answering. `gguf_file` is the file's name, or nothing for a folder in Hugging Face layout;
/// `choice` is `auto`, `gpu` or `cpu`, and `adapter` there if there is a GPU; `progress` and `output` are called with JSON (`WasmProgress` and `WasmOutput` of wasm-engine.ts).
///
/// # Errors
/// An `ErrorObject` of errors.ts.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)] // They are what the other side has, one by one.
pub async fn load(
    id: String,
    gguf_file: Option<String>,
    choice: &str,
    adapter: Option<Adapter>,
    files: JsModelFiles,
    pools: Pools,
    tuning: TuningSetup,
    progress: Function,
    output: Function,
) -> Result<Engine, JsValue> {
    let (inputs, queue) = mpsc::unbounded();
    let (replace, files): (_, Rc<dyn ModelFiles>) = (inputs.clone(), Rc::new(files));
    let facts = adapter.as_ref().map(Adapter::facts).unwrap_or_default();
    let activity = Activity::default();
    let tuning = Rc::new(Tuning::new(id.clone(), &tuning, &facts, activity.clone()));
    let devices = Rc::new(Devices {
        choice: Choice::read(choice),
        files: Rc::clone(&files),
        layout: gguf_file.map_or(ModelLayout::HuggingFace, |file| ModelLayout::Gguf { file }),
        adapter: adapter.map(|adapter| (adapter.name(), adapter.software())),
        pools,
        clock: Box::new(clock()),
        back_off: RefCell::default(),
        current: RefCell::default(),
        returned: RefCell::default(),
        watched: RefCell::default(),
        tuning: Rc::clone(&tuning),
        replace: Box::new(move |reason| {
            // An engine that has ended needs none.
            let _ = replace.unbounded_send(Input::ExecutorGone { reason });
        }),
        pool_progress: progress.clone(),
    });
    let service = start(&id, &devices, &Callback(progress)).await.map_err(|error| {
        tuning.end();
        thrown(&ApiError::from(&error))
    })?;
    let service = service.with_activity(activity);
    let about = About { id, devices: Rc::downgrade(&devices), model: ModelInfo::of(&service) };
    let service = service.with_executor_source(move || Rc::clone(&devices).another());
    Ok(Engine::run(about, service, (inputs, queue), Callback(output), tuning))
}

#[wasm_bindgen]
extern "C" {
    /// `AdapterDescription` of webgpu.ts.
    pub type Adapter;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn name(this: &Adapter) -> String;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn software(this: &Adapter) -> bool;

    /// JSON of `AdapterFacts` of adapter-facts.ts.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn facts(this: &Adapter) -> String;
}

async fn start(id: &str, devices: &Rc<Devices>, progress: &Callback) -> Result<Service, LoadError> {
    let mut tell = |now| progress.json(&Loading::from(now));
    tell(Progress { phase: Phase::Files, loaded_bytes: 0, total_bytes: None });
    let files = Rc::clone(&devices.files);
    tilewright_host::load_with(&*files, devices.layout.clone(), id, async || devices.open(&mut tell).await).await
}

/// What pages are told of a model: what it is, and what computes it now.
struct About {
    id: String,
    /// The service holds it, and ends when it does.
    devices: Weak<Devices>,
    model: ModelInfo,
}

impl About {
    fn now(&self) -> ModelInfo {
        let mut info = ModelInfo { model: self.id.clone(), ..self.model.clone() };
        let current = self.devices.upgrade().and_then(|devices| devices.current.borrow().clone());
        if let Some(Current { name, on_gpu, memory, notice }) = current {
            (info.device, info.notice) = (name, notice);
            info.kind = if on_gpu { "gpu" } else { "cpu" };
            info.memory = Memory { weights: memory.weights_bytes, kv: memory.kv_bytes, scratch: memory.scratch_bytes };
        }
        info
    }
}

impl Engine {
    fn run(
        about: About,
        service: Service,
        (inputs, queue): (mpsc::UnboundedSender<Input>, mpsc::UnboundedReceiver<Input>),
        output: Callback,
        tuning: Rc<Tuning>,
    ) -> Self {
        let (end, ended) = oneshot::channel();
        let (info, emit) = (json(&about.now()), output.clone());
        let ending = Rc::downgrade(&tuning);
        spawn_local(async move {
            let say = |output| emit.json(&Message::of(output, || about.now()));
            service.serve(queue, clock(), say).await;
            ending.upgrade().inspect(|tuning| tuning.end());
            // Whoever shut it down may not wait for it.
            let _ = end.send(());
        });
        Self { info, inputs, output, ended, tuning }
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

    /// Has the tuner do something: `command` is JSON of a `TuningCommand` of tuning.ts; `output` is told a `TuningAnswer`.
    pub fn tune(&self, client: u32, id: u32, command: String) {
        let (tuning, output) = (Rc::clone(&self.tuning), self.output.clone());
        let client = ClientId(client.into());
        spawn_local(async move {
            output.json(&match tuning.answer(&command).await {
                Ok(answer) => Message::Tuning { client, id, answer },
                Err(error) => Message::Error { client, request: Some(RequestId(id.into())), error },
            });
        });
    }

    /// Ends every request and frees the model; resolves when that is done.
    pub async fn shutdown(self) {
        self.tell(Input::Shutdown);
        // It has ended either way.
        let _ = self.ended.await;
    }
}
