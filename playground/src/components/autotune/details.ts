// All about one operation's search: the pictures, and every variant that was tried, in the order that a click on a heading asks for.
import { LitElement, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { TunedOperation } from "tilewright";
import { heatMap } from "../../autotune/heat";
import { type Column, type Order, sorted } from "../../autotune/order";
import { type Outcome, type Tried, sameVariant, variantWords } from "../../autotune/records";
import { errorWords, micros, times } from "../../autotune/words";
import { counted } from "../../figures";
import { base } from "../shared";
import "./heat-map";
import "./scatter";
import { tables } from "./shared";

const OUTCOMES: Record<Outcome, string> = {
  ok: "right",
  wrong: "wrong answer",
  refused: "refused by the device",
  timeout: "took too long",
  constraint: "not possible here",
};

const COLUMNS: readonly { column: Column; heading: string; words?: boolean }[] = [
  { column: "tried", heading: "Tried" },
  { column: "variant", heading: "Variant", words: true },
  { column: "time", heading: "Time" },
  { column: "error", heading: "Error" },
  { column: "outcome", heading: "Outcome", words: true },
];

@customElement("tw-autotune-details")
export class Details extends LitElement {
  static override styles = [
    base,
    tables,
    css`
      :host {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        gap: 1.1rem;
        min-width: 0;
      }
      h3 {
        margin: 0 0 0.5rem;
        font-size: 0.875rem;
        font-weight: 600;
        line-height: 1.4;
      }
      p {
        margin: 0;
        color: var(--ink-quiet);
        font-size: 0.875rem;
      }
      .pictures {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr));
        gap: 1.1rem 1.6rem;
      }
      .pictures > * {
        min-width: 0;
      }
      .scroll {
        max-height: 24rem;
        overflow: auto;
      }
      thead th {
        position: sticky;
        top: 0;
        background: var(--raised);
      }
      thead button {
        position: relative;
        padding: 0;
        border: 0;
        border-radius: 0.3rem;
        background: none;
        color: inherit;
        font: inherit;
        cursor: pointer;
      }
      thead button:hover,
      thead [aria-sort] button {
        color: var(--ink);
      }
      /* Beside the heading, in the space between columns: headings don't move, and stand over their figures. */
      thead [aria-sort] button::before {
        content: "↑";
        position: absolute;
        inset-inline-end: calc(100% + 0.15rem);
      }
      thead [aria-sort="descending"] button::before {
        content: "↓";
      }
      thead .words[aria-sort] button::before {
        inset-inline: calc(100% + 0.25rem) auto;
      }
      thead th:first-child,
      tbody th {
        padding-inline-start: 1rem;
      }
      .of-best {
        color: var(--ink-quiet);
      }
      td.words {
        min-width: 15rem;
        font: 400 0.8125rem/1.5 var(--mono);
      }
      td.note {
        min-width: 10rem;
        font-family: inherit;
        overflow-wrap: anywhere;
      }
      tr.chosen :is(td, th) {
        background: var(--accent-wash);
      }
      tr.failed td {
        color: var(--danger);
      }
      .mark {
        margin-inline-start: 0.5rem;
        color: var(--accent);
        font: 600 0.75rem/1 var(--sans);
      }
    `,
  ];

  @property({ attribute: false }) operation!: TunedOperation;
  @property({ attribute: false }) tried: readonly Tried[] = [];
  @property() theme: "light" | "dark" = "light";
  @state() private order: Order = { by: "time", descending: false };

  override render() {
    const { operation, tried } = this;
    if (tried.length === 0) {
      return html`<p>Nothing that was measured on this device is known of this operation.</p>`;
    }
    const heat = heatMap(tried);
    const { chosen } = operation;
    const best = Math.min(...tried.flatMap(({ us, outcome }) => (outcome === "ok" && us !== undefined ? [us] : [])));
    return html`
      <div class="pictures">
        <div>
          <h3>Time, in the order tried</h3>
          <tw-autotune-scatter .tried=${tried} .chosen=${chosen} theme=${this.theme}></tw-autotune-scatter>
        </div>
        ${
          heat
            ? html`<div>
                <h3>Best time by ${heat.down} and ${heat.across}</h3>
                <tw-autotune-heat .heat=${heat}></tw-autotune-heat>
              </div>`
            : nothing
        }
      </div>
      <div>
        <h3>Every variant tried</h3>
        <div class="scroll" tabindex="0" role="region" aria-label="Every variant tried">
          <table>
            <thead>
              <tr>
                ${COLUMNS.map((each) => this.heading(each))}
              </tr>
            </thead>
            <tbody>
              ${sorted(tried, this.order).map(({ each, at }) => this.row(each, at, sameVariant(each, chosen), best))}
            </tbody>
          </table>
        </div>
      </div>
    `;
  }

  private heading({ column, heading, words = false }: (typeof COLUMNS)[number]) {
    const { by, descending } = this.order;
    const sort = by !== column ? nothing : descending ? "descending" : "ascending";
    return html`<th scope="col" class=${words ? "words" : ""} aria-sort=${sort}>
      <button type="button" @click=${() => (this.order = { by: column, descending: by === column && !descending })}>
        ${heading}
      </button>
    </th>`;
  }

  private row(tried: Tried, at: number, chosen: boolean, best: number) {
    const { us, outcome, note, error, tolerance, samples } = tried;
    const allowed = tolerance === undefined ? "" : `; up to ${errorWords(tolerance)} is right`;
    const right = outcome === "ok";
    return html`<tr class=${chosen ? "chosen" : right ? "" : "failed"}>
      <th scope="row">${at + 1}</th>
      <td class="words">${variantWords(tried)}${chosen ? html`<span class="mark">chosen</span>` : nothing}</td>
      <td title=${us === undefined ? nothing : `Median of ${counted(samples, "sample")}`}>
        ${us === undefined ? "–" : micros(us)}
        ${us === undefined || !right ? nothing : html`<span class="of-best">${times(us / best)}</span>`}
      </td>
      <td title=${`Largest relative difference from the right answer${allowed}`}>
        ${error === undefined ? "–" : errorWords(error)}
      </td>
      <td class="words note">${[OUTCOMES[outcome] ?? outcome, note].filter(Boolean).join(": ")}</td>
    </tr>`;
  }
}
