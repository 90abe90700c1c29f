// The map of a search as a table: the best time for each pair of the two parameters that vary most, deeper in colour the faster.
import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Heat, HeatCell } from "../../autotune/heat";
import { variantWords } from "../../autotune/records";
import { micros } from "../../autotune/words";
import { counted } from "../../figures";
import { base } from "../shared";

@customElement("tw-autotune-heat")
export class HeatTable extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        min-width: 0;
        overflow-x: auto;
      }
      table {
        border-spacing: 2px;
        font-size: 0.8125rem;
        font-variant-numeric: tabular-nums;
        line-height: 1.4;
      }
      th {
        padding: 0.2rem 0.5rem;
        color: var(--ink-quiet);
        font-weight: 450;
        white-space: nowrap;
      }
      tbody th {
        text-align: end;
      }
      td {
        min-width: 4.5rem;
        padding: 0.5rem 0.6rem;
        border-radius: 0.35rem;
        background: var(--sunken);
        color: var(--ink-quiet);
        text-align: center;
        white-space: nowrap;
      }
      td.timed {
        background: color-mix(in oklab, var(--accent-fill) var(--deep), var(--accent-wash));
        color: var(--ink);
      }
      td.deep {
        color: #fff;
      }
      td.best {
        font-weight: 650;
        outline: 2px solid var(--ink);
        outline-offset: -2px;
      }
    `,
  ];

  @property({ attribute: false }) heat!: Heat;

  override render() {
    const { down, across, rows, columns, cells } = this.heat;
    return html`<table>
      <thead>
        <tr>
          <th scope="col">${down} ↓ ${across} →</th>
          ${columns.map((column) => html`<th scope="col">${String(column)}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row, i) =>
            html`<tr>
              <th scope="row">${String(row)}</th>
              ${cells[i]!.map((cell) => this.cell(cell))}
            </tr>`,
        )}
      </tbody>
    </table>`;
  }

  private cell(cell: HeatCell | undefined) {
    if (!cell) return html`<td title="Nothing was timed here">·</td>`;
    const deep = Math.round(100 * (1 - cell.slowness));
    const kind = `timed ${deep >= 55 ? "deep" : ""} ${cell.slowness === 0 ? "best" : ""}`;
    const title = `Fastest of ${counted(cell.variants, "variant")}: ${variantWords(cell.fastest)}`;
    return html`<td class=${kind} style=${`--deep:${deep}%`} title=${title}>${micros(cell.fastest.us)}</td>`;
  }
}
