/**
 * Which tab a model's CPU pool lives in.
 *
 * Of the tabs that use the model: a visible one before a hidden one, then the one that was visible last, then the oldest. A
 * tab that is frozen runs nothing, so it is none of them. The choice is made when a pool is needed and then stands (moving
 * means loading again): a hidden tab computes on until it is closed or its worker dies, or it is frozen and another is not.
 *
 * If there is no tab, whoever asks waits for one: the model outlives its last tab by a minute, and a reload brings it back.
 */

import { connectionError, type TilewrightError } from "./errors.js";
import type { HostMessage, PageState, Port } from "./protocol.js";

/** A tab, as far as it can house a pool. */
export interface HostTab {
  /** Unique in the host, rising. */
  readonly client: number;
  readonly state: PageState | undefined;
  send(message: HostMessage): void;
}

/** A place for a pool, asked of one tab. */
export interface Place {
  /** The way to the worker; rejects if the tab has none, or went away. */
  readonly port: Promise<Port>;
  /** Aborted when the tab is gone, frozen, or says that the worker is: its reason is an `Error`. */
  readonly gone: AbortSignal;
  /** The pool is no longer needed. */
  leave(): void;
}

interface Asked {
  tab: HostTab;
  opened: (port: Port) => void;
  gone: AbortController;
}

export class PoolHosts {
  readonly #tabs = new Map<number, { tab: HostTab; seen: number }>();
  readonly #asked = new Map<number, Asked>();
  #waiting: (() => void)[] = [];
  #looks = 0;
  #pools = 0;

  /** A tab uses the model. */
  add(tab: HostTab): void {
    this.#tabs.set(tab.client, { tab, seen: 0 });
    this.changed(tab);
  }

  /** What its user sees of a tab has changed. */
  changed(tab: HostTab): void {
    const entry = this.#tabs.get(tab.client);
    if (!entry) return;
    this.#looks += 1;
    if (tab.state?.visible !== false) entry.seen = this.#looks;
    if (this.best()) {
      for (const { tab: house } of [...this.#asked.values()]) {
        if (house.state?.frozen) this.#lose(house.client, "the tab that it ran in was frozen by the browser");
      }
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const look of waiting) look();
  }

  /** A tab is gone, or uses another model. */
  remove(client: number): void {
    this.#tabs.delete(client);
    this.#lose(client, "the tab that it ran in was closed");
  }

  /** The tab that a pool would be opened in now. */
  best(): HostTab | undefined {
    const able = [...this.#tabs.values()].filter(({ tab }) => tab.state?.frozen !== true);
    const rank = ({ tab }: { tab: HostTab }): number => (tab.state?.visible === false ? 1 : 0);
    able.sort((a, b) => rank(a) - rank(b) || b.seen - a.seen || a.tab.client - b.tab.client);
    return able[0]?.tab;
  }

  /** Asks the best tab for a worker; waits for a tab if there is none. */
  async place(signal: AbortSignal): Promise<Place> {
    let tab = this.best();
    while (!tab) {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push(resolve);
        const onAbort = (): void => {
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the reason is the caller's.
          reject(signal.reason);
        };
        signal.addEventListener("abort", onAbort, { once: true });
      });
      signal.throwIfAborted();
      tab = this.best();
    }
    this.#pools += 1;
    const id = this.#pools;
    const gone = new AbortController();
    const host = tab;
    const port = new Promise<Port>((resolve, reject) => {
      this.#asked.set(id, { tab: host, opened: resolve, gone });
      gone.signal.addEventListener("abort", () => {
        reject(gone.signal.reason as Error);
      });
    });
    port.catch(() => undefined);
    host.send({ type: "open pool", id });
    return {
      port,
      gone: gone.signal,
      leave: () => {
        if (this.#asked.delete(id)) host.send({ type: "close pool", id });
      },
    };
  }

  /** A tab's answer: a port to the worker, or why there is none, or no longer. */
  opened(client: number, id: number, port: Port | undefined, error: TilewrightError | undefined): void {
    const asked = this.#asked.get(id);
    if (asked?.tab.client !== client) return;
    if (port && !error) {
      asked.opened(port);
      return;
    }
    this.#asked.delete(id);
    asked.gone.abort(error ?? connectionError("pool_failed", "the page opened no worker for the CPU engine"));
  }

  #lose(client: number, why: string): void {
    for (const [id, asked] of this.#asked) {
      if (asked.tab.client !== client) continue;
      this.#asked.delete(id);
      asked.gone.abort(new TabGone(why));
      // A frozen tab hears it when it wakes.
      if (this.#tabs.has(client)) asked.tab.send({ type: "close pool", id });
    }
  }
}

/** The tab went away, and the pool with it: another tab may do. */
export class TabGone extends Error {}
