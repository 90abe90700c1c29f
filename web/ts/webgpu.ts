/**
 * Whether this worker can have a GPU, asked before a model is downloaded for it, with words for each way in which it
 * cannot. Nothing is kept: the answer may change while the worker lives (a driver restarted, a flag set), so the next
 * request asks again.
 */

import { adapterFacts } from "./adapter-facts.js";
import { deviceError } from "./errors.js";

/** As much of `navigator.gpu` as is used. */
interface GpuLike {
  requestAdapter(options?: object): Promise<AdapterLike | null>;
}

/** As much of a device as the trial needs. */
interface DeviceLike {
  createShaderModule(descriptor: object): unknown;
  createComputePipelineAsync(descriptor: object): Promise<{ getBindGroupLayout(index: number): unknown }>;
  createBuffer(descriptor: object): BufferLike;
  createBindGroup(descriptor: object): unknown;
  createCommandEncoder(): EncoderLike;
  queue: { submit(commands: unknown[]): void };
  destroy(): void;
}

interface BufferLike {
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
}

interface EncoderLike {
  beginComputePass(): {
    setPipeline(pipeline: unknown): void;
    setBindGroup(index: number, group: unknown): void;
    dispatchWorkgroups(x: number): void;
    end(): void;
  };
  copyBufferToBuffer(from: unknown, start: number, to: unknown, at: number, bytes: number): void;
  finish(): unknown;
}

interface AdapterLike {
  requestDevice?(): Promise<DeviceLike>;
  /** Filled as far as the browser thinks that a page may know; all empty in some. */
  info?: {
    vendor?: string;
    architecture?: string;
    device?: string;
    description?: string;
    isFallbackAdapter?: boolean;
    subgroupMinSize?: number;
    subgroupMaxSize?: number;
  };
  features?: Iterable<string>;
  limits?: object;
}

/** What the browser says of its GPU. */
export interface AdapterDescription {
  /** For a person to read: "NVIDIA ampere". Empty if the browser says nothing. */
  name: string;
  /** A program that pretends to be a GPU. */
  software: boolean;
  /** What tells it from others, as JSON. */
  facts: string;
}

/** Chromium's, Mesa's and Windows' own, where the browser does not say that an adapter is a fallback. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render|\bwarp\b/i;

/** The WebGPU specification's names of vendors are lower case. */
const VENDORS: Readonly<Record<string, string>> = { amd: "AMD", nvidia: "NVIDIA" };

const BROWSERS =
  "Chrome or Edge 113 and later (on Linux with chrome://flags/#enable-unsafe-webgpu, or started with " +
  "--enable-unsafe-webgpu), Safari 26 and later, Firefox 141 and later (where it is off: about:config, dom.webgpu.enabled)";

/** Throws unless there is an adapter; says what it is. */
export async function requireWebGpu(navigator: { gpu?: GpuLike }): Promise<AdapterDescription> {
  if (!navigator.gpu) {
    throw deviceError("webgpu_unavailable", `This browser offers no WebGPU here. These do: ${BROWSERS}.`);
  }
  let adapter: AdapterLike | null;
  try {
    adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw deviceError("webgpu_no_adapter", `WebGPU failed to look for a GPU (${detail}). ${ADAPTER}`);
  }
  if (!adapter) throw deviceError("webgpu_no_adapter", `WebGPU found no GPU that this browser may use. ${ADAPTER}`);
  return describe(adapter);
}

/**
 * As [`requireWebGpu`], and has it compute something: an adapter whose driver is broken is none.
 */
export async function probeWebGpu(navigator: { gpu?: GpuLike }): Promise<AdapterDescription> {
  let tried: AdapterLike | null = null;
  const gpu = navigator.gpu && {
    requestAdapter: async (options?: object) => (tried = (await navigator.gpu?.requestAdapter(options)) ?? null),
  };
  const description = await requireWebGpu(gpu ? { gpu } : {});
  try {
    const device = await (tried as AdapterLike | null)?.requestDevice?.();
    if (device) await tryOut(device);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw deviceError(
      "gpu_failed",
      `${description.name || "The GPU"} failed a trial computation (${detail}). ${ADAPTER}`,
    );
  }
  return description;
}

const TRIAL = `@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) { out[id.x] = id.x * 3u + 7u; }`;
/** `GPUBufferUsage` and `GPUMapMode`, as numbers of the specification. */
const [MAP_READ, COPY_SRC, COPY_DST, STORAGE, READ] = [1, 4, 8, 128, 1];
const TRIAL_BYTES = 16;
/** A driver that hangs is broken, too, in milliseconds. */
const TRIAL_MS = 10_000;

async function tryOut(device: DeviceLike): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${TRIAL_MS / 1000} s`));
    }, TRIAL_MS);
  });
  try {
    await Promise.race([compute(device), late]);
  } finally {
    clearTimeout(timer);
    device.destroy();
  }
}

async function compute(device: DeviceLike): Promise<void> {
  const module = device.createShaderModule({ code: TRIAL });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } });
  const out = device.createBuffer({ size: TRIAL_BYTES, usage: STORAGE | COPY_SRC });
  const read = device.createBuffer({ size: TRIAL_BYTES, usage: MAP_READ | COPY_DST });
  const entries = [{ binding: 0, resource: { buffer: out } }];
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(out, 0, read, 0, TRIAL_BYTES);
  device.queue.submit([encoder.finish()]);
  await read.mapAsync(READ);
  const values = [...new Uint32Array(read.getMappedRange())];
  if (values.join() !== "7,10,13,16") throw new Error(`it computed ${values.join()} instead of 7,10,13,16`);
}

const ADAPTER =
  "Turn on hardware acceleration in the browser's settings, update the graphics driver, and see what chrome://gpu (or " +
  "about:support) says. Chrome on Linux may need chrome://flags/#enable-unsafe-webgpu. If the GPU just crashed, wait a " +
  "minute and try again.";

/** wgpu passes on the `description` only, which browsers leave empty. */
function describe(adapter: AdapterLike): AdapterDescription {
  const { info = {} } = adapter;
  const { vendor = "", architecture = "", device = "", description = "", isFallbackAdapter = false } = info;
  const capital = VENDORS[vendor] ?? vendor.charAt(0).toUpperCase() + vendor.slice(1);
  const facts = adapterFacts(adapter, (globalThis as { navigator?: Navigator }).navigator ?? {});
  const name = description || [capital, architecture, device].filter((part) => part !== "").join(" ");
  return { name, software: isFallbackAdapter || SOFTWARE.test(name), facts };
}
