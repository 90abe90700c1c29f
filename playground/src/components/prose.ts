// How an answer's markdown looks.
import { css } from "lit";

export const prose = css`
  .prose {
    overflow-wrap: anywhere;
  }
  .prose > * {
    margin: 0 0 0.9em;
  }
  .prose > :last-child {
    margin-bottom: 0;
  }
  .prose .block > * {
    margin: 0;
  }
  .prose :is(h1, h2, h3, h4) {
    font-weight: 650;
    line-height: 1.3;
    letter-spacing: -0.012em;
  }
  .prose h1 {
    font-size: 1.4em;
  }
  .prose h2 {
    font-size: 1.22em;
  }
  .prose :is(h3, h4) {
    font-size: 1.06em;
  }
  .prose .block:has(> :is(h1, h2, h3, h4)):not(:first-child) {
    margin-top: 1.5em;
  }
  .prose .block:has(> :is(h1, h2, h3, h4)) {
    margin-bottom: 0.5em;
  }
  .prose :is(ul, ol) {
    padding-inline-start: 1.5em;
  }
  .prose li {
    padding-inline-start: 0.2em;
  }
  .prose li + li {
    margin-top: 0.3em;
  }
  .prose li::marker {
    color: var(--ink-quiet);
    font-variant-numeric: tabular-nums;
  }
  .prose li > p {
    margin: 0 0 0.5em;
  }
  .prose a {
    color: var(--accent);
    text-underline-offset: 0.18em;
    text-decoration-thickness: 1px;
  }
  .prose strong {
    font-weight: 640;
  }
  .prose blockquote {
    padding-inline-start: 1em;
    border-inline-start: 3px solid var(--line-strong);
    color: var(--ink-soft);
  }
  .prose blockquote > :first-child {
    margin-top: 0;
  }
  .prose blockquote > :last-child {
    margin-bottom: 0;
  }
  .prose hr {
    border: 0;
    border-top: 1px solid var(--line);
  }
  .prose code {
    font: 450 0.875em/1.6 var(--mono);
    font-variant-ligatures: none;
  }
  .prose :not(pre) > code {
    padding: 0.12em 0.38em;
    border-radius: 0.35em;
    background: color-mix(in srgb, var(--ink) 7%, transparent);
  }
  .table {
    overflow-x: auto;
    border: 1px solid var(--line);
    border-radius: 0.75rem;
  }
  .table table {
    width: 100%;
    border-collapse: collapse;
    font-size: 0.9375em;
    font-variant-numeric: tabular-nums;
  }
  .table :is(th, td) {
    padding: 0.55em 0.9em;
    text-align: start;
    overflow-wrap: normal;
  }
  .table [align="right"] {
    text-align: end;
  }
  .table [align="center"] {
    text-align: center;
  }
  .table th {
    background: var(--sunken);
    font-weight: 600;
    font-size: 0.9em;
    color: var(--ink-soft);
  }
  .table tr + tr td,
  .table thead + tbody td {
    border-top: 1px solid var(--line);
  }

  .code {
    border: 1px solid var(--line);
    border-radius: 0.85rem;
    background: var(--sunken);
    overflow: hidden;
  }
  .code-bar {
    display: flex;
    align-items: center;
    justify-content: space-between;
    padding: 0.3rem 0.4rem 0.3rem 1rem;
    color: var(--ink-quiet);
    font: 500 0.78rem/1 var(--sans);
  }
  .code-bar button {
    padding: 0.45rem 0.65rem;
    border: 0;
    border-radius: 0.5rem;
    background: transparent;
    color: inherit;
    font: inherit;
    cursor: pointer;
  }
  .code-bar button:hover {
    background: color-mix(in srgb, var(--ink) 8%, transparent);
    color: var(--ink);
  }
  .code pre {
    margin: 0;
    padding: 0.3rem 1rem 0.9rem;
    overflow-x: auto;
    overflow-wrap: normal;
    tab-size: 4;
  }
  .code pre:focus-visible {
    outline-offset: -3px;
    border-radius: 0.85rem;
  }
  .hljs-keyword,
  .hljs-literal,
  .hljs-built_in,
  .hljs-selector-tag,
  .hljs-meta {
    color: var(--code-keyword);
  }
  .hljs-string,
  .hljs-regexp,
  .hljs-addition {
    color: var(--code-string);
  }
  .hljs-number,
  .hljs-symbol,
  .hljs-variable,
  .hljs-template-variable,
  .hljs-attr,
  .hljs-attribute {
    color: var(--code-number);
  }
  .hljs-title,
  .hljs-section,
  .hljs-name,
  .hljs-type,
  .hljs-selector-class,
  .hljs-selector-id {
    color: var(--code-title);
  }
  .hljs-comment,
  .hljs-quote {
    color: var(--code-comment);
    font-style: italic;
  }
  .hljs-deletion {
    color: var(--danger);
  }

  /* The place where the next word will appear. */
  .streaming > .block:last-child > :is(p, h1, h2, h3, h4):last-child::after,
  .streaming > .block:last-child > :is(ul, ol):last-child > li:last-child::after,
  .streaming:empty::after {
    content: "";
    display: inline-block;
    width: 0.5em;
    height: 1.05em;
    margin-inline-start: 0.2em;
    border-radius: 0.12em;
    background: var(--accent);
    vertical-align: -0.18em;
    animation: caret 1.1s ease-in-out infinite;
  }
  @keyframes caret {
    50% {
      opacity: 0.15;
    }
  }
  @media (prefers-reduced-motion: reduce) {
    .streaming * {
      animation: none !important;
    }
  }
`;
