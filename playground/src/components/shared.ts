// Rules that every component's shadow root needs.
import { css } from "lit";

export const base = css`
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  :host([hidden]),
  [hidden] {
    display: none !important;
  }
  .heard {
    /* for screen readers only */
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }
`;

/** Small quiet buttons with an icon: in the header and under answers. */
export const quietButtons = css`
  .quiet {
    display: inline-flex;
    align-items: center;
    gap: 0.45rem;
    height: 2.25rem;
    padding: 0 0.6rem;
    border: 0;
    border-radius: 0.6rem;
    background: transparent;
    color: var(--ink-quiet);
    font: 500 0.875rem/1 var(--sans);
    cursor: pointer;
    transition:
      background 120ms,
      color 120ms;
  }
  .quiet:hover {
    background: color-mix(in srgb, var(--ink) 7%, transparent);
    color: var(--ink);
  }
  .quiet wa-icon {
    font-size: 1.125rem;
  }
  .quiet[disabled] {
    opacity: 0.4;
    pointer-events: none;
  }
`;

/** A page's head: its name at one end, quiet buttons at the other. On narrow screens they are icons alone, large enough for a thumb. */
export const head = css`
  header {
    display: flex;
    align-items: center;
    gap: 1rem;
    padding: 0.7rem clamp(0.75rem, 2vw, 1.25rem);
  }
  .brand {
    display: flex;
    align-items: center;
    gap: 0.7rem;
    min-width: 0;
    color: inherit;
    font-weight: 640;
    font-size: 1.0625rem;
    letter-spacing: -0.015em;
    text-decoration: none;
  }
  .brand img {
    width: 1.75rem;
    height: 1.75rem;
  }
  .buttons {
    display: flex;
    align-items: center;
    gap: 0.15rem;
    margin-inline-start: auto;
  }
  a.quiet {
    text-decoration: none;
  }
  @media (max-width: 40rem) {
    .quiet {
      width: 2.75rem;
      height: 2.75rem;
      justify-content: center;
      padding: 0;
    }
    .quiet span,
    .brand span {
      display: none;
    }
  }
`;
