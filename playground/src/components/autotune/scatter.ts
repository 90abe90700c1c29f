// A picture of a search: time against variant, in the order tried. What was right but slower is a dot, the chosen one a larger
// one, and what came to nothing stands as a cross on the ground.
import { css, html } from "lit";
import { customElement, property, query } from "lit/decorators.js";
import type uPlot from "uplot";
import { type Tried, sameVariant, variantWords } from "../../autotune/records";
import { marks, micros } from "../../autotune/words";
import { shade } from "../../tabs/palette";
import { type PlotOptions, Plotted, plotted, pointing } from "../plotted";

const HEIGHT = 220;

@customElement("tw-autotune-scatter")
export class Scatter extends Plotted {
  static override styles = [
    ...plotted,
    css`
      .plot {
        min-height: ${HEIGHT}px;
      }
      p {
        display: flex;
        flex-wrap: wrap;
        gap: 0.1rem 1.2rem;
        min-height: 2.5em;
        margin: 0.3rem 0 0;
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        line-height: 1.5;
      }
      .key::before {
        content: "";
        display: inline-block;
        width: 0.6rem;
        height: 0.6rem;
        margin-inline-end: 0.45rem;
        border-radius: 50%;
        background: var(--accent);
      }
      .key.chosen::before {
        background: var(--chosen);
      }
      .key.failed::before {
        border-radius: 0;
        background: var(--danger);
        clip-path: polygon(
          20% 0,
          50% 30%,
          80% 0,
          100% 20%,
          70% 50%,
          100% 80%,
          80% 100%,
          50% 70%,
          20% 100%,
          0 80%,
          30% 50%,
          0 20%
        );
      }
    `,
  ];

  @property({ attribute: false }) tried: readonly Tried[] = [];
  @property({ attribute: false }) chosen: Pick<Tried, "kernel" | "parameters"> | undefined;
  @query(".pointed") private words!: HTMLElement;
  protected override readonly height = HEIGHT;

  override render() {
    const times = this.tried.flatMap(({ us, outcome }) => (us !== undefined && outcome === "ok" ? [us] : []));
    const words =
      times.length === 0
        ? "none was timed"
        : `times from ${micros(Math.min(...times))} to ${micros(Math.max(...times))}`;
    return html`<div
        class="plot"
        role="img"
        aria-label=${`${this.tried.length} variants in the order tried: ${words}`}
      ></div>
      <p style=${`--chosen:${shade(1, this.theme)}`}>
        <span class="key">right</span><span class="key chosen">chosen</span
        ><span class="key failed">came to nothing</span><span class="pointed"></span>
      </p>`;
  }

  override updated(): void {
    const { tried, chosen } = this;
    if (tried.length === 0) {
      this.erase();
      return;
    }
    const right = tried.map(({ us, outcome }) => (outcome === "ok" && us !== undefined ? us : null));
    const times = right.filter((us) => us !== null);
    const [least, most] = times.length > 0 ? [Math.min(...times), Math.max(...times)] : [1, 2];
    const ground = least / 1.35;
    const best = right.map((us, i) => (chosen && sameVariant(tried[i]!, chosen) ? us : null));
    const failed = right.map((us) => (us === null ? ground : null));
    this.draw(this.options(ground / 1.1, Math.max(most, least * 1.5) * 1.25), [
      tried.map((_, i) => i + 1),
      right,
      best,
      failed,
    ]);
  }

  private options(least: number, most: number): PlotOptions {
    const { axis } = this;
    const dots = (colour: string, size: number): uPlot.Series => ({
      stroke: colour,
      paths: () => null,
      points: { show: true, size, width: 1, stroke: colour, fill: colour },
    });
    const danger = this.theme === "dark" ? "#ff9a8d" : "#b3352b";
    return {
      padding: [10, 14, 0, 0],
      cursor: pointing,
      scales: {
        x: { time: false, range: (_plot, _least, last) => [0.4, Math.max(last, 2) + 0.6] },
        // A doubling is as high as every other: a slow variant may take a hundred times as long.
        y: { distr: 3, log: 2, range: () => [least, most] },
      },
      axes: [
        {
          ...axis,
          size: 28,
          grid: { show: false },
          incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500],
          values: (_plot, splits) => splits.map((at) => (at >= 1 ? String(at) : "")),
        },
        {
          ...axis,
          size: 66,
          splits: () => marks(least, most),
          filter: (_plot, splits) => splits,
          values: (_plot, splits) => splits.map(micros),
        },
      ],
      series: [
        {},
        dots(shade(0, this.theme), 7),
        dots(shade(1, this.theme), 12),
        { stroke: danger, paths: () => null, points: { show: crosses(danger) } },
      ],
      hooks: { setCursor: [(plot) => this.point(plot.cursor.idx)] },
    };
  }

  private point(at: number | null | undefined): void {
    const tried = at === null || at === undefined ? undefined : this.tried[at];
    this.words.textContent = tried
      ? `${at! + 1}: ${tried.us === undefined ? tried.outcome : micros(tried.us)}, ${variantWords(tried)}`
      : "";
  }
}

/** Draws crosses instead of the series' own points. */
function crosses(colour: string) {
  return (plot: uPlot, series: number, first: number, last: number): boolean => {
    const { ctx } = plot;
    const half = 4 * devicePixelRatio;
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.beginPath();
    for (let i = first; i <= last; i++) {
      const value = plot.data[series]?.[i];
      if (typeof value !== "number") continue;
      const [x, y] = [plot.valToPos(plot.data[0][i]!, "x", true), plot.valToPos(value, "y", true)];
      ctx.moveTo(x - half, y - half);
      ctx.lineTo(x + half, y + half);
      ctx.moveTo(x - half, y + half);
      ctx.lineTo(x + half, y - half);
    }
    ctx.stroke();
    ctx.restore();
    return false;
  };
}
