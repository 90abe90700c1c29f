/**
 * Where the engine runs: a SharedWorker for all tabs (placement S of the design), or, where the browser has none or gives
 * it no WebGPU, a dedicated worker of this page (placement D). Both run the same script and are spoken to over a port.
 */

import { BUILD } from "./build-id.js";
import { connectionError, type TilewrightError } from "./errors.js";
import type { Port } from "./protocol.js";

export type Placement = "shared" | "dedicated";

export interface Opened {
  port: Port;
  /** Lets go of the worker; a dedicated one ends with its last user. */
  release(): void;
}

/** `extendedLifetime` keeps the worker, and so the weights, over a reload (Chrome 148+). Others ignore it. */
interface SharedWorkerOptions extends WorkerOptions {
  extendedLifetime?: boolean;
}

const dedicated = new Map<string, { worker: Worker; users: number }>();

/** Where to try first. */
export function preferredPlacement(): Placement {
  return typeof SharedWorker === "undefined" ? "dedicated" : "shared";
}

/**
 * Opens a port to the worker, starting it if it does not run.
 * @param failed called if the script cannot be loaded or run
 */
export function openWorker(placement: Placement, url: URL, failed: (error: TilewrightError) => void): Opened {
  const onError = (event: Event): void => {
    const detail = event instanceof ErrorEvent && event.message ? `: ${event.message}` : "";
    failed(
      connectionError(
        "worker_failed",
        `the worker ${url.href} could not be started${detail}; check that the file is served, as JavaScript`,
      ),
    );
  };
  try {
    return placement === "shared" ? openShared(url, onError) : openDedicated(url, onError);
  } catch (error) {
    throw connectionError(
      "worker_failed",
      `the worker ${url.href} could not be started: ${error instanceof Error ? error.message : String(error)}. ` +
        "A worker's script must come from the page's own origin, and the page's content security policy must allow it",
    );
  }
}

function openShared(url: URL, onError: (event: Event) => void): Opened {
  // Every page must ask for the same name and options, or the browser refuses.
  const options: SharedWorkerOptions = {
    name: `tilewright ${BUILD}`,
    type: "module",
    extendedLifetime: true,
  };
  const worker = new SharedWorker(url, options);
  worker.addEventListener("error", onError);
  return {
    port: worker.port,
    release: () => {
      worker.removeEventListener("error", onError);
    },
  };
}

function openDedicated(url: URL, onError: (event: Event) => void): Opened {
  let entry = dedicated.get(url.href);
  if (!entry) {
    entry = { worker: new Worker(url, { name: `tilewright ${BUILD}`, type: "module" }), users: 0 };
    dedicated.set(url.href, entry);
  }
  const { worker } = entry;
  entry.users += 1;
  const shared = entry;
  worker.addEventListener("error", onError);
  const channel = new MessageChannel();
  worker.postMessage("connect", [channel.port2]);
  let released = false;
  return {
    port: channel.port1,
    release: () => {
      if (released) return;
      released = true;
      worker.removeEventListener("error", onError);
      shared.users -= 1;
      if (shared.users > 0) return;
      worker.terminate();
      dedicated.delete(url.href);
    },
  };
}
