// Runs before the worker's own script: counts GPU buffers and ports that are alive, and on command destroys the GPU device
// or ends the worker, as a browser that is short of memory may do it.
const devices = [];
const buffers = new Set();
const ports = new Set();

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...options) {
  const device = await requestDevice.apply(this, options);
  devices.push(device);
  return device;
};

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
  if (data === "destroy the device") devices.at(-1).destroy();
  if (data === "end") self.close();
  if (data === "count") {
    channel.postMessage({ devices: devices.length, buffers: buffers.size, ports: ports.size });
  }
});
