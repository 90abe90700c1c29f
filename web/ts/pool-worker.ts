/**
 * The script of a CPU pool's worker: a dedicated worker of one page, with threads of its own, spoken to by the scheduler
 * over a port that the page passed on. It reads models from the browser's storage itself.
 *
 * Threads need memory that workers share, and a browser shares it only with pages that are cross-origin isolated. Without
 * that the same module computes on one thread, and says which headers are missing.
 */

import { connectionError, serverError, toErrorObject, type ErrorObject } from "./errors.js";
import { holdLock, type Locks } from "./liveness.js";
import type { ModelFiles } from "./model-files.js";
import { openModelFiles } from "./model-source.js";
import { fileNameOf } from "./model-address.js";
import { readToPool, type FromPool, type PoolLoad, type ToPool } from "./pool-protocol.js";
import { threadCount } from "./threads.js";
import { compileModule, importGlue } from "./wasm-files.js";
import type { Progress } from "./protocol.js";

/** What `web-cpu/src/lib.rs` exports. */
interface Glue {
  default(options: { module_or_path: WebAssembly.Module; memory: WebAssembly.Memory }): Promise<unknown>;
  on_panic(listener: (message: string) => void): void;
  /** Whether this browser's vectors compute what they should; asked before anything else. */
  vectors_are_right(): boolean;
  initThreadPool(threads: number): Promise<void>;
  load(
    ggufFile: string | undefined,
    files: ModelFiles,
    memoryBytes: number,
    progress: (json: string) => void,
  ): Promise<WasmPool>;
  /** What a benchmark asks for: `request` is a `BenchRequest` as JSON; a shape has no files. */
  load_subject(
    request: string,
    ggufFile: string | undefined,
    files: ModelFiles | undefined,
    memoryBytes: number,
    progress: (json: string) => void,
  ): Promise<WasmPool>;
}

interface WasmPool {
  description(): Uint8Array;
  step(question: Uint8Array): Promise<Uint8Array>;
}

/** How long the threads may take to start, in milliseconds. A pool that can't start them says nothing. */
const THREADS_MS = 10_000;
/** Between two words of how far loading is, in milliseconds. */
const PROGRESS_MS = 50;
/** Most that the module may have, and what is tried where that is too much to reserve (phones, 32 bits). */
const MEMORY_PAGES = [65_536, 32_768, 16_384, 8_192];
const FIRST_PAGES = 256;
const PAGE_BYTES = 65_536;

let say: (message: FromPool, transfer?: Transferable[]) => void = () => undefined;
let memory: WebAssembly.Memory | undefined;
let memoryBytes = 0;
let over = false;
let pool: WasmPool | undefined;

self.addEventListener("message", (event: MessageEvent) => {
  const [port] = event.ports;
  if (port) void connected(port);
});

async function connected(port: MessagePort): Promise<void> {
  say = (message, transfer = []) => {
    port.postMessage(message, transfer);
  };
  port.addEventListener("message", (event: MessageEvent<unknown>) => {
    const message = readToPool(event.data);
    if (message) heard(message);
  });
  port.start();
  const locks = (navigator as { locks?: Locks }).locks;
  const lock = `tilewright pool ${crypto.randomUUID()}`;
  const held = locks && (await holdLock(locks, lock).catch(() => undefined));
  say({ type: "hello", lock: held ? lock : null });
}

function heard(message: ToPool): void {
  if (over) return;
  if (message.type === "load") {
    load(message).catch((error: unknown) => {
      end("failed", isTrap(error) ? trapped(error) : toErrorObject(error));
    });
    return;
  }
  const { id, question } = message;
  if (!pool) return;
  try {
    pool.step(question).then((answer) => {
      say({ type: "answer", id, answer, heapBytes: heapBytes() }, [answer.buffer]);
    }, crashed);
  } catch (error) {
    crashed(error);
  }
}

async function load({ model, stallMs, threads, subject }: PoolLoad): Promise<void> {
  const notices: string[] = [];
  const isolated = globalThis.crossOriginIsolated;
  if (!isolated) notices.push(NOT_ISOLATED);
  const glue = await start(isolated ? threadCount(navigator.hardwareConcurrency, threads) : 1, notices);

  let file: string | null = null;
  let cached = false;
  let saidAt = -Infinity;
  let phase: Progress["phase"] = "starting";
  const options = {
    stallMs: stallMs ?? undefined,
    onFile: (name: string, fromStorage: boolean): void => {
      [file, cached] = [name, fromStorage];
    },
  };
  const files = model ? await openModelFiles(model, options) : undefined;
  try {
    const progress = (json: string): void => {
      const step = JSON.parse(json) as Pick<Progress, "phase" | "loaded" | "total">;
      const now = performance.now();
      if (step.phase === phase && now - saidAt < PROGRESS_MS) return;
      [phase, saidAt] = [step.phase, now];
      say({ type: "progress", progress: { ...step, file, cached } });
    };
    const gguf = model?.layout === "gguf" ? fileNameOf(model) : undefined;
    if (subject !== null) pool = await glue.load_subject(subject, gguf, files, memoryBytes, progress);
    else if (files) pool = await glue.load(gguf, files, memoryBytes, progress);
    else throw connectionError("pool_failed", "the CPU engine was given no model to load");
  } catch (error) {
    throw files ? await files.explain(error) : error;
  }
  const description = pool.description();
  if (files?.notice !== undefined) notices.push(files.notice);
  say({ type: "loaded", description, notice: notices.join(" ") || null, heapBytes: heapBytes() }, [description.buffer]);
}

