// What an empty chat shows: what this is, and a few questions to start from.
import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";
import { base } from "./shared";

const QUESTIONS = [
  "Why is the sky blue?",
  "Write a haiku about autumn rain",
  "Explain recursion with a short Python example",
  "Three ideas for a rainy Sunday",
];

@customElement("tw-welcome")
export class Welcome extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
      }
      h1 {
        margin: 0;
        font-size: clamp(1.7rem, 1.3rem + 1.8vw, 2.25rem);
        font-weight: 640;
        line-height: 1.2;
        letter-spacing: -0.025em;
        text-wrap: balance;
      }
      p {
        margin: 0.7rem 0 0;
        max-width: 34rem;
        color: var(--ink-soft);
        font-size: 1.0625rem;
        text-wrap: pretty;
      }
      ul {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr));
        gap: 0.65rem;
        margin: 1.8rem 0 0;
        padding: 0;
        list-style: none;
      }
      button {
        width: 100%;
        height: 100%;
        padding: 0.85rem 1.05rem;
        border: 1px solid var(--line);
        border-radius: 0.95rem;
        background: var(--raised);
        color: var(--ink-soft);
        font: 450 0.9375rem/1.45 var(--sans);
        text-align: start;
        cursor: pointer;
        transition:
          border-color 120ms,
          color 120ms;
      }
      button:hover:not(:disabled) {
        border-color: var(--accent);
        color: var(--ink);
      }
      button:disabled {
        cursor: default;
        color: var(--ink-quiet);
      }
    `,
  ];

  @property({ type: Boolean }) ready = false;

  override render() {
    return html`
      <h1>A language model, in your browser</h1>
      <p>
        It runs on this machine, on its GPU or its CPU. Nothing that you write leaves this machine, and every tab shares
        the one engine.
      </p>
      <slot></slot>
      <ul aria-label="Questions to start from" ?hidden=${!this.ready}>
        ${QUESTIONS.map((question) => html`<li><button type="button" @click=${() => this.ask(question)}>${question}</button></li>`)}
      </ul>
    `;
  }

  private ask(question: string): void {
    this.dispatchEvent(new CustomEvent("send", { detail: question, bubbles: true, composed: true }));
  }
}
