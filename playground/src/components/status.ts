// The line under the composer: which model, where it runs, how fast it is, how full its context is.
import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import { modelName } from "../engine";
import { count, duration, rate } from "../figures";
import type { Timing } from "../stopwatch";
import type { Tilewright } from "tilewright";
import { base } from "./shared";

@customElement("tw-status")
export class Status extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        min-height: 1.35rem;
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        line-height: 1.35rem;
      }
      dl {
        display: flex;
        flex-wrap: wrap;
        justify-content: center;
        margin: 0;
        gap: 0 1.6rem;
      }
      div {
        display: flex;
        gap: 0.4rem;
        min-width: 0;
      }
      dt {
        color: var(--ink-quiet);
      }
      dd {
        margin: 0;
        color: var(--ink-soft);
        font-weight: 500;
        white-space: nowrap;
        overflow: hidden;
        text-overflow: ellipsis;
      }
      .speed,
      .first,
      .context {
        font-variant-numeric: tabular-nums; /* figures change in place */
      }
      p {
        max-width: 46rem;
        margin: 0.15rem auto 0;
        text-align: center;
        text-wrap: pretty;
      }
      @media (max-width: 40rem) {
        dl {
          gap: 0 1rem;
        }
        dt,
        .model {
          display: none;
        }
        .first dd::before {
          content: "first token ";
        }
      }
    `,
  ];

  @property({ attribute: false }) tilewright: Tilewright | undefined;
  /** What computed is gone, and another device is being had. */
  @property({ type: Boolean }) moving = false;
  @property({ attribute: false }) timing: Timing | undefined;
  @property({ attribute: false }) usedTokens: number | undefined;

  override render() {
    const { tilewright, timing, usedTokens } = this;
    if (!tilewright) return nothing;
    const { context, notice } = tilewright.info;
    const said = this.moving ? "What computed is gone: answers go on as soon as another device has the model." : notice;
    return html`<dl aria-label="Status">
        ${this.figure("model", "Model", modelName(tilewright.model))}
        ${this.figure("device", "Runs on", tilewright.device)}
        ${timing?.tokensPerSecond === undefined ? nothing : this.figure("speed", "Speed", `${rate(timing.tokensPerSecond)} tokens/s`)}
        ${timing ? this.figure("first", "First token", duration(timing.firstTokenMs)) : nothing}
        ${
          usedTokens === undefined
            ? nothing
            : this.figure("context", "Context", `${count(usedTokens)} of ${count(context)} tokens`)
        }
      </dl>
      ${said ? html`<p role="status">${said}</p>` : nothing}`;
  }

  private figure(name: string, label: string, value: string) {
    return html`<div class=${name}>
      <dt>${label}</dt>
      <dd title=${value}>${value}</dd>
    </div>`;
  }
}
