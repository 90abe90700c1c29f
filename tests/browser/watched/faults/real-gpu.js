// A browser whose GPU says nothing that gives the program away which pretends to be it; watched, so that it can be lost.
import "../watch.js";
for (const [name, value] of [
  ["isFallbackAdapter", false],
  ["architecture", ""],
  ["description", ""],
]) {
  Object.defineProperty(GPUAdapterInfo.prototype, name, { get: () => value });
}
