// A component with one picture by uPlot: as wide as its place, gone with the component, its axes in the page's colours.
import { LitElement, css, unsafeCSS } from "lit";
import { property, query } from "lit/decorators.js";
import uPlot from "uplot";
import uPlotCss from "uplot/dist/uPlot.min.css?inline";
import { base } from "./shared";

/** For `static styles` of a {@link Plotted}, which renders an element of class `plot` for the picture. */
export const plotted = [
  unsafeCSS(uPlotCss),
  base,
  css`
    :host {
      display: block;
      min-width: 0;
    }
  `,
];

/** What a {@link Plotted} itself does not settle. */
export type PlotOptions = Omit<uPlot.Options, "width" | "height" | "legend">;

export abstract class Plotted extends LitElement {
  @property() theme: "light" | "dark" = "light";
  @query(".plot") protected place!: HTMLElement;
  protected plot: uPlot | undefined;
  /** Of the picture, in CSS pixels. */
  protected abstract readonly height: number;
  private readonly sizes = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry?.contentRect.width ?? 0);
    if (width > 0 && width !== this.plot?.width) this.plot?.setSize({ width, height: this.height });
  });

  override firstUpdated(): void {
    this.sizes.observe(this.place);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.sizes.disconnect();
    this.erase();
  }

  protected erase(): void {
    this.plot?.destroy();
    this.plot = undefined;
  }

  /** Draws anew. */
  protected draw(options: PlotOptions, data: uPlot.AlignedData): void {
    this.erase();
    const width = Math.max(1, Math.floor(this.place.clientWidth));
    this.plot = new uPlot({ ...options, width, height: this.height, legend: { show: false } }, data, this.place);
  }

  /** The colour of what is not the matter itself. */
  protected get quiet(): string {
    return this.theme === "dark" ? "#8d919b" : "#6b6f7a";
  }

  protected get axis(): uPlot.Axis {
    return {
      stroke: this.quiet,
      font: "12px 'Inter Variable', sans-serif", // whole pixels: uPlot scales the digits
      grid: { stroke: this.theme === "dark" ? "#2b2f37" : "#e5e2da", width: 1 },
      ticks: { show: false },
      gap: 6,
    };
  }
}

/** For a picture whose columns can be pointed at. */
export const pointing: uPlot.Cursor = { y: false, drag: { x: false, y: false }, points: { show: false } };