/** The module with its threads; with one, if they do not start. */
async function start(threads: number, notices: string[]): Promise<Glue> {
  const { glue, again } = await bestModule();
  if (threads === 1) return glue;
  try {
    await inTime(glue.initThreadPool(threads));
    return glue;
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    notices.push(
      `The CPU computes on one thread only, because its ${threads} threads did not start (${detail}): see that the library's ` +
        "folder is served whole, with its snippets/ and the page's headers, and that a content security policy allows blob: workers.",
    );
    // What has started waits for ever, in a memory that nothing else uses.
    return again();
  }
}

interface Loaded {
  glue: Glue;
  /** Another instance, with a memory of its own. */
  again: () => Promise<Glue>;
}

/** The module with relaxed SIMD where the browser reads it and computes it right: V8 11.3 reads it and computes it wrong. */
async function bestModule(): Promise<Loaded> {
  if (hasRelaxedSimd()) {
    const relaxed = await loadModule("tilewright_cpu");
    if (relaxed.glue.vectors_are_right()) return relaxed;
  }
  return loadModule("tilewright_cpu_plain");
}

async function loadModule(name: string): Promise<Loaded> {
  const module = await compileModule(`${name}_bg.wasm`);
  const instance = async (query: string): Promise<Glue> => {
    const glue = await importGlue<Glue>(`${name}.js`, query);
    memory = makeMemory();
    await glue.default({ module_or_path: module, memory });
    glue.on_panic((words) => {
      crashed(new Error(words));
    });
    return glue;
  };
  return { glue: await instance(""), again: () => instance("?threads=1") };
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`nothing was heard of them for ${THREADS_MS / 1000} s`));
    }, THREADS_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const NOT_ISOLATED =
  "The CPU computes on one thread only, because this page is not cross-origin isolated: serve it with the headers " +
  "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.";

/** A memory that threads can share, as large as this machine can reserve. */
function makeMemory(): WebAssembly.Memory {
  let refused: unknown;
  for (const maximum of MEMORY_PAGES) {
    try {
      const made = new WebAssembly.Memory({ initial: FIRST_PAGES, maximum, shared: true });
      memoryBytes = maximum * PAGE_BYTES;
      return made;
    } catch (error) {
      refused = error;
    }
  }
  const detail = refused instanceof Error ? refused.message : String(refused);
  throw connectionError(
    "no_shared_memory",
    `this browser gives the CPU engine no memory (${detail}); serve the page with the headers Cross-Origin-Opener-Policy: ` +
      "same-origin and Cross-Origin-Embedder-Policy: require-corp, or close other tabs",
  );
}

/** A function with one instruction of relaxed SIMD (`i8x16.relaxed_swizzle`): a browser either reads it or not. */
const RELAXED = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
];

function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(new Uint8Array(RELAXED));
}

function heapBytes(): number {
  return memory?.buffer.byteLength ?? 0;
}

function isTrap(error: unknown): boolean {
  return error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
}

/** A trap's cause is in no error object; memory that is used up leaves its size as a trace. */
function trapped(error: unknown): ErrorObject {
  const detail = error instanceof Error ? error.message : String(error);
  if (outOfMemory()) return OUT_OF_MEMORY.toJSON();
  return serverError("engine_crashed", `the CPU engine crashed (${detail}); please report what led to it`).toJSON();
}

const OUT_OF_MEMORY = connectionError(
  "out_of_memory",
  "the CPU engine ran out of memory; close other tabs, or use a smaller or a more strongly quantized model",
);

function outOfMemory(): boolean {
  if (!memory) return false;
  try {
    memory.grow(1024);
    return false;
  } catch {
    return true;
  }
}

function crashed(error: unknown): void {
  end(pool ? "crashed" : "failed", trapped(error));
}

function end(type: "failed" | "crashed", error: ErrorObject): void {
  if (over) return;
  over = true;
  say({ type, error });
}

// Traps that no call of ours sees: in a task that the browser resumed.
self.addEventListener("error", (event) => {
  if (isTrap(event.error)) crashed(event.error);
});
self.addEventListener("unhandledrejection", (event) => {
  if (isTrap(event.reason)) crashed(event.reason);
});
