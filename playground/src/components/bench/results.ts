// What was found: a table of figures, a picture of them, what they were found on, and all of it as JSON.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { BenchReport } from "tilewright/bench";
import { modelName } from "../../engine";
import { bytes, count, duration, rate, stepTime } from "../../figures";
import { base, quietButtons } from "../shared";

@customElement("tw-bench-results")
export class Results extends LitElement {
  static override styles = [
    base,
    quietButtons,
    css`
      :host {
        display: grid;
        gap: 0.9rem;
        min-width: 0;
      }
      section {
        min-width: 0;
        padding: 1.15rem 1.25rem 1.2rem;
        border: 1px solid var(--line);
        border-radius: 1rem;
        background: var(--raised);
      }
    `,
  ];

  @property({ attribute: false }) report!: BenchReport;
  @property() theme: "light" | "dark" = "light";
  @state() private copied = false;

  override render() {
    const { report } = this;
    return html`<section>
      <h2>${modelName(report.model)}</h2>
      <table>
        ${report.runs.map(
          (run) =>
            html`<tr>
              <td>${count(run.concurrency)}</td>
              <td>${rate(run.prefill_tokens_per_s)}</td>
              <td>${rate(run.decode_tokens_per_s)}</td>
              <td>${stepTime(run.decode_step_ms * 1000)}</td>
            </tr>`,
        )}
      </table>
      ${this.copied ? nothing : nothing}${bytes(report.weights_bytes)} ${duration(report.load_ms)}
    </section>`;
  }
}
