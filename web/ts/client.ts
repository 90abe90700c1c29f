/**
 * The page's side: `connect()`, and the object with OpenAI's methods that it gives.
 *
 * The object outlives its link to the worker. When a link ends (the browser restarted the worker, the page went into the
 * back/forward cache), live requests open a new one and go on over it, as the next request would.
 */

import { ofThisBuild } from "./build-id.js";
import type { ChunkStream } from "./chunk-stream.js";
import { TilewrightError, connectionError, deviceError, lossError } from "./errors.js";
import { Link } from "./link.js";
import { send } from "./live-request.js";
import { poolWorkerAt } from "./housing.js";
import { holdLock, whenReleased } from "./liveness.js";
import { readModelAddress, type ModelAddress } from "./model-address.js";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionRequest,
  Completion,
  CompletionRequest,
} from "./openai.js";
import { PageWatch } from "./page-state.js";
import { openWorker, preferredPlacement, type Placement } from "./placement.js";
import type { DeviceChoice, Endpoint, ModelInfo, Progress, TuningMode } from "./protocol.js";
import type { EngineSnapshot } from "./snapshot.js";
import { tuningOver, type Tuning } from "./tuning.js";

/** This file's own URL, out of the bundler's sight: it would put the worker's script into the bundle. */
const here = import.meta.url;

/** What `connect` takes. */
export interface ConnectOptions {
  /**
   * The URL of a `.gguf` file, the URL of a folder in Hugging Face layout, a repository as `org/name`, or the id of an
   * embedded model. Without it: `smollm2-135m-instruct`, served from `../models/` beside the library's folder.
   */
  model?: string;
  /**
   * What shall compute. `auto`, as without it: the GPU where there is one, else the CPU, and the CPU while a lost GPU is away; a
   * program that pretends to be a GPU, as SwiftShader does, counts as none. `gpu` and `cpu`: only that, and `gpu` takes such a
   * program, too. Tabs that ask for different devices have different engines.
   */
  device?: DeviceChoice;
  /**
   * `auto`, as without it: kernels are measured on this computer's GPU while nobody waits for an answer, for some seconds at the
   * first load, and the fastest are used from then on. `off`: nothing is measured; what is known already is used. Counts if
   * this tab is the one that starts the loading.
   */
  tuning?: TuningMode;
  /**
   * How many threads the CPU computes on, if it does: by default all cores, but one for the page where there are more than two.
   * Tabs that ask for different numbers have different engines.
   */
  threads?: number;
  /** How far loading is; called again if the engine has to be started anew later. */
  onProgress?: (progress: Progress) => void;
  /**
   * What computes was lost and is being replaced (`moving`, requests wait), or something else computes from now on (`ready`).
   */
  onDevice?: (event: DeviceEvent) => void;
  /** The engine failed outside of any request. The next request starts it anew. */
  onError?: (error: TilewrightError) => void;
  /** Where `tilewright-worker.js` is, if not beside this library. It must be of the page's own origin. */
  workerUrl?: string | URL;
  /**
   * How long a server may send nothing of the model before the connection is tried again, in milliseconds (20 000); after
   * three tries without a byte, connecting fails. Counts if this tab is the one that starts the loading.
   */
  stallMs?: number;
  /** Gives up connecting. */
  signal?: AbortSignal;
}

/** What became of the device. */
export type DeviceEvent = { state: "moving"; reason: string } | { state: "ready"; info: ModelInfo };

