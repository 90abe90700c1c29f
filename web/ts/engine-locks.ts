/**
 * What the engines of one site tell each other, by Web Locks: whose turn it is to tune, and whether anybody is answered.
 *
 * Several engines there are where tabs use several models, and where they don't share a worker. They share the GPU all the
 * same: two that tune at a time would spoil each other's measurements, and one that tunes while another answers makes its
 * user wait. Locks reach across workers and tabs, and the browser takes them from whoever ends, however it ends.
 *
 * A browser without locks, or a worker that may not have them, has nobody to give way to.
 */

const TUNING = "tilewright tuning";
const ANSWERING = "tilewright answering";

/** As much of a `LockManager` as is used. */
export interface SharedLocks {
  request<T>(
    name: string,
    options: { mode?: "exclusive" | "shared"; ifAvailable?: boolean },
    callback: (lock: unknown) => T | Promise<T>,
  ): Promise<T>;
}

export class EngineLocks {
  readonly #locks: SharedLocks | undefined;

  constructor(locks = ownLocks()) {
    this.#locks = locks;
  }

  /** Resolves when no other engine of this site is tuning, to what lets the next one begin. */
  tuning(): Promise<() => void> {
    return this.#hold(TUNING, "exclusive");
  }

  /** Says that an engine answers, or is timed, until it calls what this resolves to. Any number may. */
  answering(): Promise<() => void> {
    return this.#hold(ANSWERING, "shared");
  }

  /** Whether no engine of this site answers now. */
  async isQuiet(): Promise<boolean> {
    try {
      const free = (lock: unknown): boolean => lock !== null;
      return (await this.#locks?.request(ANSWERING, { mode: "exclusive", ifAvailable: true }, free)) ?? true;
    } catch {
      return true;
    }
  }

  /** Resolves when no engine of this site answers. */
  async quiet(): Promise<void> {
    // Without locks there is none to wait for.
    await this.#locks?.request(ANSWERING, { mode: "exclusive" }, () => undefined).catch(() => undefined);
  }

  #hold(name: string, mode: "exclusive" | "shared"): Promise<() => void> {
    return new Promise((resolve) => {
      const held = (): Promise<void> =>
        new Promise((release) => {
          resolve(release);
        });
      const nobodyElse = (): void => {
        resolve(() => undefined);
      };
      if (this.#locks) this.#locks.request(name, { mode }, held).catch(nobodyElse);
      else nobodyElse();
    });
  }
}

function ownLocks(): SharedLocks | undefined {
  return (globalThis.navigator as Navigator | undefined)?.locks;
}
