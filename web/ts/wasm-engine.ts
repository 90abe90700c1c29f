/**
 * The engine itself: the wasm module `tilewright_web`, one instance of it per loaded model.
 *
 * One instance each, because a panic ends an instance for good (a trap leaves its heap as it was, locks held and all), and
 * because each then has 4 GiB of heap of its own. wasm-bindgen's glue is a module with one instance in it, so another
 * instance is the same glue under another address (`?instance=2`); the compiled code is shared. An instance whose model
 * was dropped is used again, a crashed one never.
 */

import { ofThisBuild } from "./build-id.js";
import type { Engine, EngineEvents, SchedulerSnapshot, StartEngine, StartOptions } from "./engine.js";
import { TilewrightError, connectionError, serverError, toErrorObject, type ErrorObject } from "./errors.js";
import { openFileCache } from "./file-cache.js";
import { fileNameOf, type ModelAddress } from "./model-address.js";
import { HttpModelFiles, type ModelFiles } from "./model-files.js";
import type { Endpoint, ModelInfo, PageState, Progress, Resume } from "./protocol.js";
import { requireWebGpu, type AdapterDescription } from "./webgpu.js";

/** This file's own URL, out of the bundler's sight: it would put the wasm into the bundle. */
const here = import.meta.url;

/** What `web/src/lib.rs` exports. */
interface Glue {
  default(options: { module_or_path: WebAssembly.Module }): Promise<{ memory: WebAssembly.Memory }>;
  on_panic(listener: (message: string) => void): void;
  load(
    id: string,
    ggufFile: string | undefined,
    adapter: AdapterDescription,
    files: ModelFiles,
    progress: (json: string) => void,
    output: (json: string) => void,
  ): Promise<WasmEngine>;
  /** Takes a `BenchRequest` and resolves to a report as JSON; without an adapter it computes on the CPU. */
  bench(
    request: string,
    adapter: AdapterDescription | undefined,
    files: ModelFiles | undefined,
    ggufFile: string | undefined,
    progress: (json: string) => void,
  ): Promise<string>;
}

interface WasmEngine {
  /** JSON of a `ModelInfo`. */
  info(): string;
  hello(client: number): void;
  state(client: number, visible: boolean, focused: boolean, frozen: boolean): void;
  gone(client: number): void;
  submit(client: number, request: number, endpoint: Endpoint, body: string, resume: string | undefined): void;
  cancel(client: number, request: number): void;
  ack(client: number, request: number, seq: number): void;
  inspect(client: number, id: number): void;
  /** Resolves when the engine has answered everything and let go of the model. */
  shutdown(): Promise<void>;
}

/** What the `output` callback is given, as JSON. */
type WasmOutput =
  | { kind: "chunk"; client: number; request: number; seq: number; chunk: unknown; tokens: number[] }
  | { kind: "done"; client: number; request: number }
  | { kind: "error"; client: number; request?: number; error: ErrorObject }
  | { kind: "snapshot"; client: number; id: number; snapshot: SchedulerSnapshot }
  | { kind: "ended"; error: ErrorObject };

/** What the `progress` callback is given, as JSON. */
type WasmProgress = Pick<Progress, "phase" | "loaded" | "total">;

/** Between two progress messages of one phase. */
const PROGRESS_MS = 50;

/** The module, with a heap of its own. */
export interface Instance {
  glue: Glue;
  number: number;
  memory: WebAssembly.Memory;
  /** Called when it traps; there is one model per instance. */
  trapped: (error: ErrorObject) => void;
}

const idle: Instance[] = [];
const live = new Map<number, Instance>();
let compiled: Promise<WebAssembly.Module> | undefined;
let instances = 0;

