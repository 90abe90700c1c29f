// Where the user writes: a text field that grows, Enter sends, Shift+Enter starts a new line, and one button that sends or stops.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { base } from "./shared";

@customElement("tw-composer")
export class Composer extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
      }
      form {
        display: grid;
        grid-template-columns: 1fr auto;
        align-items: end;
        gap: 0.5rem;
        padding: 0.5rem 0.5rem 0.5rem 1.2rem;
        border: 1px solid var(--line-strong);
        border-radius: 1.6rem;
        background: var(--raised);
        box-shadow: var(--shadow);
        cursor: text;
        transition: border-color 120ms;
      }
      form:focus-within {
        border-color: var(--accent);
      }
      textarea {
        width: 100%;
        max-height: min(40vh, 16rem);
        padding: 0.45rem 0;
        border: 0;
        background: transparent;
        color: inherit;
        font: 400 1rem/1.6 var(--sans);
        resize: none;
        field-sizing: content;
      }
      textarea:focus-visible {
        outline: 0; /* the whole card shows it */
      }
      textarea::placeholder {
        color: var(--ink-quiet);
        opacity: 1;
      }
      button {
        display: grid;
        place-items: center;
        width: 2.5rem;
        height: 2.5rem;
        border: 0;
        border-radius: 50%;
        background: var(--accent-fill);
        color: #fff;
        font-size: 1.2rem;
        cursor: pointer;
        transition:
          background 120ms,
          opacity 120ms;
      }
      button:hover:not(:disabled) {
        background: color-mix(in srgb, var(--accent-fill) 88%, #000);
      }
      button:disabled {
        background: color-mix(in srgb, var(--ink) 10%, transparent);
        color: var(--ink-quiet);
        cursor: default;
      }
      button.stop {
        background: var(--ink);
        color: var(--paper);
        font-size: 0.85rem;
      }
      button.stop:hover {
        background: var(--ink-soft);
      }
    `,
  ];

  /** May a message be sent now? */
  @property({ type: Boolean }) ready = false;
  /** Is an answer being made? Then the button stops it. */
  @property({ type: Boolean }) busy = false;
  @state() private text = "";
  @query("textarea") private field!: HTMLTextAreaElement;

  override render() {
    return html`<form @submit=${this.submit} @click=${() => this.field.focus()}>
      <textarea
        rows="1"
        aria-label="Message"
        placeholder="Ask anything"
        enterkeyhint="send"
        .value=${this.text}
        @input=${this.typed}
        @keydown=${this.key}
      ></textarea>
      ${
        this.busy
          ? html`<button class="stop" type="button" aria-label="Stop the answer" title="Stop (Esc)" @click=${this.stop}>
              <wa-icon name="stop"></wa-icon>
            </button>`
          : html`<button type="submit" aria-label="Send" title="Send (Enter)" ?disabled=${!this.sendable}>
              <wa-icon name="arrow-up"></wa-icon>
            </button>`
      }
    </form>`;
  }

  override firstUpdated(): void {
    // Not on a phone, where it would raise the keyboard over the page.
    if (!matchMedia("(pointer: coarse)").matches) this.field.focus();
  }

  override focus(): void {
    this.field?.focus();
  }

  private get sendable(): boolean {
    return this.ready && !this.busy && this.text.trim() !== "";
  }

  private typed(): void {
    this.text = this.field.value;
    this.grow();
  }

  private grow(): void {
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }

  private key(event: KeyboardEvent): void {
    // Enter that ends a composed character (Japanese, Chinese, Korean) is not a send.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.submit();
  }

  private submit(event?: Event): void {
    event?.preventDefault();
    if (!this.sendable) return;
    this.dispatchEvent(new CustomEvent("send", { detail: this.text.trim(), bubbles: true, composed: true }));
    this.text = "";
    void this.updateComplete.then(() => this.grow());
  }

  private stop(event: Event): void {
    event.stopPropagation();
    this.dispatchEvent(new CustomEvent("stop", { bubbles: true, composed: true }));
    this.field.focus();
  }
}
