/**
 * What the user sees of this page, as the browser tells it in half a dozen events.
 *
 * `freeze` comes before the browser stops a hidden page's scripts, and is the last that is heard of it for as long as that
 * takes; `resume` comes after.
 */

import type { PageState } from "./protocol.js";

/** As much of a page as is looked at. */
export interface PageScope {
  readonly window: EventTarget;
  readonly document: EventTarget & Pick<Document, "visibilityState" | "hasFocus" | "activeElement">;
}

export class PageWatch {
  readonly #scope: PageScope;
  readonly #changed: (state: PageState) => void;
  #state: PageState;

  /** @param changed called with each new state */
  constructor(scope: PageScope, changed: (state: PageState) => void) {
    this.#scope = scope;
    this.#changed = changed;
    this.#state = this.#look(false);
    const { window, document } = scope;
    for (const type of WINDOW_EVENTS) window.addEventListener(type, this.#heard);
    for (const type of DOCUMENT_EVENTS) document.addEventListener(type, this.#heard);
  }

  get state(): PageState {
    return this.#state;
  }

  /** Listens no more. */
  close(): void {
    const { window, document } = this.#scope;
    for (const type of WINDOW_EVENTS) window.removeEventListener(type, this.#heard);
    for (const type of DOCUMENT_EVENTS) document.removeEventListener(type, this.#heard);
  }

  readonly #heard = ({ type }: Event): void => {
    const frozen = type === "freeze" || (this.#state.frozen && type !== "resume" && type !== "pageshow");
    const before = this.#state;
    const state = this.#look(frozen);
    // Some browsers still think that they have the focus while they say that it goes. It may go to a frame of the page.
    if (type === "blur" && this.#scope.document.activeElement?.tagName !== "IFRAME") state.focused = false;
    this.#state = state;
    const same = (Object.keys(state) as (keyof PageState)[]).every((key) => state[key] === before[key]);
    if (!same) this.#changed(state);
  };

  #look(frozen: boolean): PageState {
    const { document } = this.#scope;
    return { visible: document.visibilityState === "visible", focused: document.hasFocus(), frozen };
  }
}

const WINDOW_EVENTS = ["focus", "blur", "pageshow", "pagehide"];
const DOCUMENT_EVENTS = ["visibilitychange", "freeze", "resume"];
