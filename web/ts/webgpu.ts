/**
 * Whether this worker can have a GPU, asked before a model is downloaded for it, with words for each way in which it
 * cannot. Nothing is kept: the answer may change while the worker lives (a driver restarted, a flag set), so the next
 * request asks again.
 */

import { deviceError } from "./errors.js";

/** As much of `navigator.gpu` as is used. */
interface GpuLike {
  requestAdapter(options?: object): Promise<AdapterLike | null>;
}

interface AdapterLike {
  /** Filled as far as the browser thinks that a page may know; all empty in some. */
  info?: {
    vendor?: string;
    architecture?: string;
    device?: string;
    description?: string;
    isFallbackAdapter?: boolean;
  };
}

/** What the browser says of its GPU. */
export interface AdapterDescription {
  /** For a person to read: "NVIDIA ampere". Empty if the browser says nothing. */
  name: string;
  /** A program that pretends to be a GPU. */
  software: boolean;
}

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

const ADAPTER =
  "Turn on hardware acceleration in the browser's settings, update the graphics driver, and see what chrome://gpu (or " +
  "about:support) says. Chrome on Linux may need chrome://flags/#enable-unsafe-webgpu. If the GPU just crashed, wait a " +
  "minute and try again.";

/** wgpu passes on the `description` only, which browsers leave empty. */
function describe({ info = {} }: AdapterLike): AdapterDescription {
  const { vendor = "", architecture = "", device = "", description = "", isFallbackAdapter = false } = info;
  const capital = VENDORS[vendor] ?? vendor.charAt(0).toUpperCase() + vendor.slice(1);
  const name = description || [capital, architecture, device].filter((part) => part !== "").join(" ");
  return { name, software: isFallbackAdapter || /swiftshader|llvmpipe/i.test(name) };
}
