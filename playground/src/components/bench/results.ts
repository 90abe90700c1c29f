// What was found: a table of figures, a picture of them, what bounds them, what they were found on, and all of it as JSON.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { BenchReport } from "tilewright/bench";
import { modelName } from "../../engine";
import { bytes, count, duration, rate, stepTime } from "../../figures";
import { base, quietButtons } from "../shared";
import "./plot";

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
        padding: 1.1rem 1.25rem 1.2rem;
        border: 1px solid var(--line);
        border-radius: 1rem;
        background: var(--raised);
      }
      .top {
        display: flex;
        align-items: start;
        justify-content: space-between;
        gap: 1rem;
      }
      h2 {
        margin: 0;
        font-size: 1.25rem;
        font-weight: 620;
        letter-spacing: -0.015em;
        line-height: 1.35;
        overflow-wrap: anywhere;
      }
      h3 {
        margin: 0 0 0.6rem;
        font-size: 0.9375rem;
        font-weight: 600;
      }
      .under {
        margin: 0.1rem 0 0;
        color: var(--ink-quiet);
        font-size: 0.875rem;
      }
      .quiet {
        flex: none;
        margin: -0.25rem -0.4rem 0 0;
      }
      .scroll {
        margin-top: 0.7rem;
        overflow-x: auto;
      }
      table {
        width: 100%;
        border-collapse: collapse;
        font-size: 0.9375rem;
        font-variant-numeric: tabular-nums;
      }
      th,
      td {
        padding: 0.5rem 0 0.5rem 1.2rem;
        border-top: 1px solid var(--line);
        text-align: end;
        white-space: nowrap;
      }
      thead th {
        border-top: 0;
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        font-weight: 450;
        vertical-align: bottom;
      }
      :is(th, td):first-child {
        padding-inline-start: 0;
        text-align: start;
      }
      tbody th {
        font-weight: 550;
      }
      td.main {
        font-weight: 620;
      }
      .unit {
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        font-weight: 450;
      }
      dl {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr));
        gap: 0.75rem 1.4rem;
        margin: 0;
      }
      dt {
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        line-height: 1.5;
      }
      dd {
        margin: 0;
        font-size: 0.9375rem;
        line-height: 1.45;
        font-variant-numeric: tabular-nums;
        overflow-wrap: anywhere;
      }
      @media (max-width: 40rem) {
        th,
        td {
          padding-inline-start: 0.6rem;
        }
        dl {
          grid-template-columns: 1fr 1fr;
        }
      }
      .note {
        margin: 0.75rem 0 0;
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        line-height: 1.5;
      }
    `,
  ];

  @property({ attribute: false }) report!: BenchReport;
  @property() theme: "light" | "dark" = "light";
  @state() private copied: "" | "Copied" | "Not copied" = "";

  override render() {
    const { report } = this;
    return html`
      <section>
        <div class="top">
          <h2>${modelName(report.model)}</h2>
          <button class="quiet" type="button" @click=${this.copy}>
            <wa-icon name=${this.copied === "Copied" ? "check" : "copy"}></wa-icon
            ><span role="status">${this.copied || "Copy JSON"}</span>
          </button>
        </div>
        <p class="under">
          on ${report.device}: prompts of ${count(report.prompt)} tokens, ${count(report.generate)}
          decoded${report.repeats > 1 ? html`, medians of ${count(report.repeats)} runs` : nothing}
        </p>
        ${this.figures()}
        ${
          report.adapter?.software
            ? html`<p class="note">
                This GPU is a program: the figures say that the engine works here, and nothing of a real GPU.
              </p>`
            : nothing
        }
        ${report.notice === null ? nothing : html`<p class="note">${report.notice}</p>`}
      </section>
      ${
        new Set(report.runs.map((run) => run.concurrency)).size > 1
          ? html`<section>
              <h3>Decoding, tokens a second</h3>
              <tw-bench-plot .runs=${report.runs} theme=${this.theme}></tw-bench-plot>
            </section>`
          : nothing
      }
      ${this.requests()}
      <section>
        <h3>What it ran on</h3>
        <dl>
          ${this.facts().map(
            ([name, value]) =>
              html`<div>
                <dt>${name}</dt>
                <dd>${value}</dd>
              </div>`,
          )}
        </dl>
      </section>
    `;
  }

  private figures() {
    const single = this.report.runs.find((run) => run.concurrency === 1);
    return html`<div class="scroll" tabindex="0" role="region" aria-label="Figures">
      <table>
        <thead>
          <tr>
            <th scope="col">At once</th>
            <th scope="col">Prompt<br />tokens/s</th>
            <th scope="col">Decoding<br />tokens/s</th>
            <th scope="col">A step</th>
            <th scope="col">Over one</th>
          </tr>
        </thead>
        <tbody>
          ${this.report.runs.map(
            (run) =>
              html`<tr>
                <th scope="row">${count(run.concurrency)}</th>
                <td>${rate(run.prefill_tokens_per_s)}</td>
                <td class="main">${rate(run.decode_tokens_per_s)}</td>
                <td>${stepTime(run.decode_step_ms * 1000)}</td>
                <td>
                  ${
                    single
                      ? html`${(run.decode_tokens_per_s / single.decode_tokens_per_s).toFixed(2)}<span class="unit">
                            ×</span
                          >`
                      : "–"
                  }
                </td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }

  private requests() {
    const found = this.report.end_to_end;
    if (!found) return nothing;
    return html`<section>
      <h3>Streamed requests, as a page sees them</h3>
      <div class="scroll" tabindex="0" role="region" aria-label="Streamed requests">
        <table>
          <thead>
            <tr>
              <th scope="col">At once</th>
              <th scope="col">First token</th>
              <th scope="col">One answer<br />tokens/s</th>
              <th scope="col">All together<br />tokens/s</th>
            </tr>
          </thead>
          <tbody>
            ${found.runs.map(
              (run) =>
                html`<tr>
                  <th scope="row">${count(run.concurrency)}</th>
                  <td>${duration(run.ttft_ms)}</td>
                  <td>${rate(run.decode_tokens_per_s)}</td>
                  <td class="main">${rate(run.tokens_per_s)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      <p class="note">All together counts from the first request to the end of the last answer, prompts included.</p>
    </section>`;
  }

  private facts(): [string, string][] {
    const { report } = this;
    const { adapter } = report;
    const single = report.runs.find((run) => run.concurrency === 1);
    const facts: [string, string][] = [
      ["Weights", `${bytes(report.weights_bytes)}, loaded in ${duration(report.load_ms)}`],
      ["Keys and values", bytes(report.kv_bytes)],
      ["Heap of the engine", bytes(report.wasm_heap_bytes)],
    ];
    if (single && report.dispatches_per_step > 0) {
      const each = (single.decode_step_ms * 1000) / report.dispatches_per_step;
      const moved = report.weight_bytes_per_step / (single.decode_step_ms / 1000);
      facts.push(
        ["A step of one token", `${count(report.dispatches_per_step)} dispatches, ${count(each, 1)} µs each`],
        ["Weights read", `${bytes(report.weight_bytes_per_step)} a step, ${bytes(moved)}/s`],
      );
    }
    facts.push([
      "Worker",
      `${report.worker === "shared" ? "SharedWorker" : "dedicated worker"}, ${report.depth === 1 ? "one step" : `${count(report.depth)} steps`} in flight`,
    ]);
    if (adapter) {
      const name = [adapter.vendor, adapter.architecture].filter(Boolean).join(" ");
      facts.push(
        ["Adapter", adapter.description || name || "not told by the browser"],
        ["In use", `${adapter.f16 ? "f16" : "no f16"}, ${adapter.subgroups ? "subgroups" : "no subgroups"}`],
        ["Largest binding", bytes(adapter.max_binding_bytes)],
      );
    }
    facts.push(["Version", `${report.version} (${report.build})`], ["Browser", browserName(report.user_agent)]);
    return facts;
  }

  private async copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(JSON.stringify(this.report, null, 2));
      this.copied = "Copied";
    } catch {
      this.copied = "Not copied";
    }
    setTimeout(() => (this.copied = ""), 2000);
  }
}

function browserName(agent: string): string {
  return /(Firefox|Edg|\w*Chrome|Version)\/[\d]+/.exec(agent)?.[0].replace("/", " ") ?? agent;
}
