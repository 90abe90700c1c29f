// Runs before the worker's own script: counts GPU buffers and ports that are alive, and on command destroys the GPU device
// or ends the worker, as a browser that is short of memory may do it.
const devices = [];
const buffers = new Set();
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
  buffers.add(buffer);
  return buffer;
};

const { destroy } = GPUBuffer.prototype;
GPUBuffer.prototype.destroy = function () {
  buffers.delete(this);
  return destroy.call(this);
};

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
  if (data === "count") {
    channel.postMessage({ devices: devices.length, buffers: buffers.size, ports: ports.size });
  }
});
