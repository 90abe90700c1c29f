// A machine that gives a module 32 MiB, whatever it was promised.
const { Memory } = WebAssembly;
WebAssembly.Memory = class extends Memory {
  constructor(descriptor) {
    super({ ...descriptor, maximum: 512 });
  }
};
