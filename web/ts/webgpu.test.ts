import { describe, expect, test } from "vitest";
import { requireWebGpu } from "./webgpu.js";

describe("without WebGPU", () => {
  test("a browser that has none is told which have", async () => {
    const asked = requireWebGpu({});
    await expect(asked).rejects.toMatchObject({ type: "device_error", code: "webgpu_unavailable" });
    await expect(asked).rejects.toThrow(/Chrome or Edge 113.*Safari 26.*Firefox 141/);
  });

  test.each([
    ["no adapter", () => Promise.resolve(null)],
    ["an adapter that throws", () => Promise.reject(new Error("blocked"))],
  ])("%s is an error that says where to look, and asks again next time", async (_, requestAdapter) => {
    let adapter: () => Promise<object | null> = requestAdapter;
    const navigator = { gpu: { requestAdapter: (): Promise<object | null> => adapter() } };
    const asked = requireWebGpu(navigator);
    await expect(asked).rejects.toMatchObject({ code: "webgpu_no_adapter" });
    await expect(asked).rejects.toThrow(/chrome:\/\/gpu/);
    adapter = () => Promise.resolve({});
    await expect(requireWebGpu(navigator)).resolves.toMatchObject({ name: "", software: false });
  });
});

test.each([
  [
    { vendor: "nvidia", architecture: "ampere" },
    { name: "NVIDIA ampere", software: false },
  ],
  [
    { vendor: "google", architecture: "swiftshader" },
    { name: "Google swiftshader", software: true },
  ],
  [
    { description: "My GPU", vendor: "x" },
    { name: "My GPU", software: false },
  ],
  [{ isFallbackAdapter: true }, { name: "", software: true }],
])("an adapter that says %j is described", async (info, described) => {
  const navigator = { gpu: { requestAdapter: (): Promise<object> => Promise.resolve({ info }) } };
  expect(await requireWebGpu(navigator)).toMatchObject(described);
});
