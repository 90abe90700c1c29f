// A machine of two cores whose browser lets a worker open no workers, and does not say so.
self.Worker = class extends EventTarget {
  postMessage() {}
};
Object.defineProperty(navigator, "hardwareConcurrency", { value: 2 });
