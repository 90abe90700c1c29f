// What all parts of the tabs page share: the chip that stands for a client, the card that a part sits in, and the spotlight.
import { css, html } from "lit";
import { cssColour, cssInk } from "../../tabs/palette";
import type { ClientMarks } from "../../tabs/client-marks";

/** A client's number on its colour. */
export function chip(client: number, marks: ClientMarks) {
  const slot = marks.slot(client);
  return html`<span
    class="chip"
    style=${`background: ${cssColour(slot)}; color: ${cssInk(slot)}`}
    aria-label=${`client ${client}`}
    role="img"
    >${client}</span
  >`;
}

/** Tells the page to dim everything that is not this client's; `undefined` ends it. */
export function spotlight(from: HTMLElement, client: number | undefined, keep = false): void {
  from.dispatchEvent(new CustomEvent("spotlight", { detail: { client, keep }, bubbles: true, composed: true }));
}

export interface Spotlight {
  client: number | undefined;
  /** Chosen with a click, so it stays. */
  keep: boolean;
}

/** Does this client stand back while another is in the light? */
export function dim(client: number, spot: number | undefined): string {
  return spot === undefined || spot === client ? "" : "dim";
}

export const chips = css`
  .chip {
    display: inline-grid;
    flex: none;
    place-items: center;
    min-width: 1.5rem;
    height: 1.5rem;
    padding: 0 0.3rem;
    border-radius: 0.45rem;
    font: 650 0.8125rem/1 var(--sans);
    font-variant-numeric: tabular-nums;
  }
  .dim {
    opacity: 0.35;
  }
`;

export const card = css`
  :host {
    display: block;
    min-width: 0;
  }
  section {
    height: 100%;
    padding: 1rem 1.2rem 1.15rem;
    border: 1px solid var(--line);
    border-radius: 1rem;
    background: var(--raised);
  }
  .head {
    display: flex;
    flex-wrap: wrap;
    align-items: baseline;
    justify-content: space-between;
    gap: 0 1rem;
    margin-bottom: 0.7rem;
  }
  h2 {
    margin: 0;
    font-size: 0.9375rem;
    font-weight: 620;
    line-height: 1.5;
    letter-spacing: -0.006em;
  }
  .meta {
    margin: 0;
    color: var(--ink-quiet);
    font-size: 0.8125rem;
    line-height: 1.5;
    font-variant-numeric: tabular-nums;
  }
  .empty {
    margin: 0;
    color: var(--ink-soft);
    font-size: 0.9375rem;
    line-height: 1.55;
    text-wrap: pretty;
  }
  .empty a {
    color: var(--accent);
    text-underline-offset: 0.15em;
  }
  wa-icon {
    flex: none;
  }
`;

/** Where to begin, from an empty part of the page. */
export function askSomething(before: string, after: string) {
  return html`<p class="empty">
    ${before} <a href=${`./${location.search}`} target="_blank" rel="noopener">Open the chat in another tab</a> ${after}
  </p>`;
}
