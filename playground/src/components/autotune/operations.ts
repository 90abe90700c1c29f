// The operations of one phase: how far each is, what was chosen and why, and what all of it did to whole steps. A row opens
// what was tried.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { Speeds, TunedOperation, TuningTrial } from "tilewright";
import { type Records, sameVariant, shapeKey, variantWords } from "../../autotune/records";
import { gain, medians, micros, times } from "../../autotune/words";
import { count, counted, rate } from "../../figures";
import { base } from "../shared";
import "./details";
import { cards, tables } from "./shared";

const STATES: Record<TunedOperation["state"], string> = {
  waiting: "waiting",
  searching: "searching",
  measured: "measured",
  known: "known before",
};

@customElement("tw-autotune-operations")
export class Operations extends LitElement {
  static override styles = [
    base,
    cards,
    tables,
    css`
      :host {
        display: block;
        min-width: 0;
      }
      .scroll {
        position: relative;
        margin-top: 0.7rem;
      }
      button {
        display: inline-flex;
        align-items: baseline;
        gap: 0.4rem;
        padding: 0;
        border: 0;
        border-radius: 0.3rem;
        background: none;
        color: inherit;
        font: inherit;
        text-align: start;
        cursor: pointer;
      }
      button:hover {
        color: var(--accent);
      }
      button::before {
        content: "";
        flex: none;
        width: 0.4rem;
        height: 0.4rem;
        border: solid var(--ink-quiet);
        border-width: 0 1.5px 1.5px 0;
        transform: translateY(-0.1rem) rotate(-45deg);
        transition: transform 120ms;
      }
      button[aria-expanded="true"]::before {
        transform: translateY(-0.15rem) rotate(45deg);
      }
      th.words {
        min-width: 12rem;
      }
      td.words {
        min-width: 19rem;
        line-height: 1.45;
      }
      .variant {
        font: 400 0.8125rem/1.5 var(--mono);
      }
      .why {
        display: block;
        color: var(--ink-quiet);
        font-size: 0.8125rem;
      }
      .searching {
        color: var(--accent);
        font-weight: 600;
      }
      .waiting {
        color: var(--ink-quiet);
      }
      .gained {
        color: light-dark(#2f7a43, #7fce93);
        font-weight: 620;
      }
      td.open {
        padding: 0.9rem 0 1.1rem;
        border-top: 0;
        text-align: start;
        white-space: normal;
      }
      /* As wide as what is seen of the table, which may scroll. */
      td.open > * {
        position: sticky;
        left: 0;
        width: var(--seen, 100%);
      }
      @media (max-width: 48rem) {
        /* A row becomes a card: its name, its figures with their headings beside them, the reason. */
        .scroll > table > thead {
          position: absolute;
          width: 1px;
          height: 1px;
          overflow: hidden;
          clip-path: inset(50%);
        }
        .scroll > table,
        .scroll > table > tbody {
          display: block;
        }
        .scroll > table > tbody > tr {
          display: grid;
          grid-template-columns: repeat(auto-fill, minmax(6.2rem, 1fr));
          gap: 0.4rem 0.8rem;
          padding: 0.7rem 0;
          border-top: 1px solid var(--line);
        }
        .scroll > table > tbody > tr > :is(th, td) {
          min-width: 0;
          padding: 0;
          border: 0;
          text-align: start;
        }
        .scroll > table > tbody > tr > :is(.words, .open) {
          grid-column: 1 / -1;
        }
        td[data-label]::before {
          content: attr(data-label);
          display: block;
          color: var(--ink-quiet);
          font-weight: 450;
          font-size: 0.75rem;
        }
      }
      .trials {
        margin: 0.7rem 0 0;
        padding: 0;
        list-style: none;
        font-size: 0.9375rem;
        line-height: 1.5;
      }
      .trials li {
        padding: 0.5rem 0.8rem;
        border-radius: 0.6rem;
        background: var(--sunken);
        font-variant-numeric: tabular-nums;
      }
      .trials li + li {
        margin-top: 0.4rem;
      }
      .trials b {
        font-weight: 620;
      }
      .trials small {
        color: var(--ink-quiet);
        font-size: 0.8125rem;
      }
    `,
  ];

