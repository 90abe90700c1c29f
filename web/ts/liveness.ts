/**
 * How the host learns that a tab is gone, crashed tabs included, and a tab that the host is.
 *
 * No event says so reliably. But a Web Lock is released by the browser when its holder ends, however it ends: so a tab
 * holds an exclusive lock under a random name and says hello only once it has it, and the host asks for the same lock.
 * When the host is granted it, the tab is gone. The host holds one as well, names it in its welcome, and tabs ask for it. A
 * port's `close` event says it sooner where it exists, and is only a hint: Chromium 156 gives none when a SharedWorker ends.
 */

/** As much of a `LockManager` as is used. */
export interface Locks {
  request(
    name: string,
    options: { mode: "exclusive"; signal?: AbortSignal },
    callback: () => Promise<void> | undefined,
  ): Promise<unknown>;
}

/**
 * Takes a lock and keeps it until released, or until this page ends.
 * @returns what releases it
 */
export function holdLock(locks: Locks, name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    locks
      .request(
        name,
        { mode: "exclusive" },
        () =>
          new Promise<void>((release) => {
            resolve(() => {
              release();
            });
          }),
      )
      .catch((error: unknown) => {
        reject(error instanceof Error ? error : new Error(String(error)));
      });
  });
}

/**
 * Calls back once the holder of a lock is gone.
 * @param signal stops waiting
 */
export function whenReleased(locks: Locks, name: string, signal: AbortSignal, gone: () => void): void {
  locks
    .request(name, { mode: "exclusive", signal }, () => {
      if (!signal.aborted) gone();
      return undefined;
    })
    // Only the signal ends the wait early, and then nobody is waiting.
    .catch(() => undefined);
}
