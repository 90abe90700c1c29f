// The models page: what this browser keeps of models, how large each is, and a button to be rid of it.
//
// It is no client of the engine: storage belongs to the site, and can be looked at while nothing runs.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";
import type { StoredModel } from "tilewright";
import { modelName } from "../engine";
import { bytes, counted } from "../figures";
import { deleteStoredModel, storedModels } from "../library";
import "./masthead";
import { base, quietButtons } from "./shared";
import "./trouble";

const DAY = new Intl.DateTimeFormat("en", { dateStyle: "medium" });

@customElement("tw-models")
export class Models extends LitElement {
  static override styles = [
    base,
    quietButtons,
    css`
      :host {
        display: block;
        min-height: 100dvh;
      }
      main {
        max-width: 52rem;
        margin: 0 auto;
        padding: 1.3rem clamp(0.75rem, 2vw, 1.25rem) 3rem;
      }
      h1 {
        margin: 0 0 0.3rem;
        font-size: 1.375rem;
        font-weight: 640;
        letter-spacing: -0.015em;
      }
      p {
        margin: 0 0 1.2rem;
        color: var(--ink-quiet);
        line-height: 1.6;
      }
      ul {
        display: grid;
        gap: 0.6rem;
        margin: 0;
        padding: 0;
        list-style: none;
      }
      li {
        display: grid;
        grid-template-columns: 1fr auto auto;
        align-items: center;
        gap: 0.1rem 1.2rem;
        padding: 0.9rem 0.8rem 0.9rem 1.2rem;
        border: 1px solid var(--line);
        border-radius: 1rem;
        background: var(--raised);
      }
      .name {
        font-weight: 600;
        overflow-wrap: anywhere;
      }
      .address {
        grid-row: 2;
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        overflow-wrap: anywhere;
      }
      .size {
        grid-row: 1 / 3;
        text-align: end;
        font-variant-numeric: tabular-nums;
      }
      .size small {
        display: block;
        color: var(--ink-quiet);
      }
      li .quiet {
        grid-row: 1 / 3;
      }
      @media (max-width: 40rem) {
        li {
          grid-template-columns: minmax(0, 1fr) auto;
          padding-inline-start: 1rem;
        }
        .size {
          grid-row: 3;
          margin-top: 0.3rem;
          text-align: start;
        }
        .size small {
          display: inline;
        }
        li .quiet {
          grid-row: 1 / 4;
          grid-column: 2;
        }
        .quiet span {
          display: none;
        }
      }
    `,
  ];

  @state() private models: StoredModel[] | undefined;
  @state() private error: unknown;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.look();
  }

  override render() {
    return html`<tw-masthead .links=${["chat", "autotune"]}></tw-masthead>
      <main @again=${() => void this.look()}>
        <h1>Models in this browser</h1>
        <p>${this.summary}</p>
        ${this.error ? html`<tw-trouble .error=${this.error}></tw-trouble>` : nothing}
        <ul>
          ${(this.models ?? []).map((model) => this.row(model))}
        </ul>
      </main>`;
  }

  private get summary(): string {
    if (!this.models) return "Looking at what is kept.";
    if (this.models.length === 0) return "None is kept. The next visit to the chat downloads one, and keeps it here.";
    const all = this.models.reduce((sum, model) => sum + model.bytes, 0);
    return `${counted(this.models.length, "model")}, ${bytes(all)}. Every tab of this site uses them; they load without a network.`;
  }

  private row(model: StoredModel) {
    const { url, total, complete, since } = model;
    const part = complete || total === null ? "" : ` of ${bytes(total)}`;
    return html`<li>
      <span class="name">${modelName(url)}</span>
      <span class="address">${url}</span>
      <span class="size">
        ${bytes(model.bytes)}${part}
        <small>${complete ? `since ${DAY.format(since)}` : "not whole yet"}</small>
      </span>
      <button
        class="quiet"
        type="button"
        aria-label=${`Delete ${modelName(url)}`}
        @click=${() => void this.forget(url)}
      >
        <wa-icon name="trash"></wa-icon><span>Delete</span>
      </button>
    </li>`;
  }

  private async look(): Promise<void> {
    this.error = undefined;
    try {
      this.models = await storedModels();
    } catch (error) {
      this.error = error;
    }
  }

  private async forget(url: string): Promise<void> {
    try {
      await deleteStoredModel(url);
      await this.look();
    } catch (error) {
      await this.look();
      this.error = error;
    }
  }
}
