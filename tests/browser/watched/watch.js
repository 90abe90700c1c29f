// Runs before the worker's own script: counts GPU buffers and ports that are alive and what is asked of the GPU, and on
// command destroys the GPU device or ends the worker, as a browser that is short of memory may do it.
const devices = [];
/** Those alive, with their sizes in bytes. */
const buffers = new Map();
/** The sum of those sizes, now and at most so far. */
const bytes = { live: 0, most: 0 };
const ports = new Set();

// A browser without WebGPU has none to watch.
const GPUAdapter = self.GPUAdapter ?? class {};
const GPUDevice = self.GPUDevice ?? class {};
const GPUBuffer = self.GPUBuffer ?? class {};

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...options) {
  const device = await requestDevice.apply(this, options);
  devices.push(device);
  return device;
};

let away = false;
const { requestAdapter } = self.GPU?.prototype ?? {};
if (requestAdapter) {
  self.GPU.prototype.requestAdapter = function (...options) {
    return away ? Promise.resolve(null) : requestAdapter.apply(this, options);
  };
}

const { createBuffer } = GPUDevice.prototype;
GPUDevice.prototype.createBuffer = function (descriptor) {
  const buffer = createBuffer.call(this, descriptor);
  buffers.set(buffer, descriptor.size);
  bytes.live += descriptor.size;
  bytes.most = Math.max(bytes.most, bytes.live);
  return buffer;
};

const { destroy } = GPUBuffer.prototype;
GPUBuffer.prototype.destroy = function () {
  bytes.live -= buffers.get(this) ?? 0;
  buffers.delete(this);
  return destroy.call(this);
};

/** How often each was called: whatever makes an object of the GPU, and all that a queue or an encoder is told. */
const calls = {};

function countCalls({ prototype } = class {}, counts = () => true) {
  for (const [name, { value: method }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (typeof method !== "function" || name === "constructor" || !counts(name)) continue;
    prototype[name] = function (...given) {
      calls[name] = (calls[name] ?? 0) + 1;
      return method.apply(this, given);
    };
  }
}
countCalls(self.GPUDevice, (name) => /^(create|import)/.test(name));
countCalls(self.GPUTexture, (name) => name === "createView");
countCalls(self.GPUComputePipeline); // getBindGroupLayout makes one
countCalls(self.GPURenderPipeline);
countCalls(self.GPUCommandEncoder);
countCalls(self.GPUQueue);

self.addEventListener("connect", ({ ports: [port] }) => ports.add(port));
const { close } = MessagePort.prototype;
MessagePort.prototype.close = function () {
  ports.delete(this);
  return close.call(this);
};

const channel = new BroadcastChannel("watched worker");
channel.addEventListener("message", ({ data }) => {
  if (data === "destroy the device" || data === "lose the GPU") devices.at(-1)?.destroy();
  if (data === "lose the GPU") away = true;
  if (data === "bring the GPU back") away = false;
  if (data === "end") self.close();
  if (data === "count the GPU's work") {
    channel.postMessage({ calls: { ...calls }, bytes: { ...bytes } });
  }
  if (data === "count") {
    channel.postMessage({ devices: devices.length, buffers: buffers.size, ports: ports.size });
  }
});
