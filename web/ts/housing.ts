/**
 * The page's side of CPU pools: workers that the host asked this page to open, each with a port that goes to the host.
 *
 * The page passes the port on and hears nothing of what is said over it, so its own thread has no part in computing. The
 * workers end with the link that they were asked over.
 */

import { BUILD, ofThisBuild } from "./build-id.js";
import { connectionError, type ErrorObject } from "./errors.js";

/** As much of a `Worker` as is used. */
export interface PoolWorker {
  postMessage(message: unknown, transfer: Transferable[]): void;
  terminate(): void;
  addEventListener(type: "error", listener: (event: Event) => void): void;
}

export class Housing {
  readonly #open: () => PoolWorker;
  readonly #answer: (id: number, error: ErrorObject | null, port?: MessagePort) => void;
  readonly #workers = new Map<number, PoolWorker>();

  /** @param answer tells the host of a pool, with a port to it, or of its failure */
  constructor(open: () => PoolWorker, answer: (id: number, error: ErrorObject | null, port?: MessagePort) => void) {
    this.#open = open;
    this.#answer = answer;
  }

  /** The host wants a pool. */
  open(id: number): void {
    if (this.#workers.has(id)) return;
    try {
      const worker = this.#open();
      this.#workers.set(id, worker);
      worker.addEventListener("error", (event) => {
        // A trap of the engine is an event of the worker's own, which tells the host in its own words.
        if (event instanceof ErrorEvent && event.lineno > 0) return;
        this.close(id);
        this.#answer(id, failed(event instanceof ErrorEvent ? event.message : ""));
      });
      const { port1, port2 } = new MessageChannel();
      worker.postMessage("connect", [port2]);
      this.#answer(id, null, port1);
    } catch (error) {
      this.#answer(id, failed(error instanceof Error ? error.message : String(error)));
    }
  }

  /** The host wants it no more. */
  close(id: number): void {
    this.#workers.get(id)?.terminate();
    this.#workers.delete(id);
  }

  /** The link ends. */
  closeAll(): void {
    for (const id of [...this.#workers.keys()]) this.close(id);
  }
}

function failed(detail: string): ErrorObject {
  return connectionError(
    "pool_failed",
    `the worker of the CPU engine could not be started${detail ? ` (${detail})` : ""}; check that tilewright-pool-worker.js is ` +
      "served beside tilewright-worker.js, from this page's own origin and with its Cross-Origin-Embedder-Policy",
  ).toJSON();
}

/** Opens the pool's worker beside the other one. */
export function poolWorkerAt(workerUrl: URL): () => PoolWorker {
  const url = ofThisBuild(new URL("tilewright-pool-worker.js", workerUrl));
  return () => new Worker(url, { name: `tilewright pool ${BUILD}`, type: "module" });
}
