/**
 * The script of the worker, as a SharedWorker (a `connect` event per page) or as a dedicated worker of one page (a message
 * with a port per connection). Both are module workers.
 */

import { Host } from "./host.js";
import type { Locks } from "./liveness.js";
import { startWasmEngine, watchTraps } from "./wasm-engine.js";

const locks = (navigator as { locks?: Locks }).locks;
const host = new Host({ start: startWasmEngine, locks });
watchTraps(self);

const accept = (event: Event): void => {
  for (const port of (event as MessageEvent).ports) host.accept(port);
};
// Set before the first await, or the first connection is missed.
self.addEventListener("onconnect" in self ? "connect" : "message", accept);
