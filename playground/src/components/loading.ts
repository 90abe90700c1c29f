// The card shown while the engine gets ready: what it does now, how far it is, how fast, how long still.
import "@awesome.me/webawesome/dist/components/progress-bar/progress-bar.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Progress } from "tilewright";
import { type EngineState, askedModel, modelName } from "../engine";
import { bytes, duration } from "../figures";
import { base } from "./shared";

const PHASES: Record<Progress["phase"], string> = {
  starting: "Starting the engine",
  downloading: "Downloading the model",
  preparing: "Preparing the model",
};

@customElement("tw-loading")
export class Loading extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
      }
      .card {
        padding: 1.35rem 1.5rem 1.25rem;
        border: 1px solid var(--line);
        border-radius: 1.15rem;
        background: var(--raised);
        box-shadow: var(--shadow);
      }
      .top {
        display: flex;
        align-items: baseline;
        justify-content: space-between;
        gap: 1rem;
      }
      h2 {
        margin: 0;
        font-size: 1rem;
        font-weight: 600;
        letter-spacing: -0.006em;
      }
      .percent {
        color: var(--ink-soft);
        font-weight: 550;
        font-variant-numeric: tabular-nums;
      }
      wa-progress-bar {
        --track-height: 0.5rem;
        --track-color: var(--sunken);
        --indicator-color: var(--accent-fill);
        margin: 0.85rem 0 0.8rem;
      }
      .figures {
        display: flex;
        flex-wrap: wrap;
        gap: 0.1rem 1.4rem;
        margin: 0;
        min-height: 1.4rem;
        color: var(--ink-quiet);
        font-size: 0.875rem;
        line-height: 1.6;
        font-variant-numeric: tabular-nums;
      }
      .figures span:last-child:not(:first-child) {
        margin-inline-start: auto;
      }
    `,
  ];

  @property({ attribute: false }) state!: Extract<EngineState, { is: "loading" }>;
  /** Counts the reports, as the state is changed in place. */
  @property({ type: Number }) reports = 0;

  override render() {
    const { progress, transfer } = this.state;
    const loaded = progress?.loaded ?? 0;
    const total = progress?.total ?? 0;
    const share = total > 0 ? Math.min(100, (loaded / total) * 100) : undefined;
    const speed = transfer.speed();
    const left = total > 0 ? transfer.left(total) : undefined;
    const model = askedModel();
    return html`<div class="card">
      <div class="top">
        <h2>
          ${progress?.cached && progress.phase === "downloading" ? "Loading the model from this browser" : PHASES[progress?.phase ?? "starting"]}
        </h2>
        <span class="percent">${share === undefined ? nothing : `${Math.floor(share)}%`}</span>
      </div>
      <wa-progress-bar
        label=${`Loading ${model ? modelName(model) : "the model"}`}
        value=${share ?? 0}
        ?indeterminate=${share === undefined}
      ></wa-progress-bar>
      <p class="figures">
        ${loaded > 0 ? html`<span>${bytes(loaded, total || loaded)}${total > 0 ? ` of ${bytes(total)}` : ""}</span>` : nothing}
        ${speed === undefined || share === 100 ? nothing : html`<span>${bytes(speed)}/s</span>`}
        ${left === undefined || share === 100 ? nothing : html`<span>${duration(Math.max(1, Math.ceil(left / 1000)) * 1000)} left</span>`}
        ${loaded > 0 ? nothing : html`<span>The first visit downloads the model; later ones find it in this browser.</span>`}
      </p>
    </div>`;
  }
}
