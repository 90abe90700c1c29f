// Where the user writes: a text field that grows, Enter sends, Shift+Enter starts a new line, and one button that sends or stops.
// A message for a model that is still loading waits in the field, and goes out by itself.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
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
      .waits {
        margin: 0.5rem 1.2rem 0;
        color: var(--ink-soft);
        font-size: 0.875rem;
      }
    `,
  ];

  /** May a message be sent now? */
  @property({ type: Boolean }) ready = false;
  /** Will that be so by itself? */
  @property({ type: Boolean }) loading = false;
  /** Is an answer being made? Then the button stops it. */
  @property({ type: Boolean }) busy = false;
  @state() private text = "";
  /** The user has sent it, but nobody could take it yet. */
  @state() private waits = false;
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
        ${this.button()}
      </form>
      <div role="status">
        ${
          this.waits
            ? html`<p class="waits">
                It will be sent as soon as the model is ready. Esc, or changing it, takes it back.
              </p>`
            : nothing
        }
      </div>`;
  }

  private button() {
    if (this.busy)
      return html`<button
        class="stop"
        type="button"
        aria-label="Stop the answer"
        title="Stop (Esc)"
        @click=${this.stop}
      >
        <wa-icon name="stop"></wa-icon>
      </button>`;
    if (this.waits)
      return html`<button
        class="stop"
        type="button"
        aria-label="Don't send"
        title="Don't send (Esc)"
        @click=${this.takeBack}
      >
        <wa-icon name="stop"></wa-icon>
      </button>`;
    return html`<button type="submit" aria-label="Send" title="Send (Enter)" ?disabled=${!this.sendable}>
      <wa-icon name="arrow-up"></wa-icon>
    </button>`;
  }

  override willUpdate(): void {
    // What failed to load gets another try first.
    if (!this.ready && !this.loading) this.waits = false;
  }

  override updated(): void {
    if (this.waits && this.ready && !this.busy) this.send();
  }

  override firstUpdated(): void {
    // Not on a phone, where it would raise the keyboard over the page.
    if (!matchMedia("(pointer: coarse)").matches) this.field.focus();
  }

  override focus(): void {
    this.field?.focus();
  }

  private get sendable(): boolean {
    return (this.ready || this.loading) && !this.busy && this.text.trim() !== "";
  }

  private typed(): void {
    this.text = this.field.value;
    this.waits = false;
    this.grow();
  }

  private grow(): void {
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "Escape") this.waits = false;
    // Enter that ends a composed character (Japanese, Chinese, Korean) is not a send.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.submit();
  }

  private submit(event?: Event): void {
    event?.preventDefault();
    if (!this.sendable) return;
    if (this.ready) this.send();
    else this.waits = true;
  }

  private send(): void {
    this.dispatchEvent(new CustomEvent("send", { detail: this.text.trim(), bubbles: true, composed: true }));
    this.text = "";
    this.waits = false;
    void this.updateComplete.then(() => this.grow());
  }

  private takeBack(event: Event): void {
    event.stopPropagation();
    this.waits = false;
    this.field.focus();
  }

  private stop(event: Event): void {
    event.stopPropagation();
    this.dispatchEvent(new CustomEvent("stop", { bubbles: true, composed: true }));
    this.field.focus();
  }
}
