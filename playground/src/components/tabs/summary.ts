// The line of figures at the top: what computes, whether it can, and how fast it does.
import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Tilewright } from "tilewright";
import { modelName } from "../../engine";
import { count, rate, stepTime } from "../../figures";
import type { Look } from "../../tabs/inspection";
import { times } from "../../tabs/step-log";
import { base } from "../shared";

@customElement("tw-tabs-summary")
export class Summary extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
      }
      dl {
        display: grid;
        grid-template-columns: minmax(11rem, 1.7fr) minmax(9rem, 1.1fr) repeat(4, minmax(7rem, 1fr));
        margin: 0;
        border: 1px solid var(--line);
        border-radius: 1rem;
        background: var(--raised);
        overflow: hidden;
      }
      div {
        min-width: 0;
        padding: 0.85rem 1.2rem 0.9rem;
        box-shadow: -1px 0 0 var(--line);
      }
      dt {
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        line-height: 1.5;
      }
      dd {
        margin: 0;
        overflow: hidden;
        font-size: 1.25rem;
        font-weight: 580;
        line-height: 1.4;
        letter-spacing: -0.015em;
        font-variant-numeric: tabular-nums;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      dd.name {
        font-size: 1rem;
        line-height: 1.75;
      }
      dd + dd {
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        font-weight: 450;
        letter-spacing: 0;
        line-height: 1.5;
      }
      .unit {
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        font-weight: 450;
        letter-spacing: 0;
      }
      .state::before {
        content: "";
        display: inline-block;
        width: 0.55em;
        height: 0.55em;
        margin-inline-end: 0.5em;
        border-radius: 50%;
        background: light-dark(#2f7a43, #7fce93);
      }
      .state.lost::before {
        border-radius: 0.1em;
        background: var(--danger);
        rotate: 45deg;
      }
      @media (max-width: 68rem) {
        dl {
          grid-template-columns: repeat(4, 1fr);
        }
        .wide {
          grid-column: span 2;
        }
        div {
          box-shadow:
            -1px 0 0 var(--line),
            0 -1px 0 var(--line);
        }
      }
      @media (max-width: 40rem) {
        dl {
          grid-template-columns: 1fr 1fr;
        }
        div {
          padding: 0.65rem 1rem 0.7rem;
        }
      }
    `,
  ];

  @property({ attribute: false }) tilewright: Tilewright | undefined;
  @property({ attribute: false }) look: Look | undefined;

  override render() {
    const { tilewright, look } = this;
    if (!tilewright || !look) return nothing;
    const { snapshot, pace } = look;
    const middle = times(look.steps);
    return html`<dl aria-label="The engine">
      <div class="wide">
        <dt>Model</dt>
        <dd class="name" title=${tilewright.model}>${modelName(tilewright.model)}</dd>
        <dd title=${tilewright.device}>${tilewright.device}</dd>
      </div>
      <div class="wide executor">
        <dt>Executor</dt>
        <dd class="name state ${snapshot.ready ? "" : "lost"}">${snapshot.ready ? "Ready" : "Being rebuilt"}</dd>
        <dd>epoch ${count(snapshot.epoch)}</dd>
      </div>
      <div class="decode">
        <dt>Answers</dt>
        <dd>${pace ? rate(pace.decode) : "–"} <span class="unit">tokens/s</span></dd>
        <dd>decode rows</dd>
      </div>
      <div class="prefill">
        <dt>Prompts</dt>
        <dd>${pace ? rate(pace.prefill) : "–"} <span class="unit">tokens/s</span></dd>
        <dd>prefill rows</dd>
      </div>
      <div>
        <dt>Step time</dt>
        <dd>${middle ? stepTime(middle.median) : "–"}</dd>
        <dd>${middle ? `longest ${stepTime(middle.longest)}` : "no step yet"}</dd>
      </div>
      <div>
        <dt>In flight</dt>
        <dd>
          ${count(snapshot.in_flight.length)}
          <span class="unit">${snapshot.in_flight.length === 1 ? "step" : "steps"}</span>
        </dd>
        <dd>${snapshot.in_flight.length ? snapshot.in_flight.map((step) => `#${step}`).join(", ") : "none issued"}</dd>
      </div>
    </dl>`;
  }
}
