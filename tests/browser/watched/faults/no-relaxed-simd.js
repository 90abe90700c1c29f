// A browser that does not know the instructions of relaxed SIMD.
WebAssembly.validate = () => false;
