// A cell of the block picture beside its name, drawn by the same hand.
import { LitElement, css, html } from "lit";
import { customElement, property, query } from "lit/decorators.js";
import type { BlockView } from "../../tabs/blocks";
import type { ClientMarks } from "../../tabs/client-marks";
import { CELL_COLOURS, paintCell } from "./cell";

const SIZE = 14;

@customElement("tw-tabs-legend-cell")
export class LegendCell extends LitElement {
  static override styles = css`
    :host {
      display: inline-flex;
      flex: none;
    }
    canvas {
      width: 14px;
      height: 14px;
    }
  `;

  @property({ attribute: false }) block!: BlockView;
  @property({ attribute: false }) marks!: ClientMarks;
  @property() theme: "light" | "dark" = "light";
  @query("canvas") private canvas!: HTMLCanvasElement;

  override render() {
    return html`<canvas aria-hidden="true"></canvas>`;
  }

  override updated(): void {
    const size = Math.round(SIZE * devicePixelRatio);
    this.canvas.width = this.canvas.height = size;
    const context = this.canvas.getContext("2d");
    if (context) paintCell(context, this.block, 0, 0, size, this.marks, CELL_COLOURS[this.theme]);
  }
}