  @property() phase = "";
  @property({ attribute: false }) operations: readonly TunedOperation[] = [];
  @property({ attribute: false }) trials: readonly TuningTrial[] = [];
  @property({ attribute: false }) records!: Records;
  @property() theme: "light" | "dark" = "light";
  @state() private opened: ReadonlySet<string> = new Set();
  private readonly sizes = new ResizeObserver(([entry]) => {
    this.style.setProperty("--seen", `${Math.floor(entry?.contentRect.width ?? 0)}px`);
  });

  override firstUpdated(): void {
    const scroll = this.renderRoot.querySelector(".scroll");
    if (scroll) this.sizes.observe(scroll);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.sizes.disconnect();
  }

  override render() {
    const { operations } = this;
    const changed = operations.filter(({ chosen, default: common }) => !sameVariant(chosen, common)).length;
    const tried = operations.reduce((sum, operation) => sum + operation.tried, 0);
    return html`<section aria-labelledby="title">
      <h2 id="title">${this.phase.charAt(0).toUpperCase()}${this.phase.slice(1)}</h2>
      <p class="under">
        ${counted(operations.length, "operation")}, ${counted(tried, "variant")} tried this time,
        ${changed === 0 ? "all with the built-in default" : `${count(changed)} with another variant than the default`}
      </p>
      ${this.effects()}
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col" class="words">Operation</th>
              <th scope="col">Share of a step</th>
              <th scope="col">State</th>
              <th scope="col">Tried</th>
              <th scope="col">Default</th>
              <th scope="col">Chosen</th>
              <th scope="col">Gain</th>
              <th scope="col" class="words">Chosen variant, and why</th>
            </tr>
          </thead>
          <tbody>
            ${operations.map((operation) => this.row(operation))}
          </tbody>
        </table>
      </div>
    </section>`;
  }

  private row(operation: TunedOperation) {
    const { label, share, state, tried, space, chosen, default_us: before, chosen_us: after } = operation;
    const key = shapeKey(operation.shape);
    const open = this.opened.has(key);
    const gained = gain(operation);
    const known = this.records.of(operation.shape);
    return html`<tr>
        <th scope="row" class="words">
          <button type="button" aria-expanded=${open} @click=${() => this.toggle(key)}>${label}</button>
        </th>
        <td data-label="Share of a step">${count(share * 100)} %</td>
        <td data-label="State" class=${state}>${STATES[state]}</td>
        <td data-label="Tried">${count(tried)} of ${count(space)}</td>
        <td data-label="Default">${before === null ? "–" : micros(before)}</td>
        <td data-label="Chosen">${after === null ? "–" : micros(after)}</td>
        <td data-label="Gain" class=${gained !== undefined && gained > 1.01 ? "gained" : ""}>
          ${gained === undefined ? "–" : times(gained)}
        </td>
        <td class="words">
          <span class="variant">${variantWords(chosen)}</span><span class="why">${operation.why}</span>
        </td>
      </tr>
      ${
        open
          ? html`<tr>
              <td class="open" colspan="8">
                <tw-autotune-details .operation=${operation} .tried=${known} theme=${this.theme}></tw-autotune-details>
              </td>
            </tr>`
          : nothing
      }`;
  }

  private effects() {
    if (this.trials.length === 0) return nothing;
    return html`<ul class="trials" aria-label="Tokens per second before and after">
      ${this.trials.map(
        ({ trial, gain: gained, noise }) =>
          html`<li>
            ${trial.decode ? speeds("Decoding", trial.decode) : nothing}
            ${trial.prefill ? speeds("Reading", trial.prefill) : nothing}
            ${gained === null ? nothing : html`<small>${gainWords(gained, noise)}</small>`}
            <b>${trial.verdict === "kept" ? "Kept" : "Taken back"}</b>
            <small>${counted(trial.changes.length, "change")}, in whole steps</small>
          </li>`,
      )}
    </ul>`;
  }

  private toggle(key: string): void {
    const opened = new Set(this.opened);
    if (!opened.delete(key)) opened.add(key);
    this.opened = opened;
  }
}

function speeds(what: string, measured: Speeds) {
  const found = medians(measured);
  if (!found) return nothing;
  return html`${what}: ${rate(found.before)} tokens/s before, <b>${rate(found.after)} tokens/s</b> after
    <small>(medians of ${counted(found.runs, "run")} each).</small> `;
}

function gainWords(gained: number, noise: number): string {
  return `${times(gained)}; by chance ${count(100 * noise, noise < 0.1 ? 1 : 0)} % either way.`;
}
