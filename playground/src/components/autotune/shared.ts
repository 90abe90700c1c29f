// Cards, tables and lists of facts, as the parts of the tuning page share them.
import { css } from "lit";

export const cards = css`
  section {
    min-width: 0;
    padding: 1.1rem 1.25rem 1.2rem;
    border: 1px solid var(--line);
    border-radius: 1rem;
    background: var(--raised);
  }
  h2 {
    margin: 0;
    font-size: 1.0625rem;
    font-weight: 620;
    letter-spacing: -0.01em;
    line-height: 1.4;
  }
  h3 {
    margin: 0 0 0.5rem;
    font-size: 0.875rem;
    font-weight: 600;
    line-height: 1.4;
  }
  .under {
    margin: 0.1rem 0 0;
    color: var(--ink-quiet);
    font-size: 0.875rem;
    line-height: 1.5;
    text-wrap: pretty;
  }
`;

export const tables = css`
  .scroll {
    overflow-x: auto;
  }
  table {
    width: 100%;
    border-collapse: collapse;
    font-size: 0.875rem;
    font-variant-numeric: tabular-nums;
    line-height: 1.45;
  }
  th,
  td {
    padding: 0.45rem 0 0.45rem 1rem;
    border-top: 1px solid var(--line);
    text-align: end;
    vertical-align: baseline;
    white-space: nowrap;
  }
  thead th {
    border-top: 0;
    color: var(--ink-quiet);
    font-size: 0.8125rem;
    font-weight: 450;
  }
  :is(th, td):first-child {
    padding-inline-start: 0;
  }
  :is(th, td).words {
    text-align: start;
    white-space: normal;
  }
  tbody th {
    font-weight: 550;
  }
`;

export const facts = css`
  dl {
    display: grid;
    grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr));
    gap: 0.75rem 1.4rem;
    margin: 0;
  }
  dt {
    color: var(--ink-quiet);
    font-size: 0.8125rem;
    line-height: 1.5;
  }
  dd {
    margin: 0;
    font-size: 0.9375rem;
    line-height: 1.45;
    font-variant-numeric: tabular-nums;
    overflow-wrap: anywhere;
  }
`;