/** As with the openai package, the second argument of `create`. */
export interface RequestOptions {
  /** Cancels the request; its promise, or the loop over its chunks, rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** `create` of one endpoint: chunks with `stream: true`, one object without. */
export interface Create<Request, Response, Chunk> {
  (body: Request & { stream: true }, options?: RequestOptions): Promise<ChunkStream<Chunk>>;
  (body: Request & { stream?: false | null }, options?: RequestOptions): Promise<Response>;
  (body: Request, options?: RequestOptions): Promise<Response | ChunkStream<Chunk>>;
}

/** A model that is ready to answer. */
export interface Tilewright {
  readonly chat: {
    readonly completions: { readonly create: Create<ChatCompletionRequest, ChatCompletion, ChatCompletionChunk> };
  };
  readonly completions: { readonly create: Create<CompletionRequest, Completion, Completion> };
  /** The model's id. */
  readonly model: string;
  /** What computes, for a person to read. */
  readonly device: string;
  /** Family, context length, memory. */
  readonly info: ModelInfo;
  /**
   * What goes on in the engine: who is connected, what waits and runs, what each KV block holds, how long the latest steps
   * took. Nothing is computed for it unless a page asks, so ask as often as you draw and not at all while nobody looks.
   * Rejects with a `connection_error` if there is no engine to ask.
   */
  inspect(): Promise<EngineSnapshot>;
  /** The tuner of the engine, which all tabs share. */
  readonly tuning: Tuning;
  /** Leaves: open requests fail, and the worker drops the model some time after its last user left. */
  close(): void;
}

/** Opens a model, loading it unless another tab has: then its engine is shared. */
export async function connect(options: ConnectOptions = {}): Promise<Tilewright> {
  options.signal?.throwIfAborted();
  if (!globalThis.isSecureContext) {
    throw deviceError(
      "insecure_context",
      `${location.origin} is not a secure context, so the browser offers neither WebGPU nor locks here; serve the page ` +
        "over https, or from http://localhost",
    );
  }
  const device: string = options.device ?? "auto";
  if (!["auto", "gpu", "cpu"].includes(device)) throw noSuchDevice(device);
  const { threads = 1 } = options;
  if (!Number.isInteger(threads) || threads < 1) throw noSuchThreads(threads);
  const workerUrl = ofThisBuild(new URL(options.workerUrl ?? new URL("tilewright-worker.js", here), location.href));
  const model = readModelAddress(options.model, location.href, workerUrl.href);
  const client = new Client(model, workerUrl, options);
  try {
    await abortable(client.link(), options.signal);
  } catch (error) {
    client.close(error);
    throw error;
  }
  return client.face;
}

function noSuchDevice(device: string): TilewrightError {
  return new TilewrightError({
    type: "invalid_request_error",
    code: "device_unknown",
    param: "device",
    message: `${JSON.stringify(device)} is no device: it must be "auto", "gpu" or "cpu"`,
  });
}

function noSuchThreads(threads: unknown): TilewrightError {
  return new TilewrightError({
    type: "invalid_request_error",
    code: "threads_invalid",
    param: "threads",
    message: `${JSON.stringify(threads)} is no number of threads: it must be a whole number of 1 or more`,
  });
}

class Client {
  readonly #model: ModelAddress;
  readonly #workerUrl: URL;
  readonly #options: ConnectOptions;
  #placement: Placement = preferredPlacement();
  #link: Promise<Link> | undefined;
  #open: Link | undefined;
  #info: ModelInfo | undefined;
  #closed: { reason: unknown } | undefined;
  readonly #page = new PageWatch({ window: globalThis, document }, (state) => this.#open?.state(state));
  /** While the page is in the back/forward cache: a page that is written to, or holds a lock, is thrown out of it. */
  #away: { back: Promise<void>; isBack: () => void } | undefined;

