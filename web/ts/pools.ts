/**
 * The scheduler's side of CPU pools: asks a tab for a worker, has it load the model, passes steps on, and notices its end.
 *
 * A pool that goes with its tab is nobody's fault: another tab is asked, also in the middle of loading, and whoever waits
 * sees a pause. A pool that crashes may have been brought down by what it computes, and that is told apart (`crashed`).
 * Silence says nothing: a step of a long prompt takes seconds, and a tab that sleeps is quiet. The worker's Web Lock does.
 */

import { TilewrightError, connectionError, toErrorObject } from "./errors.js";
import { whenReleased, type Locks } from "./liveness.js";
import { TabGone, type Place, type PoolHosts } from "./pool-hosts.js";
import { readFromPool, type FromPool, type PoolLoad, type ToPool } from "./pool-protocol.js";
import type { Port, Progress } from "./protocol.js";

/** How long a worker's first word may take, in milliseconds: its script has to be fetched. */
const HELLO_MS = 20_000;
/** So many crashes while loading are enough to know. */
const MOST_CRASHES = 2;

/** Why a step has no answer. */
export class PoolGone extends Error {
  constructor(
    message: string,
    /** It may be the fault of what it computed. */
    readonly crashed: boolean,
  ) {
    super(message);
  }
}

export interface PoolOptions {
  hosts: PoolHosts;
  /** What each pool is to load. */
  load: PoolLoad;
  locks: Locks | undefined;
  /** The model is no longer wanted. */
  signal: AbortSignal;
  /** Which file is being read. */
  onFile: (file: string, cached: boolean) => void;
  helloMs?: number;
}

/** What the engine opens pools with. */
export class PoolOpener {
  readonly #options: PoolOptions;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /**
   * Opens a pool in a tab and loads the model there.
   * @param progress called with JSON of phase, loaded and total
   * @param lost called once when an open pool is gone
   */
  async open(progress: (json: string) => void, lost: (reason: string) => void): Promise<Pool> {
    const { hosts, signal } = this.#options;
    for (let crashes = 0; ;) {
      const place = await hosts.place(signal);
      const pool = new Pool(place, this.#options, ({ phase, loaded, total, file, cached }) => {
        if (file !== null) this.#options.onFile(file, cached);
        progress(JSON.stringify({ phase, loaded, total }));
      });
      try {
        await pool.ready;
        void pool.over.then(lost);
        return pool;
      } catch (error) {
        pool.close();
        signal.throwIfAborted();
        if (!(error instanceof PoolGone)) throw error;
        if (error.crashed) crashes += 1;
        if (crashes >= MOST_CRASHES) throw connectionError("pool_failed", error.message);
      }
    }
  }
}

/** One pool: a worker of some tab with a model in it. */
export class Pool {
  /** Resolves once the model is loaded. */
  readonly ready: Promise<void>;
  /** Resolves with the reason when an open pool is gone; not when it is closed from here. */
  readonly over: Promise<string>;
  description: Uint8Array = new Uint8Array();
  notice: string | undefined;
  /** How large its memory is. A wasm memory never shrinks, so this is the most that it ever was. */
  heapBytes = 0;
  readonly #place: Place;
  readonly #options: PoolOptions;
  readonly #progress: (progress: Progress) => void;
  readonly #ended = new AbortController();
  readonly #steps = new Map<number, { resolve: (answer: Uint8Array) => void; reject: (error: PoolGone) => void }>();
  #port: Port | undefined;
  #next = 0;
  #isReady!: () => void;
  #isNotReady!: (reason: unknown) => void;
  #isOver!: (reason: string) => void;
  #gone: PoolGone | undefined;
  #helloTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(place: Place, options: PoolOptions, progress: (progress: Progress) => void) {
    this.#place = place;
    this.#options = options;
    this.#progress = progress;
    this.ready = new Promise((resolve, reject) => {
      this.#isReady = resolve;
      this.#isNotReady = reject;
    });
    this.over = new Promise((resolve) => {
      this.#isOver = resolve;
    });
    this.#helloTimer = setTimeout(() => {
      this.#end(new PoolGone("the worker of the CPU engine did not start within 20 s", true));
    }, options.helloMs ?? HELLO_MS);
    place.gone.addEventListener("abort", () => {
      const reason: unknown = place.gone.reason;
      if (reason instanceof TabGone) this.#end(new PoolGone(reason.message, false));
      else this.#fail(reason);
    });
    place.port.then(
      (port) => {
        this.#listen(port);
      },
      () => undefined,
    );
    options.signal.addEventListener("abort", this.#dropped);
  }

  /** Sends a step at once; rejects with a `PoolGone` when there will be no answer. */
  step(question: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#gone || !this.#port) {
        reject(this.#gone ?? new PoolGone("the pool is not open", false));
        return;
      }
      this.#next += 1;
      this.#steps.set(this.#next, { resolve, reject });
      this.#post({ type: "step", id: this.#next, question }, [question.buffer]);
    });
  }

  /** Ends the worker. */
  close(): void {
    this.#isOver = () => undefined;
    this.#end(new PoolGone("the pool was closed", false));
  }

  readonly #dropped = (): void => {
    this.close();
  };

  #listen(port: Port): void {
    if (this.#gone) {
      port.close();
      return;
    }
    this.#port = port;
    port.addEventListener("message", (event) => {
      const message = readFromPool(event.data);
      if (message) this.#heard(message);
    });
    port.addEventListener("close", () => {
      this.#end(new PoolGone("the worker that computed has ended", false));
    });
    port.start();
  }

  #heard(message: FromPool): void {
    if (this.#gone) return;
    switch (message.type) {
      case "hello": {
        clearTimeout(this.#helloTimer);
        const { load, locks } = this.#options;
        if (message.lock !== null && locks) {
          whenReleased(locks, message.lock, this.#ended.signal, () => {
            this.#end(new PoolGone("the worker that computed has ended", false));
          });
        }
        this.#post({ type: "load", ...load });
        return;
      }
      case "progress":
        this.#progress(message.progress);
        return;
      case "loaded":
        this.description = message.description;
        this.notice = message.notice ?? undefined;
        this.heapBytes = message.heapBytes;
        this.#isReady();
        return;
      case "failed":
        this.#fail(new TilewrightError(message.error));
        return;
      case "answer": {
        this.heapBytes = message.heapBytes;
        const step = this.#steps.get(message.id);
        this.#steps.delete(message.id);
        step?.resolve(message.answer);
        return;
      }
      case "crashed":
        this.#end(new PoolGone(message.error.message, true));
    }
  }

  #post(message: ToPool, transfer: Transferable[] = []): void {
    this.#port?.postMessage(message, transfer);
  }

  /** It can't be had, for a reason that another try would meet again. */
  #fail(error: unknown): void {
    this.#isNotReady(error);
    this.#end(new PoolGone(toErrorObject(error).message, true));
  }

  #end(gone: PoolGone): void {
    if (this.#gone) return;
    this.#gone = gone;
    clearTimeout(this.#helloTimer);
    this.#options.signal.removeEventListener("abort", this.#dropped);
    this.#ended.abort();
    this.#place.leave();
    this.#port?.close();
    this.#isNotReady(gone);
    this.ready.catch(() => undefined);
    const steps = [...this.#steps.values()];
    this.#steps.clear();
    for (const { reject } of steps) reject(gone);
    this.#isOver(gone.message);
  }
}
