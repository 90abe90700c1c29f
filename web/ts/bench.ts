/**
 * `import { runBench } from "tilewright/bench"`: how fast this browser reads prompts and decodes tokens.
 *
 * ```js
 * const report = await runBench({ shape: "qwen2-0.5b", prompt: 480, generate: 128, concurrency: [1, 8, 32] });
 * ```
 *
 * The executor is timed alone, without tokenizer and scheduler, in a worker of its own that is of the same kind as the
 * engine's, and on the CPU with a pool of threads of its own beside it; the report is the object that `tilewright bench --json` prints, with what the browser knows besides. A worker
 * serves one benchmark and ends, and its memory with it.
 */

import { ofThisBuild } from "./build-id.js";
import { endToEnd, type EndToEnd } from "./bench-end-to-end.js";
import {
  readBenchOptions,
  type BenchOptions,
  type BenchProgress,
  type BenchSampling,
  type Figures,
} from "./bench-options.js";
import type { BenchAdapter, FromBench, ToBench } from "./bench-worker.js";
import { TilewrightError, connectionError } from "./errors.js";
import { readModelAddress } from "./model-address.js";
import type { TuningStatus } from "./tuning.js";

export type { BenchAdapter, BenchOptions, BenchProgress, BenchSampling, EndToEnd, Figures };
export { TilewrightError };

/** The figures of the median run, and of all. */
export interface BenchRun extends Figures {
  /** Of the first sequence: runs that should agree can be compared. */
  last_ids: number[];
  kernels: { kernel: string; dispatches: number; total_us: number }[];
  samples: Figures[];
}

/** What `tilewright bench --json` prints, and what the browser knows besides. */
export interface BenchReport {
  model: string;
  device: string;
  version: string;
  prompt: number;
  generate: number;
  repeats: number;
  /** How tokens were drawn. */
  sampling: Required<BenchSampling>;
  weights_bytes: number;
  kv_bytes: number;
  scratch_bytes: number;
  weight_bytes_per_step: number;
  dispatches_per_step: number;
  depth: number;
  max_rows: number;
  load_ms: number;
  runs: BenchRun[];
  build: string;
  worker: "shared" | "dedicated";
  /** Why the CPU has one thread only, if it has. */
  notice: string | null;
  /** `null` on the CPU. */
  adapter: BenchAdapter | null;
  user_agent: string;
  cross_origin_isolated: boolean;
  /** The most that the wasm module which computes ever had; on the CPU, weights and all. */
  wasm_heap_bytes: number;
  end_to_end?: EndToEnd;
  /** What tuning did, where it was asked for; `runs` are those after it. */
  tuning?: {
    /** The runs before it. */
    untuned: BenchRun[];
    status: TuningStatus;
    /** What was measured, as the text of a file for `tilewright db`. */
    file: string;
  };
}

type Placement = BenchReport["worker"];
type Run = Omit<ToBench & { type: "run" }, "type">;

/** This file's own URL, out of the bundler's sight. */
const here = import.meta.url;

/** There is no GPU to be had, which is no fault of the benchmark's. */
const NO_GPU = ["webgpu_unavailable", "webgpu_no_adapter"];

/** Times a model or a shape. Rejects with a `TilewrightError`. */
export async function runBench(options: BenchOptions = {}): Promise<BenchReport> {
  const { request, device, threads, tune, endToEnd: alsoEndToEnd } = readBenchOptions(options);
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const address = request.shape === null ? readModelAddress(request.model, location.href, here) : null;
  const report = await onDevice({ request, address, device, threads, tune }, { signal, onProgress });
  if (alsoEndToEnd) report.end_to_end = await endToEnd({ request, device, threads }, { signal, onProgress });
  return report;
}

/** What a caller watches with, if anything. */
interface Watching {
  signal: AbortSignal | undefined;
  onProgress: ((progress: BenchProgress) => void) | undefined;
}

async function onDevice(run: Run, watching: Watching): Promise<BenchReport> {
  if (run.device === "cpu") return inWorker("dedicated", run, watching);
  try {
    return await onGpu(run, watching);
  } catch (error) {
    if (run.device === "gpu" || !isNoGpu(error)) throw error;
    return inWorker("dedicated", { ...run, device: "cpu" }, watching);
  }
}

/** Where the engine would run: in a SharedWorker, or in a dedicated one where only those have WebGPU. */
async function onGpu(run: Run, watching: Watching): Promise<BenchReport> {
  if (typeof SharedWorker === "undefined") return inWorker("dedicated", run, watching);
  try {
    return await inWorker("shared", run, watching);
  } catch (error) {
    if (!(error instanceof TilewrightError && error.code === "webgpu_unavailable")) throw error;
    return inWorker("dedicated", run, watching);
  }
}

function isNoGpu(error: unknown): boolean {
  return error instanceof TilewrightError && NO_GPU.includes(error.code ?? "");
}

function inWorker(placement: Placement, run: Run, watching: Watching): Promise<BenchReport> {
  const { signal, onProgress } = watching;
  const ended = new AbortController();
  return new Promise<BenchReport>((resolve, reject) => {
    const { port, worker, end } = open(placement);
    ended.signal.addEventListener("abort", end);
    signal?.addEventListener(
      "abort",
      () => {
        reject(signal.reason as Error);
      },
      { signal: ended.signal },
    );
    worker.addEventListener("error", (event) => {
      const detail = event instanceof ErrorEvent && event.message ? `: ${event.message}` : "";
      reject(
        connectionError(
          "worker_failed",
          `the benchmark's worker ${workerUrl().href} could not be started or broke off${detail}`,
        ),
      );
    });
    let done = 0;
    const of = run.request.concurrency.length * run.request.repeats;
    port.addEventListener("message", ({ data }) => {
      const message = data as FromBench;
      if (message.type === "report") resolve(message.report as BenchReport);
      else if (message.type === "error") reject(new TilewrightError(message.error));
      else onProgress?.(progressOf(message.progress, () => [++done, of]));
    });
    port.start();
    port.postMessage({ type: "run", ...run } satisfies ToBench);
  }).finally(() => {
    ended.abort();
  });
}

function progressOf(told: (FromBench & { type: "progress" })["progress"], next: () => [number, number]): BenchProgress {
  if ("phase" in told) {
    const { phase, loaded, total } = told;
    return { phase, loaded, total };
  }
  const { concurrency, prefill_tokens_per_s, decode_tokens_per_s, decode_step_ms } = told;
  const [done, of] = next();
  return {
    phase: "running",
    done,
    of,
    last: { concurrency, prefill_tokens_per_s, decode_tokens_per_s, decode_step_ms },
  };
}

function workerUrl(): URL {
  return ofThisBuild(new URL("tilewright-bench-worker.js", here));
}

interface Opened {
  port: MessagePort;
  worker: EventTarget;
  end: () => void;
}

function open(placement: Placement): Opened {
  // A name of its own, so that no two benchmarks share a heap.
  const options = { name: `tilewright bench ${crypto.randomUUID()}`, type: "module" } as const;
  if (placement === "shared") {
    const worker = new SharedWorker(workerUrl(), options);
    const { port } = worker;
    const end = (): void => {
      port.postMessage({ type: "end" } satisfies ToBench);
    };
    return { port, worker, end };
  }
  const worker = new Worker(workerUrl(), options);
  const channel = new MessageChannel();
  worker.postMessage("connect", [channel.port2]);
  const end = (): void => {
    worker.terminate();
  };
  return { port: channel.port1, worker, end };
}
