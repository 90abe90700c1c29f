// Devices with subgroups: `wgpu` cannot ask for them (subgroups.rs), but it asks for a device through this prototype.
//
// Only devices whose label was handed out here are touched, so that others in this realm stay what they were. A browser may
// offer the feature and fail to open a device with it; what it tried to open it from may then be spent, so the device without
// comes from another adapter.

/** Labels of devices that are to have subgroups. */
const wanted = new Set();
/** What devices got: the least size of a subgroup, by label. */
const granted = new Map();
let labels = 0;
let watching = false;

/** The label of a device that is to have subgroups where its adapter has them. */
export function wantSubgroups() {
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

function watch() {
  const { prototype } = globalThis.GPUAdapter ?? {};
  if (watching || !prototype) return;
  watching = true;
  const { requestDevice } = prototype;
  prototype.requestDevice = async function (descriptor) {
    const size = this.info?.subgroupMinSize ?? 0;
    const asks = wanted.delete(descriptor?.label) && this.features.has("subgroups") && size > 1;
    if (!asks) return requestDevice.call(this, descriptor);
    const requiredFeatures = [...(descriptor.requiredFeatures ?? []), "subgroups"];
    try {
      const device = await requestDevice.call(this, { ...descriptor, requiredFeatures });
      if (device.features.has("subgroups")) granted.set(descriptor.label, size);
      return device;
    } catch {
      const adapter = await globalThis.navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
      return requestDevice.call(adapter ?? this, descriptor);
    }
  };
}
