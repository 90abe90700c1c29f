// A browser that reads the instructions of relaxed SIMD and computes them wrong, as the module finds out.
const { instantiate } = WebAssembly;
WebAssembly.instantiate = async (module, imports) => {
  const { exports } = await instantiate(module, imports);
  return { module, instance: { exports: { ...exports, vectors_are_right: () => 0 } } };
};
