// What a device is asked for, and what is told of it: with adapters that are made up, since none of the software adapters has matrix units.
import { afterEach, beforeEach, expect, test, vi } from "vitest";

const MATRICES = "chromium-experimental-subgroup-matrix";
const UNIT = { M: 16, N: 16, K: 16, componentType: "f16", resultComponentType: "f32" };
const ALL = {
  features: ["shader-f16", "subgroups", MATRICES],
  info: { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: [{ ...UNIT, N: 8 }, UNIT] },
};

let shim;
beforeEach(async () => {
  vi.resetModules();
  shim = await import("./device-shim.js");
});
afterEach(() => vi.unstubAllGlobals());

/** Opens a device of such an adapter as `wgpu` does: the features that were asked for, and what is told of the device. */
async function opened({ features, info }, { refuses = () => false, asked = ["shader-f16"] } = {}) {
  class GPUAdapter {
    features = new Set(features);
    info = info;
    async requestDevice({ requiredFeatures }) {
      if (requiredFeatures.some(refuses)) throw new TypeError("no such feature");
      return { features: new Set(requiredFeatures) };
    }
  }
  vi.stubGlobal("GPUAdapter", GPUAdapter);
  vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => new GPUAdapter() } });
  const label = shim.nextDevice();
  const device = await new GPUAdapter().requestDevice({ label, requiredFeatures: asked });
  return { features: [...device.features], granted: [...shim.grantedTo(label)], again: [...shim.grantedTo(label)] };
}

test("a device has the subgroups and the largest matrix unit of its adapter, which is told once", async () => {
  const { features, granted, again } = await opened(ALL);
  expect(features).toEqual(["shader-f16", "subgroups", MATRICES]);
  expect(granted).toEqual([32, 16, 16, 16, 32]);
  expect(again).toEqual([0, 0, 0, 0, 0]);
});

test.each([
  ["subgroups differ in size", { ...ALL, info: { ...ALL.info, subgroupMinSize: 16 } }, [16, 0, 0, 0, 0]],
  ["there are only units of integers", unitsOf({ ...UNIT, componentType: "i8", resultComponentType: "i32" })],
  ["units add up in f16", unitsOf({ ...UNIT, resultComponentType: "f16" })],
  ["units are not told of", { ...ALL, info: { subgroupMinSize: 32, subgroupMaxSize: 32 } }],
])("where %s there are subgroups alone", async (_, adapter, expected = [32, 0, 0, 0, 0]) => {
  const { features, granted } = await opened(adapter);
  expect(features).toEqual(["shader-f16", "subgroups"]);
  expect(granted).toEqual(expected);
});

function unitsOf(config) {
  return { ...ALL, info: { ...ALL.info, subgroupMatrixConfigs: [config] } };
}

test("without f16 there are subgroups alone", async () => {
  const { features, granted } = await opened(ALL, { asked: [] });
  expect([features, granted]).toEqual([["subgroups"], [32, 0, 0, 0, 0]]);
});

test("an adapter that offers them and opens no device with them opens one without", async () => {
  const { features, granted } = await opened(ALL, { refuses: (feature) => feature === MATRICES });
  expect([features, granted]).toEqual([["shader-f16"], [0, 0, 0, 0, 0]]);
});

test("a device without a label from here is left alone", async () => {
  await opened(ALL);
  const device = await new globalThis.GPUAdapter().requestDevice({ label: "another's", requiredFeatures: [] });
  expect([...device.features]).toEqual([]);
});
