/**
 * Measurements kept in this browser, in IndexedDB: one entry per record, each written whole or not at all.
 *
 * What an entry says is the wasm module's business (`web/src/tuning_store.rs`); here it is a text under a key, with a number
 * that says how far it is trusted, so that a record measured here is not overwritten by the same one from a file.
 *
 * Nothing here is worth a chat: every failure is a `TuningStoreError` that names its problem, and there are just four, because
 * there is nothing else to do about more. Entries that are no entries are moved to a list of their own. A database that the
 * browser itself calls damaged is deleted and made anew. A browser that doesn't answer is given up after five seconds.
 */

const NAME = "tilewright tuning";
const VERSION = 1;
const ENTRIES = "entries";
const ASIDE = "set aside";
const OPEN_MS = 5_000;

/** `full`: no room. `blocked`: another tab holds it. `unavailable`: none to be had. `failed`: anything else. */
export type StoreProblem = "full" | "blocked" | "unavailable" | "failed";

/** What the store can't do. */
export class TuningStoreError extends Error {
  override readonly name = "TuningStoreError";
  readonly problem: StoreProblem;

  constructor(problem: StoreProblem, message: string, options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
  }
}

/** A record under its name. */
export interface StoredEntry {
  key: string;
  text: string;
  /** The higher, the more trusted. */
  trust: number;
}

/** An entry that is none. */
export interface UnreadableEntry {
  key: string;
  why: string;
}

export class TuningStore {
  readonly #factory: IDBFactory | undefined;
  readonly #openMs: number;
  #open: Promise<IDBDatabase> | undefined;

  /** `factory` is the browser's; where it may not even be looked at, there is none. */
  constructor(factory = ownFactory(), openMs = OPEN_MS) {
    this.#factory = factory;
    this.#openMs = openMs;
  }

