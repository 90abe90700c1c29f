/**
 * The engine itself: the wasm module `tilewright_web`, one instance of it per loaded model.
 *
 * One instance each, because a panic ends an instance for good (a trap leaves its heap as it was, locks held and all), and
 * because each then has 4 GiB of heap of its own. wasm-bindgen's glue is a module with one instance in it, so another
 * instance is the same glue under another address (`?instance=2`); the compiled code is shared. An instance whose model
 * was dropped is used again, a crashed one never.
 */

import { EngineLocks } from "./engine-locks.js";
import type { Engine, EngineEvents, SchedulerSnapshot, StartEngine, StartOptions } from "./engine.js";
import { TilewrightError, serverError, type ErrorObject } from "./errors.js";
import type { Locks } from "./liveness.js";
import { fileNameOf } from "./model-address.js";
import type { ModelFiles } from "./model-files.js";
import { openModelFiles } from "./model-source.js";
import { PoolOpener } from "./pools.js";
import type { DeviceChoice, Endpoint, ModelInfo, PageState, Progress, Resume, TuningMode } from "./protocol.js";
import type { TuningCommand, TuningReply } from "./tuning.js";
import { TuningStore } from "./tuning-store.js";
import { compileModule, importGlue } from "./wasm-files.js";
import { probeWebGpu, requireWebGpu, type AdapterDescription } from "./webgpu.js";

/** What `web/src/lib.rs` exports. */
interface Glue {
  default(options: { module_or_path: WebAssembly.Module }): Promise<{ memory: WebAssembly.Memory }>;
  on_panic(listener: (message: string) => void): void;
  load(
    id: string,
    ggufFile: string | undefined,
    choice: DeviceChoice,
    adapter: AdapterDescription | undefined,
    files: ModelFiles,
    pools: PoolOpener,
    tuning: TuningSetup,
    progress: (json: string) => void,
    output: (json: string) => void,
  ): Promise<WasmEngine>;
  /** Takes a `BenchRequest` and resolves to a report, both as JSON. */
  bench(
    request: string,
    /** JSON of a `BenchTuning`. */
    tuning: string | undefined,
    on: BenchDevice,
    files: ModelFiles | undefined,
    ggufFile: string | undefined,
    progress: (json: string) => void,
  ): Promise<string>;
}

/** What a tuner has: whether it measures by itself, where measurements are kept, and whom it gives way to. */
interface TuningSetup {
  mode: TuningMode;
  store: TuningStore;
  locks: EngineLocks;
}

/** Where a benchmark runs. */
export type BenchDevice = { adapter: AdapterDescription } | { pools: Pick<PoolOpener, "open"> };

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
  /** Takes JSON of a `TuningCommand`. */
  tune(client: number, id: number, command: string): void;
  /** Resolves when the engine has answered everything and let go of the model. */
  shutdown(): Promise<void>;
}

/** What the `output` callback is given, as JSON. */
type WasmOutput =
  | { kind: "chunk"; client: number; request: number; seq: number; chunk: unknown; tokens: number[] }
  | { kind: "done"; client: number; request: number }
  | { kind: "error"; client: number; request?: number; error: ErrorObject }
  | { kind: "snapshot"; client: number; id: number; snapshot: SchedulerSnapshot }
  | { kind: "tuning"; client: number; id: number; answer: TuningReply }
  | { kind: "moving"; reason: string }
  | { kind: "device"; info: ModelInfo }
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
  const adapter = await findAdapter(options);
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

/** The GPU to use; nothing where the CPU is to compute. */
async function findAdapter({ device, pageGpu }: StartOptions): Promise<AdapterDescription | undefined> {
  if (device === "cpu") return undefined;
  try {
    // A program that pretends to be a GPU computes on the CPU, too, and far slower than our own threads do.
    if (device === "auto" && (await requireWebGpu(navigator)).software) return undefined;
    return await probeWebGpu(navigator);
  } catch (error) {
    // Dedicated workers may have it where shared ones don't: the page tries that when it hears of this.
    const elsewhere = !("gpu" in navigator) && pageGpu && "SharedWorkerGlobalScope" in globalThis;
    if (device === "gpu" || elsewhere) throw error;
    return undefined;
  }
}

async function load(
  instance: Instance,
  adapter: AdapterDescription | undefined,
  options: StartOptions,
  meter: Meter,
): Promise<Engine> {
  const { address, events, signal, stallMs, threads, hosts, device, tuning } = options;
  const onFile = (file: string, cached: boolean): void => {
    meter.file(file, cached);
  };
  const files = await openModelFiles(address, { stallMs, signal, onFile });
  // Pools are opened for as long as the engine lives: loading may be given up, and a loaded engine closed.
  const life = new AbortController();
  const giveUp = (): void => {
    life.abort(signal.reason);
  };
  signal.addEventListener("abort", giveUp);
  const locks = (navigator as { locks?: Locks }).locks;
  const pools = new PoolOpener({
    hosts,
    load: { model: address, stallMs: stallMs ?? null, threads, subject: null },
    locks,
    signal: life.signal,
    onFile,
  });
  const made: { engine?: LoadedEngine } = {};
  let wasm: WasmEngine;
  try {
    wasm = await instance.glue.load(
      address.id,
      address.layout === "gguf" ? fileNameOf(address) : undefined,
      device,
      adapter,
      files,
      pools,
      { mode: tuning, store: new TuningStore(), locks: new EngineLocks() },
      (json) => {
        meter.say(JSON.parse(json) as WasmProgress);
      },
      (json) => {
        const output = JSON.parse(json) as WasmOutput;
        if (output.kind === "device" && made.engine) made.engine.info = output.info;
        tell(output, events);
      },
    );
  } catch (error) {
    life.abort();
    throw await files.explain(error);
  }
  signal.removeEventListener("abort", giveUp);
  const loaded = new LoadedEngine(instance, wasm, life);
  made.engine = loaded;
  if (loaded.info.kind === "gpu") {
    const notice = [loaded.info.notice, files.notice].filter((part) => part != null).join(" ");
    loaded.info = { ...loaded.info, notice: notice || null };
  }
  return loaded;
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
    case "tuning":
      events.tuning(output.client, output.id, output.answer);
      return;
    case "moving":
      events.moving(output.reason);
      return;
    case "device":
      events.device(output.info);
      return;
    case "ended":
      events.crashed(output.error);
  }
}

class LoadedEngine implements Engine {
  info: ModelInfo;
  readonly #life: AbortController;
  readonly #instance: Instance;
  readonly #wasm: WasmEngine;

  constructor(instance: Instance, wasm: WasmEngine, life: AbortController) {
    this.#life = life;
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

  tune(client: number, id: number, command: TuningCommand): void {
    this.#call(() => {
      this.#wasm.tune(client, id, JSON.stringify(command));
    });
  }

  close(): void {
    this.#life.abort();
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
  const glue = await importGlue<Glue>("tilewright_web.js", `?instance=${number}`);
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
  compiled ??= compileModule("tilewright_web_bg.wasm");
  try {
    return await compiled;
  } catch (error) {
    compiled = undefined;
    throw error;
  }
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
