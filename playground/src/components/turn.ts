// One turn of the conversation: the user's words in a bubble, the model's answer as prose with its buttons.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { unsafeHTML } from "lit/directives/unsafe-html.js";
import type { Turn } from "../chat";
import { MarkdownBlocks } from "../markdown";
import { prose } from "./prose";
import { base, quietButtons } from "./shared";
import "./trouble";

@customElement("tw-turn")
export class TurnElement extends LitElement {
  static override styles = [
    base,
    quietButtons,
    prose,
    css`
      :host {
        display: block;
      }
      .said {
        width: fit-content;
        max-width: min(85%, 36rem);
        margin-inline-start: auto;
        padding: 0.65rem 1.05rem;
        border-radius: 1.25rem 1.25rem 0.4rem 1.25rem;
        background: var(--bubble);
        white-space: pre-wrap;
        overflow-wrap: anywhere;
      }
      .note {
        margin: 0.75rem 0 0;
        color: var(--ink-quiet);
        font-size: 0.875rem;
      }
      .tools {
        display: flex;
        gap: 0.15rem;
        margin: 0.5rem 0 0 -0.6rem;
      }
      .tools .quiet {
        height: 2rem;
        font-size: 0.8125rem;
      }
      .tools wa-icon {
        font-size: 0.95rem;
      }
      tw-trouble {
        margin-top: 0.25rem;
      }
    `,
  ];

  @property({ attribute: false }) turn!: Turn;
  /** Is it the last one? Only that one can be made again. */
  @property({ type: Boolean }) last = false;
  /** The text shown; a property of its own, as the turn is changed in place while it streams. */
  @property() text = "";
  @property() state = "";
  @state() private copied = false;
  private readonly blocks = new MarkdownBlocks();

  override render() {
    if (this.turn.role === "user") return html`<div class="said">${this.turn.text}</div>`;
    const streaming = this.state === "streaming";
    return html`
      ${
        this.text || streaming
          ? html`<div class="prose ${streaming ? "streaming" : ""}" @click=${this.copyCode}>
              ${this.blocks.render(this.text).map((block) => html`<div class="block">${unsafeHTML(block)}</div>`)}
            </div>`
          : nothing
      }
      ${this.state === "stopped" ? html`<p class="note">You stopped this answer.</p>` : nothing}
      ${this.state === "cut" ? html`<p class="note">The answer reached its token limit. You can raise it in the settings.</p>` : nothing}
      ${this.state === "failed" ? html`<tw-trouble .error=${this.turn.error}></tw-trouble>` : nothing}
      ${streaming || this.state === "failed" ? nothing : this.tools()}
    `;
  }

  private tools() {
    return html`<div class="tools">
      ${
        this.text
          ? html`<button class="quiet" type="button" @click=${this.copyAnswer}>
              <wa-icon name=${this.copied ? "check" : "copy"}></wa-icon>${this.copied ? "Copied" : "Copy"}
            </button>`
          : nothing
      }
      ${
        this.last
          ? html`<button class="quiet" type="button" @click=${this.again}>
              <wa-icon name="retry"></wa-icon>Regenerate
            </button>`
          : nothing
      }
    </div>`;
  }

  private again(): void {
    this.dispatchEvent(new CustomEvent("again", { bubbles: true, composed: true }));
  }

  private async copyAnswer(): Promise<void> {
    await navigator.clipboard.writeText(this.text);
    this.copied = true;
    setTimeout(() => (this.copied = false), 1600);
  }

  private async copyCode(event: Event): Promise<void> {
    const button = (event.target as Element).closest<HTMLButtonElement>("[data-copy]");
    const code = button?.closest(".code")?.querySelector("code");
    if (!button || !code) return;
    await navigator.clipboard.writeText(code.textContent ?? "");
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1600);
  }
}