  /** Everything that is kept. What is no entry is set aside, and named. */
  async load(): Promise<{ entries: StoredEntry[]; unreadable: UnreadableEntry[] }> {
    const entries: StoredEntry[] = [];
    const unreadable: UnreadableEntry[] = [];
    await this.#transact("readwrite", (transaction) => {
      const request = transaction.objectStore(ENTRIES).openCursor();
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) return;
        const value: unknown = cursor.value;
        const key = cursor.primaryKey as string;
        if (isEntry(value)) {
          entries.push({ key, text: value.text, trust: value.trust });
        } else {
          unreadable.push({ key, why: "not an entry" });
          transaction.objectStore(ASIDE).put({ value, why: "not an entry" }, key);
          cursor.delete();
        }
        cursor.continue();
      };
    });
    return { entries, unreadable };
  }

  /** Keeps entries. One that is kept already with at least as much trust stays as it is. */
  async put(entries: StoredEntry[]): Promise<void> {
    await this.#transact("readwrite", (transaction) => {
      const store = transaction.objectStore(ENTRIES);
      for (const { key, text, trust } of entries) {
        const request = store.get(key);
        request.onsuccess = () => {
          const kept: unknown = request.result;
          if (!isEntry(kept) || kept.trust < trust) store.put({ text, trust }, key);
        };
      }
    });
  }

  /** Moves an entry, whose text turned out to be none, out of the way. */
  async setAside(key: string, why: string): Promise<void> {
    await this.#transact("readwrite", (transaction) => {
      const store = transaction.objectStore(ENTRIES);
      const request = store.get(key);
      request.onsuccess = () => {
        transaction.objectStore(ASIDE).put({ value: request.result as unknown, why }, key);
        store.delete(key);
      };
    });
  }

  /** Forgets entries; unknown ones are ignored. */
  async remove(keys: string[]): Promise<void> {
    await this.#transact("readwrite", (transaction) => {
      for (const key of keys) transaction.objectStore(ENTRIES).delete(key);
    });
  }

  /** Forgets everything, what was set aside included. */
  async clear(): Promise<void> {
    await this.#transact("readwrite", (transaction) => {
      transaction.objectStore(ENTRIES).clear();
      transaction.objectStore(ASIDE).clear();
    });
  }

  /** Runs one transaction to its end; all of it happens, or nothing. */
  async #transact(mode: IDBTransactionMode, work: (transaction: IDBTransaction) => void): Promise<void> {
    this.#open ??= this.#openOrRepair();
    try {
      const database = await this.#open;
      await new Promise<void>((resolve, reject) => {
        const transaction = database.transaction([ENTRIES, ASIDE], mode);
        transaction.oncomplete = () => {
          resolve();
        };
        transaction.onabort = () => {
          reject(transaction.error ?? new DOMException("the browser ended the transaction", "AbortError"));
        };
        work(transaction);
      });
    } catch (error) {
      const named = naming(error);
      // Another attempt opens it again; only a full one is still open, and fine.
      if (named.problem !== "full") this.#open = undefined;
      throw named;
    }
  }

  async #openOrRepair(): Promise<IDBDatabase> {
    try {
      return await this.#openOnce();
    } catch (error) {
      // What Chromium says of a damaged database, and Firefox of one in a damaged profile.
      const damaged = error instanceof DOMException && ["UnknownError", "NotFoundError"].includes(error.name);
      if (!damaged || !this.#factory) throw error;
      await this.#answer(this.#factory.deleteDatabase(NAME));
      return this.#openOnce();
    }
  }

  async #openOnce(): Promise<IDBDatabase> {
    if (!this.#factory) throw new TuningStoreError("unavailable", "this browser has no IndexedDB here");
    const request = this.#factory.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(ENTRIES);
      request.result.createObjectStore(ASIDE);
    };
    const database = await this.#answer(request);
    const lost = (): void => {
      this.#open = undefined;
    };
    // A later version of this page wants to change it, or the user clears the site's data: let go at once.
    database.onversionchange = () => {
      database.close();
      lost();
    };
    database.onclose = lost;
    return database;
  }

  /** What an opening request comes to. */
  #answer(request: IDBOpenDBRequest): Promise<IDBDatabase> {
    return new Promise((resolve, reject) => {
      let late = false;
      const giveUp = (why: string): void => {
        late = true;
        reject(new TuningStoreError("blocked", why));
      };
      const timer = setTimeout(() => {
        giveUp(`the browser did not open its database within ${this.#openMs / 1000} s`);
      }, this.#openMs);
      request.onblocked = () => {
        clearTimeout(timer);
        giveUp("another tab holds an older version of the database");
      };
      request.onsuccess = () => {
        clearTimeout(timer);
        // Nobody waits any more, and an open connection would block others.
        if (late) (request.result as IDBDatabase | undefined)?.close();
        else resolve(request.result);
      };
      request.onerror = () => {
        clearTimeout(timer);
        reject(request.error ?? new DOMException("the database could not be opened", "UnknownError"));
      };
    });
  }
}

function ownFactory(): IDBFactory | undefined {
  try {
    return globalThis.indexedDB;
  } catch {
    return undefined;
  }
}

function isEntry(value: unknown): value is { text: string; trust: number } {
  if (typeof value !== "object" || value === null) return false;
  const { text, trust } = value as Record<string, unknown>;
  return typeof text === "string" && typeof trust === "number";
}

/** What went wrong, as one of the four problems. */
function naming(error: unknown): TuningStoreError {
  if (error instanceof TuningStoreError) return error;
  const name = error instanceof Error ? error.name : "";
  const message = error instanceof Error ? `${name}: ${error.message}` : String(error);
  return new TuningStoreError(problemOf(name), message, { cause: error });
}

function problemOf(name: string): StoreProblem {
  switch (name) {
    case "QuotaExceededError":
      return "full";
    // Firefox in private windows, a page without an origin, a browser told to keep nothing; a later version's database.
    case "SecurityError":
    case "InvalidStateError":
    case "NotAllowedError":
    case "NotSupportedError":
    case "VersionError":
      return "unavailable";
    default:
      return "failed";
  }
}