/** Loads a model into an instance of its own. */
export const startWasmEngine: StartEngine = async (options) => {
  const meter = new Meter(options.events);
  meter.say({ phase: "starting", loaded: 0, total: null });
  const adapter = await requireWebGpu(navigator);
  const instance = await takeInstance();
  const trap = new Promise<never>((_, reject) => {
    instance.trapped = (error) => {
      retire(instance);
      options.events.crashed(error);
      reject(new TilewrightError(error));
    };
  });
  // If it traps later, `crashed` has said so.
  trap.catch(() => undefined);
  try {
    return await Promise.race([trap, load(instance, adapter, options, meter)]);
  } catch (error) {
    if (live.has(instance.number)) idle.push(instance);
    options.signal.throwIfAborted();
    throw error;
  }
};

async function load(
  instance: Instance,
  adapter: AdapterDescription,
  options: StartOptions,
  meter: Meter,
): Promise<Engine> {
  const { address, events, signal, stallMs } = options;
  const files = new HttpModelFiles(address, await openFileCache(), {
    ...(stallMs === undefined ? {} : { stallMs }),
    signal,
    onBytes: (file, _loaded, _length, cached) => {
      meter.file(file, cached);
    },
  });
  let wasm: WasmEngine;
  try {
    wasm = await instance.glue.load(
      address.id,
      address.layout === "gguf" ? fileNameOf(address) : undefined,
      adapter,
      files,
      (json) => {
        meter.say(JSON.parse(json) as WasmProgress);
      },
      (json) => {
        tell(JSON.parse(json) as WasmOutput, events);
      },
    );
  } catch (error) {
    if (toErrorObject(error).code === "file_damaged") await files.forget();
    throw files.failure ?? naming(address, error);
  }
  return new LoadedEngine(instance, wasm);
}

function tell(output: WasmOutput, events: EngineEvents): void {
  switch (output.kind) {
    case "chunk":
      events.chunk(output.client, output.request, output.seq, output.chunk, output.tokens);
      return;
    case "done":
      events.done(output.client, output.request);
      return;
    case "error":
      events.error(output.client, output.request, output.error);
      return;
    case "snapshot":
      events.snapshot(output.client, output.id, output.snapshot);
      return;
    case "ended":
      events.crashed(output.error);
  }
}

/** The engine knows a model's files by their names alone. */
function naming(address: ModelAddress, error: unknown): unknown {
  const object = toErrorObject(error);
  const ofTheFiles = ["file_not_found", "file_damaged", "model_not_supported"].includes(object.code ?? "");
  return ofTheFiles ? new TilewrightError({ ...object, message: `${address.url}: ${object.message}` }) : error;
}

class LoadedEngine implements Engine {
  readonly info: ModelInfo;
  readonly #instance: Instance;
  readonly #wasm: WasmEngine;

  constructor(instance: Instance, wasm: WasmEngine) {
    this.#instance = instance;
    this.#wasm = wasm;
    this.info = JSON.parse(wasm.info()) as ModelInfo;
  }

  hello(client: number): void {
    this.#call(() => {
      this.#wasm.hello(client);
    });
  }

  state(client: number, { visible, focused, frozen }: PageState): void {
    this.#call(() => {
      this.#wasm.state(client, visible, focused, frozen);
    });
  }

  gone(client: number): void {
    this.#call(() => {
      this.#wasm.gone(client);
    });
  }

  submit(client: number, request: number, endpoint: Endpoint, body: unknown, resume: Resume | null): void {
    this.#call(() => {
      this.#wasm.submit(client, request, endpoint, JSON.stringify(body), resume ? JSON.stringify(resume) : undefined);
    });
  }

  cancel(client: number, request: number): void {
    this.#call(() => {
      this.#wasm.cancel(client, request);
    });
  }

  ack(client: number, request: number, seq: number): void {
    this.#call(() => {
      this.#wasm.ack(client, request, seq);
    });
  }

  inspect(client: number, id: number): void {
    this.#call(() => {
      this.#wasm.inspect(client, id);
    });
  }

  close(): void {
    this.#call(() => {
      void this.#wasm.shutdown().then(() => {
        if (live.has(this.#instance.number)) idle.push(this.#instance);
      });
    });
  }

  /** A trap in a call is a crash, and not the caller's error. */
  #call(work: () => void): void {
    if (!live.has(this.#instance.number)) return;
    try {
      work();
    } catch (error) {
      this.#instance.trapped(crash(error));
    }
  }
}

