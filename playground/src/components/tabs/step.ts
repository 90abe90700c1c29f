// The newest step as a bar of its rows: who is in it, and with what. Under it the plot of the steps before.
import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import { count, counted, stepTime } from "../../figures";
import type { ClientMarks } from "../../tabs/client-marks";
import { cssColour } from "../../tabs/palette";
import type { StepRecord } from "tilewright";
import { base } from "../shared";
import { askSomething, card, chip, chips, dim } from "./chip";
import "./plot";

@customElement("tw-tabs-step")
export class Step extends LitElement {
  static override styles = [
    base,
    card,
    chips,
    css`
      .bar {
        display: flex;
        gap: 2px;
        height: 2.5rem;
      }
      .bar span {
        min-width: 5px;
        border-radius: 0.3rem;
        background: var(--colour);
      }
      .bar .prefill,
      .key .prefill {
        background: repeating-linear-gradient(
          135deg,
          var(--colour) 0 2.5px,
          color-mix(in srgb, var(--colour) 25%, var(--raised)) 2.5px 7px
        );
        box-shadow: inset 0 0 0 1.5px var(--colour);
      }
      ul {
        display: flex;
        flex-wrap: wrap;
        gap: 0.35rem 1.3rem;
        min-height: 1.5rem;
        margin: 0.7rem 0 0;
        padding: 0;
        list-style: none;
        color: var(--ink-soft);
        font-size: 0.8125rem;
        line-height: 1.5rem;
        font-variant-numeric: tabular-nums;
      }
      li {
        display: flex;
        gap: 0.5rem;
      }
      .key {
        margin-inline-start: auto;
        gap: 1rem;
        color: var(--ink-quiet);
        --colour: var(--ink-quiet);
      }
      .key span {
        display: inline-flex;
        align-items: center;
        gap: 0.4rem;
      }
      .key i {
        width: 0.9rem;
        height: 0.9rem;
        border-radius: 0.2rem;
        background: var(--colour);
      }
      .second {
        margin-top: 1.1rem;
      }
      .none {
        display: grid;
        align-content: center;
        min-height: 12rem;
      }
    `,
  ];

  @property({ attribute: false }) steps: readonly StepRecord[] = [];
  @property({ attribute: false }) marks!: ClientMarks;
  @property({ attribute: false }) spot: number | undefined;
  @property() theme: "light" | "dark" = "light";
  /** Is anything asked of the engine? If not, the newest step is one of the past. */
  @property({ type: Boolean }) busy = false;

  override render() {
    const step = this.steps.at(-1);
    if (!step) {
      return html`<section aria-labelledby="step">
        <div class="head"><h2 id="step">Current step</h2></div>
        <div class="none">
          ${askSomething("The engine has not computed anything yet.", "and ask something: each step of its answer is drawn here, as it happens.")}
        </div>
      </section>`;
    }
    const rows = [...step.rows].sort((a, b) => a.client - b.client);
    const total = rows.reduce((sum, { decode, prefill }) => sum + decode + prefill, 0);
    return html`<section aria-labelledby="step">
      <div class="head">
        <h2 id="step">${this.busy ? "Current step" : "Last step"}</h2>
        <p class="meta">#${step.step}, ${counted(total, "row")}, ${stepTime(step.elapsed)}</p>
      </div>
      <div class="bar" aria-hidden="true">
        ${rows.map(({ client, decode, prefill }) => [
          this.share(client, "decode", decode),
          this.share(client, "prefill", prefill),
        ])}
      </div>
      <ul aria-label="Rows by client">
        ${rows.map(
          ({ client, decode, prefill }) =>
            html`<li class=${dim(client, this.spot)} data-client=${client}>
              ${chip(client, this.marks)}
              ${[decode ? `${count(decode)} decode` : "", prefill ? `${count(prefill)} prefill` : ""].filter(Boolean).join(", ")}
            </li>`,
        )}
        <li class="key" aria-hidden="true">
          <span><i></i>decode</span><span><i class="prefill"></i>prefill</span>
        </li>
      </ul>
      <tw-tabs-plot
        class="second"
        .steps=${this.steps}
        .marks=${this.marks}
        .spot=${this.spot}
        theme=${this.theme}
      ></tw-tabs-plot>
    </section>`;
  }

  private share(client: number, kind: "decode" | "prefill", rows: number) {
    if (rows === 0) return nothing;
    return html`<span
      class="${kind} ${dim(client, this.spot)}"
      style=${`flex: ${rows} 1 0; --colour: ${cssColour(this.marks.slot(client))}`}
    ></span>`;
  }
}
