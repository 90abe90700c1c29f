/**
 * The script of the benchmark's own worker: a SharedWorker, as the engine's is, or a dedicated one. It times one suite in an
 * instance of the wasm module that is its alone, so that the heap it reports is that suite's, and ends with it.
 */

import { BUILD } from "./build-id.js";
import type { BenchRequest, BenchTuning, Figures } from "./bench-options.js";
import { EngineLocks } from "./engine-locks.js";
import { TilewrightError, deviceError, toErrorObject, type ErrorObject } from "./errors.js";
import { Housing, poolWorkerAt } from "./housing.js";
import type { Locks } from "./liveness.js";
import { fileNameOf, type ModelAddress } from "./model-address.js";
import { openModelFiles } from "./model-source.js";
import { PoolHosts } from "./pool-hosts.js";
import type { PoolLoad } from "./pool-protocol.js";
import { PoolOpener, type Pool } from "./pools.js";
import type { DeviceChoice, Progress } from "./protocol.js";
import { takeInstance, watchTraps, type BenchDevice } from "./wasm-engine.js";
import { requireWebGpu, type AdapterDescription } from "./webgpu.js";

/** What the page sends. */
export type ToBench =
  | {
      type: "run";
      request: BenchRequest;
      /** `auto` fails where there is no real GPU. */
      device: DeviceChoice;
      threads: number | null;
      tune: BenchTuning | null;
      address: ModelAddress | null;
    }
  | { type: "end" };

/** What it hears. */
export type FromBench =
  | { type: "progress"; progress: WasmBenchProgress }
  | { type: "report"; report: object }
  | { type: "error"; error: ErrorObject };

/** What the wasm module says meanwhile: how far loading is, or a run's figures. */
export type WasmBenchProgress = Pick<Progress, "phase" | "loaded" | "total"> | Figures;

/** What the browser says of the GPU that was used. */
export interface BenchAdapter {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  /** A program that pretends to be a GPU. */
  software: boolean;
  /** What the adapter offers. */
  offers: string[];
  /** What the engine asked for and got. */
  features: string[];
  f16: boolean;
  subgroups: boolean;
  max_buffer_bytes: number;
  max_binding_bytes: number;
}

/** As much of WebGPU as is looked at. */
interface DeviceLike {
  features: Iterable<string>;
  limits: { maxBufferSize: number; maxStorageBufferBindingSize: number };
}

interface AdapterPrototype {
  requestDevice: (this: AdapterSelf, ...options: unknown[]) => Promise<DeviceLike>;
}

interface AdapterSelf {
  info?: Partial<Record<"vendor" | "architecture" | "device" | "description", string>>;
  features: Iterable<string>;
}

type Opened = Omit<BenchAdapter, "software">;

/** Notes what devices are opened with: the engine opens its own, so this is what its kernels can use. */
function watchDevices(): { latest(): Opened | undefined } {
  let latest: Opened | undefined;
  const { GPUAdapter: type } = globalThis as { GPUAdapter?: { prototype: AdapterPrototype } };
  if (type) {
    const { requestDevice } = type.prototype;
    type.prototype.requestDevice = async function (...options) {
      const opened = await requestDevice.apply(this, options);
      const { vendor = "", architecture = "", device = "", description = "" } = this.info ?? {};
      const features = [...opened.features].sort();
      latest = {
        vendor,
        architecture,
        device,
        description,
        offers: [...this.features].sort(),
        features,
        f16: features.includes("shader-f16"),
        subgroups: features.includes("subgroups"),
        max_buffer_bytes: opened.limits.maxBufferSize,
        max_binding_bytes: opened.limits.maxStorageBufferBindingSize,
      };
      return opened;
    };
  }
  return { latest: () => latest };
}

const devices = watchDevices();
watchTraps(self);

