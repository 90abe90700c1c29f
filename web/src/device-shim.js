// What `wgpu` cannot ask of a browser (device_shim.rs); but it asks for a device through this prototype.
//
// Only devices whose label was handed out here are touched, so that others in this realm stay what they were. A browser may
// offer the feature and fail to open a device with it; what it tried to open it from may then be spent, so the device without
// comes from another adapter.

/** `GPUShaderStage.COMPUTE`. */
const COMPUTE = 4;
/** Labels of devices that are to have subgroups, and to be known here. */
const wanted = new Set();
/** What devices got: the least size of a subgroup, by label. */
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

/** The least size of a subgroup on the device of that label; 0: it has none. */
export function leastSubgroup(label) {
  const size = granted.get(label) ?? 0;
  wanted.delete(label);
  granted.delete(label);
  return size;
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
    const requiredFeatures = [...(descriptor.requiredFeatures ?? []), "subgroups"];
    try {
      const device = await requestDevice.call(this, { ...descriptor, requiredFeatures });
      if (device.features.has("subgroups")) granted.set(descriptor.label, size);
      return keep(device);
    } catch {
      const adapter = await globalThis.navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
      return keep(await requestDevice.call(adapter ?? this, descriptor));
    }
  };
}
