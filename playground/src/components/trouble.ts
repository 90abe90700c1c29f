// An error in words, with what to do and the button that does it.
import "@awesome.me/webawesome/dist/components/button/button.js";
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import { explain } from "../explain";
import { base } from "./shared";

@customElement("tw-trouble")
export class Trouble extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
      }
      .card {
        display: grid;
        grid-template-columns: auto 1fr;
        gap: 0.2rem 0.85rem;
        padding: 1.1rem 1.25rem 1.2rem;
        border: 1px solid var(--danger-line);
        border-radius: 1rem;
        background: var(--danger-wash);
      }
      wa-icon {
        margin-top: 0.2rem;
        font-size: 1.2rem;
        color: var(--danger);
      }
      .card > :not(wa-icon) {
        grid-column: 2;
      }
      h2 {
        margin: 0;
        font-size: 1rem;
        font-weight: 620;
        line-height: 1.6;
      }
      p {
        margin: 0;
        color: var(--ink-soft);
        font-size: 0.9375rem;
        line-height: 1.6;
        overflow-wrap: anywhere;
      }
      p + p {
        margin-top: 0.4rem;
      }
      wa-button {
        --wa-color-neutral-on-quiet: var(--ink);
        --wa-color-neutral-border-loud: var(--danger-line);
        margin-top: 0.9rem;
        justify-self: start;
      }
    `,
  ];

  @property({ attribute: false }) error: unknown;

  override render() {
    const { title, detail, advice, remedy } = explain(this.error);
    const label = remedy === "new-chat" ? "New chat" : "Try again";
    return html`<div class="card" role="alert">
      <wa-icon name="trouble"></wa-icon>
      <h2>${title}</h2>
      <p class="detail">${detail}</p>
      ${advice ? html`<p class="advice">${advice}</p>` : nothing}
      ${
        remedy === "none"
          ? nothing
          : html`<wa-button size="s" appearance="outlined" @click=${() => this.help(remedy)}>${label}</wa-button>`
      }
    </div>`;
  }

  private help(remedy: string): void {
    this.dispatchEvent(
      new CustomEvent(remedy === "new-chat" ? "new-chat" : "again", { bubbles: true, composed: true }),
    );
  }
}