/** An instance that nobody uses, or a new one. */
export async function takeInstance(): Promise<Instance> {
  const rested = idle.pop();
  if (rested) return rested;
  const module = await compile();
  const number = ++instances;
  const address = ofThisBuild(new URL(`tilewright_web.js?instance=${number}`, here)).href;
  let glue: Glue;
  try {
    glue = (await import(/* @vite-ignore */ address)) as Glue;
  } catch (error) {
    throw filesMissing("tilewright_web.js", error);
  }
  const { memory } = await glue.default({ module_or_path: module });
  const instance: Instance = {
    glue,
    number,
    memory,
    trapped: () => {
      retire(instance);
    },
  };
  live.set(number, instance);
  glue.on_panic((message) => {
    instance.trapped(crash(message));
  });
  return instance;
}

function retire(instance: Instance): void {
  live.delete(instance.number);
  const at = idle.indexOf(instance);
  if (at >= 0) idle.splice(at, 1);
  instance.trapped = () => undefined;
}

async function compile(): Promise<WebAssembly.Module> {
  compiled ??= fetchModule();
  try {
    return await compiled;
  } catch (error) {
    compiled = undefined;
    throw error;
  }
}

async function fetchModule(): Promise<WebAssembly.Module> {
  const url = ofThisBuild(new URL("tilewright_web_bg.wasm", here)).href;
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    // Compiling while it arrives, and the browser's code cache, need the right type; without it, the slow way.
    if (response.headers.get("content-type")?.startsWith("application/wasm")) {
      return await WebAssembly.compileStreaming(response);
    }
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (error) {
    throw filesMissing("tilewright_web_bg.wasm", error);
  }
}

function filesMissing(name: string, error: unknown): TilewrightError {
  const detail = error instanceof Error ? error.message : String(error);
  return connectionError(
    "library_file_missing",
    `${new URL(name, here).href} could not be loaded (${detail}); the library's files have to lie in one folder`,
  );
}

function crash(error: unknown): ErrorObject {
  const detail = error instanceof Error ? error.message : String(error);
  return serverError(
    "engine_crashed",
    `the engine crashed (${detail}) and will be started anew by the next request; please report what led to it`,
  ).toJSON();
}

/**
 * Traps that no call of ours sees: in a task that the browser resumed. A panic was reported by its hook before; what is
 * left is memory that ran out, and defects of the compiler or browser. A stack that names an instance names the crashed one.
 */
export function watchTraps(scope: EventTarget): void {
  const check = (error: unknown): void => {
    if (!(error instanceof WebAssembly.RuntimeError)) return;
    const named = /tilewright_web\.js\?instance=(\d+)/.exec(error.stack ?? "")?.[1];
    const instance = named === undefined ? undefined : live.get(Number(named));
    if (named !== undefined && !instance) return;
    for (const trapped of instance ? [instance] : [...live.values()]) trapped.trapped(crash(error));
  };
  scope.addEventListener("error", (event) => {
    check((event as ErrorEvent).error);
  });
  scope.addEventListener("unhandledrejection", (event) => {
    check((event as PromiseRejectionEvent).reason);
  });
}

/** Gathers what the engine and the files say of the loading into one `Progress`, and passes it on not too often. */
class Meter {
  readonly #events: EngineEvents;
  #progress: Progress = { phase: "starting", loaded: 0, total: null, file: null, cached: false };
  #saidAt = -Infinity;

  constructor(events: EngineEvents) {
    this.#events = events;
  }

  /** Which file is being read; said with the next step of the engine, which takes what was read. */
  file(file: string, cached: boolean): void {
    this.#progress = { ...this.#progress, file, cached };
  }

  say(step: WasmProgress): void {
    const time = performance.now();
    const worthIt = step.phase !== this.#progress.phase || time - this.#saidAt >= PROGRESS_MS;
    this.#progress = { ...this.#progress, ...step };
    if (!worthIt) return;
    this.#saidAt = time;
    this.#events.progress(this.#progress);
  }
}