  constructor(model: ModelAddress, workerUrl: URL, options: ConnectOptions) {
    this.#model = model;
    this.#workerUrl = workerUrl;
    this.#options = options;
    addEventListener("pagehide", this.#pageHidden);
    addEventListener("pageshow", this.#pageShown);
  }

  /** What the page is given. */
  get face(): Tilewright {
    const info = (): ModelInfo => {
      if (!this.#info) throw connectionError("not_connected", "this client is not connected");
      return this.#info;
    };
    const create =
      (endpoint: Endpoint) =>
      (body: CompletionBody, options?: RequestOptions): Promise<unknown> =>
        this.#create(endpoint, body, options);
    return {
      chat: { completions: { create: create("chat.completions") as Tilewright["chat"]["completions"]["create"] } },
      completions: { create: create("completions") as Tilewright["completions"]["create"] },
      get model() {
        return info().model;
      },
      get device() {
        return info().device;
      },
      get info() {
        return info();
      },
      inspect: async () => (await this.link()).inspect(),
      tuning: tuningOver(async (command) => (await this.link()).tune(command)),
      close: () => {
        this.close(connectionError("closed", "this client was closed; connect again"));
      },
    };
  }

  /** The open link, or a new one if there is none. */
  async link(): Promise<Link> {
    while (this.#away && !this.#closed) await this.#away.back;
    if (this.#closed) throw this.#closed.reason;
    if (!this.#link) {
      const link = this.#connect();
      this.#link = link;
      link.catch(() => {
        if (this.#link === link) this.#link = undefined;
      });
    }
    return this.#link;
  }

  close(reason: unknown): void {
    if (this.#closed) return;
    this.#closed = { reason };
    removeEventListener("pagehide", this.#pageHidden);
    removeEventListener("pageshow", this.#pageShown);
    this.#page.close();
    this.#away?.isBack();
    this.#open?.end(reason);
  }

  readonly #pageHidden = (event: PageTransitionEvent): void => {
    if (!event.persisted) {
      this.#open?.leave();
      return;
    }
    if (this.#away) return;
    let isBack = (): void => undefined;
    const back = new Promise<void>((resolve) => {
      isBack = resolve;
    });
    this.#away = { back, isBack };
    this.#open?.end(lossError("page_hidden", "the page was left while it connected; connect again"));
  };

  readonly #pageShown = (): void => {
    this.#away?.isBack();
    this.#away = undefined;
  };

  async #connect(): Promise<Link> {
    try {
      return await this.#connectIn(this.#placement);
    } catch (error) {
      const elsewhere = error instanceof TilewrightError && error.code === "webgpu_unavailable" && "gpu" in navigator;
      if (this.#placement !== "shared" || !elsewhere || this.#closed) throw error;
      // This browser gives WebGPU to pages and to dedicated workers only: one engine for this tab, then.
      this.#placement = "dedicated";
      return this.#connectIn("dedicated");
    }
  }

  async #connectIn(placement: Placement): Promise<Link> {
    const client = crypto.randomUUID();
    const lock = `tilewright client ${client}`;
    const unlock = await holdLock(navigator.locks, lock);
    const ended = new AbortController();
    let link: Link;
    try {
      // The browser reports a failure in a later task, when the link is there.
      const opened = openWorker(placement, this.#workerUrl, (error) => {
        link.end(error);
      });
      link = new Link(opened.port, {
        client,
        lock,
        page: { title: document.title, url: location.href },
        state: this.#page.state,
        model: this.#model,
        stallMs: this.#options.stallMs,
        device: this.#options.device,
        tuning: this.#options.tuning,
        threads: this.#options.threads,
        pageGpu: "gpu" in navigator,
        openPool: poolWorkerAt(this.#workerUrl),
        onProgress: this.#options.onProgress,
        onReady: (info) => {
          this.#info = info;
          this.#options.onDevice?.({ state: "ready", info });
        },
        onMoving: (reason) => {
          this.#options.onDevice?.({ state: "moving", reason });
        },
        onError: this.#options.onError,
        onWelcome: (alive) => {
          whenReleased(navigator.locks, alive, ended.signal, () => {
            link.end(lossError("worker_gone", "the worker that runs the model ended; the next request starts it anew"));
          });
        },
        onEnd: () => {
          ended.abort();
          unlock();
          opened.release();
          if (this.#open === link) {
            this.#open = undefined;
            this.#link = undefined;
          }
        },
      });
    } catch (error) {
      unlock();
      throw error;
    }
    this.#open = link;
    if (this.#closed) link.end(this.#closed.reason);
    await link.ready;
    return link;
  }

  async #create(endpoint: Endpoint, body: CompletionBody, options: RequestOptions = {}): Promise<unknown> {
    const { signal: inBody, ...fields } = body;
    const signal = anySignal(options.signal, inBody);
    const streamed = body.stream === true;
    return send(() => this.link(), { endpoint, body: plainJson(fields), streamed, signal });
  }
}

type CompletionBody = (ChatCompletionRequest | CompletionRequest) & { stream?: boolean | null };

/** What JSON keeps of a body: no `undefined`, no functions; a port would refuse the latter with an error that says little. */
function plainJson(fields: object): Record<string, unknown> {
  try {
    return JSON.parse(JSON.stringify(fields)) as Record<string, unknown>;
  } catch (error) {
    throw new TilewrightError(
      {
        type: "invalid_request_error",
        code: "body_not_json",
        param: null,
        message: `the request cannot be written as JSON: ${error instanceof Error ? error.message : String(error)}`,
      },
      { cause: error },
    );
  }
}

function anySignal(a: AbortSignal | undefined, b: AbortSignal | undefined): AbortSignal | undefined {
  return a && b ? AbortSignal.any([a, b]) : (a ?? b);
}

/** A promise, or the signal's reason if that is sooner. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as `fetch`: the reason is the caller's.
      reject(signal.reason);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener("abort", onAbort);
    });
  });
}
