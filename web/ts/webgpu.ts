/**
 * Whether this worker can have a GPU, asked before a model is downloaded for it, with words for each way in which it
 * cannot. Nothing is kept: the answer may change while the worker lives (a driver restarted, a flag set), so the next
 * request asks again.
 */

import { deviceError } from "./errors.js";

/** As much of `navigator.gpu` as is used. */
interface GpuLike {
  requestAdapter(options?: object): Promise<object | null>;
}

const BROWSERS =
  "Chrome or Edge 113 and later (on Linux with chrome://flags/#enable-unsafe-webgpu, or started with " +
  "--enable-unsafe-webgpu), Safari 26 and later, Firefox 141 and later (where it is off: about:config, dom.webgpu.enabled)";

/** Throws unless there is an adapter. */
export async function requireWebGpu(navigator: { gpu?: GpuLike }): Promise<void> {
  if (!navigator.gpu) {
    throw deviceError("webgpu_unavailable", `This browser offers no WebGPU here. These do: ${BROWSERS}.`);
  }
  let adapter: object | null;
  try {
    adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw deviceError("webgpu_no_adapter", `WebGPU failed to look for a GPU (${detail}). ${ADAPTER}`);
  }
  if (!adapter) throw deviceError("webgpu_no_adapter", `WebGPU found no GPU that this browser may use. ${ADAPTER}`);
}

const ADAPTER =
  "Turn on hardware acceleration in the browser's settings, update the graphics driver, and see what chrome://gpu (or " +
  "about:support) says; if the GPU just crashed, wait a minute and try again.";