/** The GPU to time; nothing on the CPU. */
async function findAdapter(device: DeviceChoice): Promise<AdapterDescription | undefined> {
  if (device === "cpu") return undefined;
  const adapter = await requireWebGpu(navigator);
  if (device === "gpu" || !adapter.software) return adapter;
  throw deviceError(
    "webgpu_no_adapter",
    `${adapter.name || "The GPU"} is a program on the CPU, which is faster without.`,
  );
}

/** The CPU engine as its users get it, in a worker of this worker. */
class OwnPool {
  pool: Pool | undefined;
  readonly #opener: PoolOpener;

  constructor(load: PoolLoad) {
    const hosts = new PoolHosts();
    const client = 1;
    const housing = new Housing(poolWorkerAt(new URL(self.location.href)), (id, error, port) => {
      hosts.opened(client, id, port, error ? new TilewrightError(error) : undefined);
    });
    hosts.add({
      client,
      state: undefined,
      send: (message) => {
        if (message.type === "open pool") housing.open(message.id);
        if (message.type === "close pool") housing.close(message.id);
      },
    });
    const { signal } = new AbortController();
    const locks = (navigator as { locks?: Locks }).locks;
    this.#opener = new PoolOpener({ hosts, load, locks, signal, onFile: () => undefined });
  }

  async open(...listeners: Parameters<PoolOpener["open"]>): Promise<Pool> {
    this.pool = await this.#opener.open(...listeners);
    return this.pool;
  }
}

async function run(
  { request, device, threads, tune, address }: ToBench & { type: "run" },
  tell: (message: FromBench) => void,
): Promise<object> {
  const adapter = await findAdapter(device);
  const subject = JSON.stringify(request);
  const own = new OwnPool({ model: address, stallMs: null, threads, subject });
  const on: BenchDevice = adapter ? { adapter } : { pools: own };
  const instance = await takeInstance();
  const trap = new Promise<never>((_, reject) => {
    instance.trapped = (error) => {
      reject(new TilewrightError(error));
    };
  });
  // A pool reads them itself.
  const files = address && adapter ? await openModelFiles(address, { onFile: () => undefined }) : undefined;
  const timed = instance.glue.bench(
    subject,
    tune ? JSON.stringify(tune) : undefined,
    on,
    files,
    address?.layout === "gguf" ? fileNameOf(address) : undefined,
    (json) => {
      tell({ type: "progress", progress: JSON.parse(json) as WasmBenchProgress });
    },
  );
  let report: object;
  try {
    report = JSON.parse(await Promise.race([trap, timed])) as object;
  } catch (error) {
    throw files?.failure ?? error;
  }
  return {
    ...report,
    build: BUILD,
    worker: "onconnect" in self ? "shared" : "dedicated",
    notice: own.pool?.notice ?? null,
    adapter: adapter ? { ...devices.latest(), software: adapter.software } : null,
    user_agent: navigator.userAgent,
    cross_origin_isolated: self.crossOriginIsolated,
    // A wasm heap never shrinks: this is the most that it ever was.
    wasm_heap_bytes: own.pool?.heapBytes ?? instance.memory.buffer.byteLength,
  };
}

/** Times while no engine of the site tunes: that one would take the GPU for itself now and then. */
async function runUndisturbed(message: ToBench & { type: "run" }, tell: (message: FromBench) => void): Promise<object> {
  const release = await new EngineLocks().answering();
  try {
    return await run(message, tell);
  } finally {
    release();
  }
}

function accept(port: MessagePort): void {
  const tell = (message: FromBench): void => {
    port.postMessage(message);
  };
  port.addEventListener("message", ({ data }) => {
    const message = data as ToBench;
    if (message.type === "end") {
      self.close();
      return;
    }
    runUndisturbed(message, tell).then(
      (report) => {
        tell({ type: "report", report });
      },
      (error: unknown) => {
        tell({ type: "error", error: toErrorObject(error) });
      },
    );
  });
  port.start();
}

// Set before the first await, or the first connection is missed.
self.addEventListener("onconnect" in self ? "connect" : "message", (event) => {
  for (const port of (event as MessageEvent).ports) accept(port);
});
