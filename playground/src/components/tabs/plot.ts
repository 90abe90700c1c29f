// Step times as they come: the last steps as columns, each divided among clients by their rows. Drawn by uPlot.
//
// The plot is made anew when what it stacks changes (a client came or went, the theme, the spotlight), which is seldom, and is
// only given numbers otherwise. The x axis counts back from the newest step, so that it stands still while steps move.
import { css, html } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import uPlot from "uplot";
import { count, counted, stepTime } from "../../figures";
import type { ClientMarks } from "../../tabs/client-marks";
import { shade } from "../../tabs/palette";
import type { StepRecord } from "tilewright";
import { type Part, columns, scale } from "../../tabs/step-columns";
import { STEPS_SHOWN, times } from "../../tabs/step-log";
import { type PlotOptions, Plotted, plotted, pointing } from "../plotted";
import { CELL_COLOURS } from "./cell";

const HEIGHT = 190;

@customElement("tw-tabs-plot")
export class Plot extends Plotted {
  static override styles = [
    ...plotted,
    css`
      h3 {
        margin: 0 0 0.35rem;
        font-size: 0.8125rem;
        font-weight: 550;
        line-height: 1.5;
      }
      h3 span {
        color: var(--ink-quiet);
        font-weight: 450;
      }
      .plot {
        min-height: ${HEIGHT}px;
        border-radius: 0.3rem;
        touch-action: pan-y;
      }
      .u-cursor-x {
        border-color: var(--ink-quiet);
      }
      .u-cursor-y {
        display: none;
      }
      p {
        min-height: 1.25rem;
        margin: 0.35rem 0 0;
        overflow: hidden;
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        line-height: 1.25rem;
        font-variant-numeric: tabular-nums;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
    `,
  ];

  @property({ attribute: false }) steps: readonly StepRecord[] = [];
  @property({ attribute: false }) marks!: ClientMarks;
  @property({ attribute: false }) spot: number | undefined;
  /** The step under the pointer, by its place in `steps`. */
  @state() private pointed: number | undefined;
  private plotOf = "";
  private given: readonly StepRecord[] = [];
  protected override readonly height = HEIGHT;

  override render() {
    const middle = times(this.steps);
    const summary = middle
      ? `Time of the last ${count(this.steps.length)} steps: half took at most ${stepTime(middle.median)}, the longest ${stepTime(middle.longest)}`
      : "No steps yet";
    return html`<h3>Step time <span>of the last ${STEPS_SHOWN} steps, divided by whose rows they had</span></h3>
      <div class="plot" role="img" tabindex="0" aria-label=${summary} @keydown=${this.keyed}></div>
      <p aria-live=${this.place?.matches(":focus") ? "polite" : "off"}>${this.words(middle)}</p>`;
  }

  private words(middle: ReturnType<typeof times>): string {
    const step = this.pointed === undefined ? undefined : this.steps[this.pointed];
    if (step) {
      const rows = step.rows.map(({ client, decode, prefill }) =>
        [`client ${client}:`, decode ? `${count(decode)} decode` : "", prefill ? `${count(prefill)} prefill` : ""]
          .filter(Boolean)
          .join(" "),
      );
      return `#${step.step}: ${stepTime(step.elapsed)}; ${rows.join(", ")}`;
    }
    if (!middle) return "";
    const { beyond } = scale(this.steps);
    const note = beyond ? ` (${counted(beyond, "step")} beyond the scale)` : "";
    return `Half of them took at most ${stepTime(middle.median)}, the longest ${stepTime(middle.longest)}${note}`;
  }

  protected override erase(): void {
    super.erase();
    this.plotOf = "";
  }

  override updated(): void {
    const { parts, data } = columns(this.steps, STEPS_SHOWN);
    const marks = parts.map(({ client, kind }) => `${client} ${this.marks.slot(client)} ${kind}`);
    const plotOf = [this.theme, this.spot, devicePixelRatio, ...marks].join();
    if (plotOf !== this.plotOf) {
      this.draw(this.options(parts), data);
      this.plotOf = plotOf;
    } else if (this.given !== this.steps) {
      this.plot?.setData(data);
    }
    this.given = this.steps;
  }

  private options(parts: readonly Part[]): PlotOptions {
    const { axis } = this;
    const bars = uPlot.paths.bars!({ size: [1, 24, 1], align: 0, gap: 1 });
    return {
      padding: [8, 22, 0, 0],
      cursor: pointing,
      scales: {
        x: { time: false, range: () => [-0.6, STEPS_SHOWN - 0.4] },
        y: { range: () => [0, scale(this.steps).top] },
      },
      axes: [
        {
          ...axis,
          size: 26,
          grid: { show: false },
          splits: () =>
            [0, 1, 2, 3].map((quarter) => (quarter * STEPS_SHOWN) / 4 - (quarter ? 1 : 0)).concat(STEPS_SHOWN - 1),
          values: (_plot, splits) =>
            splits.map((at) => (at === STEPS_SHOWN - 1 ? "newest" : at === 0 ? "" : `${STEPS_SHOWN - 1 - at} before`)),
        },
        { ...axis, size: 52, values: (_plot, splits) => splits.map((ms) => axisTime(ms, splits.at(-1) ?? 0)) },
      ],
      series: [
        {},
        // From the top of the stack down: each is painted over by those below it.
        ...[...parts]
          .reverse()
          .map((part) => ({ paths: bars, width: 0, points: { show: false }, fill: this.fill(part) })),
      ],
      hooks: {
        setCursor: [
          (plot) => {
            this.pointed = plot.cursor.idx ?? undefined;
          },
        ],
      },
    };
  }

  /** The client's colour for answers, and stripes of it for prompts. Opaque, as columns are painted over each other. */
  private fill({ client, kind }: Part): string | CanvasPattern {
    const { page } = CELL_COLOURS[this.theme];
    const full = shade(this.marks.slot(client), this.theme);
    const inLight = this.spot === undefined || this.spot === client;
    const colour = inLight ? full : mixed(full, page, 0.25);
    if (kind === "decode") return colour;
    const size = Math.round(6 * devicePixelRatio);
    const tile = new OffscreenCanvas(size, size);
    const context = tile.getContext("2d");
    if (!context) return colour;
    context.fillStyle = mixed(colour, page, 0.3);
    context.fillRect(0, 0, size, size);
    context.strokeStyle = colour;
    context.lineWidth = size / 3;
    context.beginPath();
    for (const from of [-size, 0, size]) {
      context.moveTo(from - 1, size + 1);
      context.lineTo(from + size + 1, -1);
    }
    context.stroke();
    return context.createPattern(tile, "repeat") ?? colour;
  }

  private keyed(event: KeyboardEvent): void {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined || this.steps.length === 0) return;
    event.preventDefault();
    const last = this.steps.length - 1;
    this.pointed = Math.min(last, Math.max(0, (this.pointed ?? last + (by > 0 ? 0 : 1)) + by));
    const x = this.plot?.valToPos(STEPS_SHOWN - this.steps.length + this.pointed, "x");
    if (x !== undefined) this.plot?.setCursor({ left: x, top: 10 });
  }
}

function axisTime(ms: number, highest: number): string {
  return highest >= 2000 ? `${count(ms / 1000, 1)} s` : `${count(ms, 2)} ms`;
}

/** So much of a colour over another, both as #rrggbb. */
function mixed(colour: string, over: string, share: number): string {
  const channel = (of: string, at: number): number => parseInt(of.slice(at, at + 2), 16);
  const mix = [1, 3, 5].map((at) => Math.round(channel(colour, at) * share + channel(over, at) * (1 - share)));
  return `#${mix.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
