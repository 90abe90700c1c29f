// The card while a benchmark runs: loading with its progress, then runs as they come in.
import "@awesome.me/webawesome/dist/components/progress-bar/progress-bar.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { BenchProgress } from "tilewright/bench";
import type { BenchState } from "../../bench/runs";
import { bytes, rate } from "../../figures";
import { base } from "../shared";

const PHASES: Record<BenchProgress["phase"], string> = {
  starting: "Starting the engine",
  downloading: "Loading the weights",
  preparing: "Preparing the model",
  running: "Timing",
  "end to end": "Timing streamed requests",
};

@customElement("tw-bench-running")
export class Running extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        padding: 1.35rem 1.5rem 1.25rem;
        border: 1px solid var(--line);
        border-radius: 1rem;
        background: var(--raised);
      }
      h2 {
        display: flex;
        justify-content: space-between;
        margin: 0;
        font-size: 1rem;
        font-weight: 600;
        letter-spacing: -0.006em;
      }
      h2 span {
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
      p,
      li {
        margin: 0;
        color: var(--ink-quiet);
        font-size: 0.875rem;
        font-variant-numeric: tabular-nums;
      }
      ol {
        margin: 0;
        padding: 0;
        list-style: none;
      }
    `,
  ];

  @property({ attribute: false }) state!: Extract<BenchState, { is: "running" }>;
  /** Counts the reports, as the state is changed in place. */
  @property({ type: Number }) reports = 0;

  override render() {
    const { progress, figures } = this.state;
    const share = progress && shareOf(progress);
    return html`
      <h2 role="status">
        ${PHASES[progress?.phase ?? "starting"]}<span>${share === undefined ? nothing : `${Math.floor(share)}%`}</span>
      </h2>
      <wa-progress-bar label="Benchmark" value=${share ?? 0} ?indeterminate=${share === undefined}></wa-progress-bar>
      <p>${progress ? words(progress) : nothing}</p>
      <ol>
        ${figures.map(
          (run) =>
            html`<li>
              ${run.concurrency} at once: prompts at ${rate(run.prefill_tokens_per_s)} tokens/s, then
              ${rate(run.decode_tokens_per_s)} tokens/s
            </li>`,
        )}
      </ol>
    `;
  }
}

function shareOf(progress: BenchProgress): number | undefined {
  if ("done" in progress) return (progress.done / progress.of) * 100;
  return progress.total ? Math.min(100, (progress.loaded / progress.total) * 100) : undefined;
}

function words(progress: BenchProgress): string {
  if ("done" in progress) return `${progress.done} of ${progress.of} runs`;
  if (progress.loaded === 0) return "";
  return progress.total
    ? `${bytes(progress.loaded, progress.total)} of ${bytes(progress.total)}`
    : bytes(progress.loaded);
}
