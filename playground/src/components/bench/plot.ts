// Decoding against how many read at once: what all got together, and what they would have if each got as much as one alone.
import { css, html } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Figures } from "tilewright/bench";
import { rate } from "../../figures";
import { shade } from "../../tabs/palette";
import { type PlotOptions, Plotted, plotted } from "../plotted";

const HEIGHT = 220;

@customElement("tw-bench-plot")
export class BenchPlot extends Plotted {
  static override styles = [
    ...plotted,
    css`
      .plot {
        min-height: ${HEIGHT}px;
      }
      p {
        display: flex;
        flex-wrap: wrap;
        gap: 0.2rem 1.4rem;
        margin: 0.3rem 0 0;
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        line-height: 1.5;
      }
      p span {
        display: inline-flex;
        align-items: center;
        gap: 0.5rem;
      }
      p span::before {
        content: "";
        width: 1.4rem;
        border-top: 2px solid var(--accent);
      }
      p .ideal::before {
        border-top: 2px dashed var(--ink-quiet);
      }
    `,
  ];

  @property({ attribute: false }) runs: readonly Figures[] = [];
  protected override readonly height = HEIGHT;

  override render() {
    const words = this.runs.map((run) => `${run.concurrency} at once ${rate(run.decode_tokens_per_s)} tokens/s`);
    return html`<div class="plot" role="img" aria-label=${`Decoding: ${words.join(", ")}`}></div>
      <p><span>all together</span><span class="ideal">if each had the speed of one alone</span></p>`;
  }

  override updated(): void {
    const runs = [...this.runs].sort((a, b) => a.concurrency - b.concurrency);
    const least = runs[0];
    if (!least) return;
    const at = runs.map((run) => run.concurrency);
    const together = runs.map((run) => run.decode_tokens_per_s);
    const each = least.decode_tokens_per_s / least.concurrency;
    this.draw(this.options(at, Math.max(...together)), [at, together, at.map((count) => count * each)]);
  }

  private options(at: number[], highest: number): PlotOptions {
    const { axis } = this;
    const accent = shade(0, this.theme);
    return {
      padding: [10, 22, 0, 0],
      cursor: { show: false },
      scales: {
        // A doubling is as wide as every other.
        x: { time: false, distr: 3, log: 2, range: () => [(at[0] ?? 1) / 1.25, (at.at(-1) ?? 1) * 1.25] },
        // Where little is gained the other line would press this one flat; it may leave the picture.
        y: { range: (_plot, _least, most) => [0, Math.min(most, highest * 1.8) * 1.08] },
      },
      axes: [
        {
          ...axis,
          size: 28,
          grid: { show: false },
          splits: () => at,
          filter: (_plot, splits) => splits,
          values: (_plot, splits) => splits.map((count) => `${count} at once`),
        },
        { ...axis, size: 58, values: (_plot, splits) => splits.map((value) => value.toLocaleString("en")) },
      ],
      series: [
        {},
        { stroke: accent, width: 2, points: { show: true, size: 8, fill: accent } },
        { stroke: this.quiet, width: 1.5, dash: [5, 5], points: { show: false } },
      ],
    };
  }
}
