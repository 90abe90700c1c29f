// What `wgpu` cannot ask of a browser (device_shim.rs): subgroups and their matrix units; but it asks for a device through this prototype.
//
// Only devices whose label was handed out here are touched, so that others in this realm stay what they were. A browser may
// offer the feature and fail to open a device with it; what it tried to open it from may then be spent, so the device without
// comes from another adapter.

/** Still an experiment of Chromium's, behind a flag. */
const MATRICES = "chromium-experimental-subgroup-matrix";
const NOTHING = [0, 0, 0, 0, 0];
/** `GPUShaderStage.COMPUTE`. */
const COMPUTE = 4;
/** Labels of devices that are to have subgroups, and to be known here. */
const wanted = new Set();
/** What devices got, by label: the least size of a subgroup, then rows, outputs, columns and invocations of its matrix unit or zeros. */
const granted = new Map();
/** Devices that are open, by label, as long as somebody else keeps them. */
const opened = new Map();
let labels = 0;
let watching = false;

/** The label of a device that is to come: it has subgroups where its adapter has them, and can compile ahead. */
export function nextDevice() {
  watch();
  labels += 1;
  const label = `tilewright ${labels}`;
  wanted.add(label);
  return label;
}

/** What the device of that label got, as `granted` says; zeros: nothing. */
export function grantedTo(label) {
  const got = granted.get(label) ?? NOTHING;
  wanted.delete(label);
  granted.delete(label);
  return new Uint32Array(got);
}

/**
 * The units of an adapter that multiply matrices of f16 and add up in f32, the largest: where all subgroups are of one size, or a
 * kernel could not tell which invocation is in which.
 */
function matrixUnit({ features, info }, asked) {
  const lanes = info?.subgroupMinSize;
  const known = features.has(MATRICES) && asked.includes("shader-f16") && lanes === info?.subgroupMaxSize;
  const units = [...((known && info.subgroupMatrixConfigs) || [])].filter(
    ({ componentType, resultComponentType }) => componentType === "f16" && resultComponentType === "f32",
  );
  const [largest] = units.sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  return largest && [largest.M, largest.N, largest.K, lanes];
}

/**
 * Has the device of that label compile kernels beside each other, and resolves to them: browsers know a pipeline again that
 * is alive. What is refused is left out; `wgpu` hears of that when it asks for it.
 */
export async function compileAhead(label, kernels) {
  const device = opened.get(label)?.deref();
  if (!device) return [];
  const compile = ([code, ...bindings]) => {
    const entries = [];
    for (let i = 0; i < bindings.length; i += 2) {
      const [binding, type] = [bindings[i], bindings[i + 1]];
      entries.push({ binding, visibility: COMPUTE, buffer: { type } });
    }
    const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
    const module = device.createShaderModule({ code });
    return device.createComputePipelineAsync({ layout, compute: { module, entryPoint: "main" } });
  };
  // A fault in the code is the device's to report, unless somebody listens.
  device.pushErrorScope("validation");
  const compiling = kernels.map(compile);
  void device.popErrorScope();
  const settled = await Promise.allSettled(compiling);
  return settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
}

function watch() {
  const { prototype } = globalThis.GPUAdapter ?? {};
  if (watching || !prototype) return;
  watching = true;
  const { requestDevice } = prototype;
  prototype.requestDevice = async function (descriptor) {
    const size = this.info?.subgroupMinSize ?? 0;
    if (!wanted.delete(descriptor?.label)) return requestDevice.call(this, descriptor);
    const keep = (device) => {
      opened.set(descriptor.label, new WeakRef(device));
      return device;
    };
    const asks = this.features.has("subgroups") && size > 1;
    if (!asks) return keep(await requestDevice.call(this, descriptor));
    const asked = [...(descriptor.requiredFeatures ?? [])];
    const unit = matrixUnit(this, asked);
    const requiredFeatures = [...asked, "subgroups", ...(unit ? [MATRICES] : [])];
    try {
      const device = await requestDevice.call(this, { ...descriptor, requiredFeatures });
      const has = (feature) => device.features.has(feature);
      if (has("subgroups")) granted.set(descriptor.label, [size, ...(unit && has(MATRICES) ? unit : NOTHING.slice(1))]);
      return keep(device);
    } catch {
      const adapter = await globalThis.navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
      return keep(await requestDevice.call(adapter ?? this, descriptor));
    }
  };
}
