// What to time: a shape or a model, the lengths, how many at once.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Choice } from "../../bench/choice";
import { SHAPES } from "../../bench/shapes";
import { bytes } from "../../figures";
import { base } from "../shared";

@customElement("tw-bench-form")
export class BenchForm extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
      }
      form {
        display: grid;
        gap: 1.05rem;
        padding: 1.15rem 1.25rem 1.3rem;
        border: 1px solid var(--line);
        border-radius: 1rem;
        background: var(--raised);
      }
      fieldset {
        display: contents;
      }
      label,
      .label {
        display: grid;
        gap: 0.35rem;
        min-width: 0;
        color: var(--ink-soft);
        font-size: 0.875rem;
        font-weight: 550;
        line-height: 1.4;
      }
      small {
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        font-weight: 400;
        line-height: 1.45;
      }
      input:not([type="radio"], [type="checkbox"]),
      select {
        width: 100%;
        height: 2.5rem;
        padding: 0 0.7rem;
        border: 1px solid var(--line-strong);
        border-radius: 0.6rem;
        background-color: var(--raised);
        color: var(--ink);
        font: 400 0.9375rem/1 var(--sans);
        font-variant-numeric: tabular-nums;
      }
      .pair {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 0.8rem;
      }
      .either {
        display: grid;
        grid-auto-flow: column;
        grid-auto-columns: 1fr;
        padding: 0.2rem;
        border-radius: 0.7rem;
        background: var(--sunken);
      }
      .either label {
        display: block;
        padding: 0.4rem 0.6rem;
        border-radius: 0.55rem;
        color: var(--ink-soft);
        text-align: center;
        cursor: pointer;
      }
      .either label:has(:checked) {
        background: var(--raised);
        box-shadow: 0 1px 3px light-dark(#1e202622, #0008);
        color: var(--ink);
      }
      .either label:has(:focus-visible) {
        outline: 2px solid var(--accent);
      }
      .either input {
        position: absolute;
        opacity: 0;
        pointer-events: none;
      }
      .check {
        display: grid;
        grid-template-columns: auto 1fr;
        align-items: start;
        gap: 0.6rem;
        font-weight: 450;
      }
      .check input {
        width: 1.05rem;
        height: 1.05rem;
        margin: 0.1rem 0 0;
        accent-color: var(--accent-fill);
      }
      button {
        display: inline-flex;
        align-items: center;
        justify-content: center;
        gap: 0.55rem;
        height: 2.75rem;
        border: 1px solid transparent;
        border-radius: 0.7rem;
        background: var(--accent-fill);
        color: #fff;
        font: 600 0.9375rem/1 var(--sans);
        cursor: pointer;
      }
      button:hover {
        background: color-mix(in srgb, var(--accent-fill) 88%, #000);
      }
      button.stop {
        border-color: var(--line-strong);
        background: var(--raised);
        color: var(--ink);
      }
      fieldset:disabled :is(label, input, select) {
        color: var(--ink-quiet);
        cursor: default;
      }
    `,
  ];

  @property({ attribute: false }) choice!: Choice;
  @property({ type: Boolean }) busy = false;

  override render() {
    const { choice, busy } = this;
    return html`<form @submit=${this.submit}>
      <fieldset ?disabled=${busy}>
        <div class="either" role="radiogroup" aria-label="What to time">
          ${this.either("shape", "A shape")} ${this.either("model", "A model")}
        </div>
        ${choice.what === "shape" ? this.shape() : this.model()}
        <div class="pair">${this.text("prompt", "Prompt tokens")} ${this.text("generate", "Tokens decoded")}</div>
        <div class="pair">${this.text("concurrency", "At once")} ${this.text("repeats", "Repeats")}</div>
        <label
          >Computed on
          <select name="device" @change=${this.changed}>
            ${[
              ["auto", "The GPU, else the CPU"],
              ["gpu", "The GPU"],
              ["cpu", "The CPU"],
            ].map(
              ([value, label]) => html`<option value=${value!} ?selected=${choice.device === value}>${label}</option>`,
            )}
          </select>
        </label>
        ${choice.device === "cpu" ? this.text("threads", "Threads", "As many as suit the machine") : nothing}
      </fieldset>
      ${
        busy
          ? html`<button class="stop" type="button" @click=${() => this.say("stop")}>
              <wa-icon name="stop"></wa-icon>Stop
            </button>`
          : html`<button type="submit"><wa-icon name="play"></wa-icon>Run</button>`
      }
    </form>`;
  }

  private either(what: Choice["what"], label: string) {
    return html`<label
      ><input
        type="radio"
        name="what"
        value=${what}
        .checked=${this.choice.what === what}
        @change=${this.changed}
      />${label}</label
    >`;
  }

  private shape() {
    return html`<label
      >Shape
      <select name="shape" @change=${this.changed}>
        ${SHAPES.map(
          ({ name, bytes: size }) =>
            html`<option value=${name} ?selected=${this.choice.shape === name}>${name} · ${bytes(size)}</option>`,
        )}
      </select>
      <small>Weights are made up here, 4 bits each; nothing is downloaded.</small>
    </label>`;
  }

  private model() {
    return html`<label
        >Model
        <input
          name="model"
          placeholder="smollm2-135m-instruct"
          autocomplete="off"
          spellcheck="false"
          .value=${this.choice.model}
          @input=${this.changed}
        />
        <small>A .gguf file's address, a folder in Hugging Face layout, or org/name. Empty: the site's own.</small>
      </label>
      <label class="check">
        <input type="checkbox" name="endToEnd" .checked=${this.choice.endToEnd} @change=${this.changed} />
        <span>Time streamed requests as well, as a page sees them</span>
      </label>`;
  }

  private text(name: "threads" | "prompt" | "generate" | "concurrency" | "repeats", label: string, placeholder = "") {
    return html`<label
      >${label}
      <input
        name=${name}
        inputmode=${name === "concurrency" ? "text" : "numeric"}
        autocomplete="off"
        placeholder=${placeholder}
        .value=${this.choice[name]}
        @input=${this.changed}
      />
    </label>`;
  }

  private changed({ target }: Event): void {
    const field = target as HTMLInputElement;
    const value = field.type === "checkbox" ? field.checked : field.value;
    this.say("choice", { [field.name]: value });
  }

  private submit(event: Event): void {
    event.preventDefault();
    if (!this.busy) this.say("run");
  }

  private say(name: string, detail?: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}
