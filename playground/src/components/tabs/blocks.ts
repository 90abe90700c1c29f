// The KV memory as a picture: one cell for each block, in the order of their numbers.
//
// A canvas, because there may be ten thousand of them. Only cells that changed are drawn again. What the picture says is also said
// in words: the legend counts every kind, and pointing at a cell, or moving through them with the arrow keys, names its block.
import { LitElement, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { count, counted } from "../../figures";
import { type Grid, blockAt, grid, neighbour } from "../../tabs/block-grid";
import { type BlockKind, describeBlock } from "../../tabs/blocks";
import type { ClientMarks } from "../../tabs/client-marks";
import type { Look } from "../../tabs/inspection";
import { base } from "../shared";
import { CELL_COLOURS, paintCell } from "./cell";
import { card, chip, chips, dim } from "./chip";
import "./legend-cell";

const MOST_HEIGHT = 400;
/** Cells from this size on carry their owner's number. */
const NUMBERED = 20;
const DIMMED = 0.25;

@customElement("tw-tabs-blocks")
export class Blocks extends LitElement {
  static override styles = [
    base,
    card,
    chips,
    css`
      .picture {
        position: relative;
        border-radius: 0.3rem;
      }
      .picture:focus-visible {
        outline-offset: 5px;
      }
      canvas {
        display: block;
      }
      .ring {
        position: absolute;
        top: 0;
        left: 0;
        border-radius: 2px;
        outline: 2px solid var(--ink);
        outline-offset: 1px;
        pointer-events: none;
      }
      .tip {
        position: absolute;
        z-index: 1;
        width: max-content;
        max-width: min(19rem, 100%);
        padding: 0.5rem 0.75rem;
        border: 1px solid var(--line-strong);
        border-radius: 0.6rem;
        background: var(--raised);
        box-shadow: var(--shadow);
        color: var(--ink-soft);
        font-size: 0.8125rem;
        line-height: 1.45;
        pointer-events: none;
      }
      .tip b {
        display: block;
        color: var(--ink);
        font-weight: 600;
      }
      .legend {
        display: flex;
        flex-wrap: wrap;
        gap: 0.35rem 1.4rem;
        margin: 0.95rem 0 0;
        padding: 0;
        color: var(--ink-soft);
        font-size: 0.8125rem;
        line-height: 1.5rem;
        font-variant-numeric: tabular-nums;
        list-style: none;
      }
      .legend li {
        display: flex;
        align-items: center;
        gap: 0.5rem;
      }
      .legend b {
        color: var(--ink);
        font-weight: 580;
      }
    `,
  ];

  @property({ attribute: false }) look!: Look;
  @property({ attribute: false }) marks!: ClientMarks;
  @property({ attribute: false }) spot: number | undefined;
  @property() theme: "light" | "dark" = "light";
  @state() private pointed: number | undefined;
  @state() private spoken = "";
  @state() private width = 0;
  @query("canvas") private canvas!: HTMLCanvasElement;
  @query(".picture") private picture!: HTMLElement;
  private places: Grid = grid(0, 1, 1, 1);
  /** What each cell shows now, and for which picture as a whole that holds. */
  private drawn: string[] = [];
  private drawnFor = "";
  private readonly sizes = new ResizeObserver(([entry]) => {
    this.width = Math.floor(entry?.contentRect.width ?? 0);
  });

  override render() {
    const { snapshot, counts } = this.look;
    const held = counts.used + counts.shared;
    const say = `${count(held)} of ${count(counts.total)} blocks in use`;
    return html`<section aria-labelledby="blocks">
      <div class="head">
        <h2 id="blocks">KV blocks</h2>
        <p class="meta">${say}, ${counted(snapshot.block_size, "token")} each</p>
      </div>
      <div
        class="picture"
        role="application"
        tabindex="0"
        aria-roledescription="picture of blocks"
        aria-label=${`${say}. The arrow keys go from block to block.`}
        @keydown=${this.keyed}
        @blur=${() => this.point(undefined)}
        @pointermove=${this.moved}
        @pointerdown=${this.moved}
        @pointerleave=${() => this.point(undefined)}
      >
        <canvas aria-hidden="true"></canvas>
        ${this.tip()}
      </div>
      <ul class="legend" aria-label="Blocks by what they do">
        ${[...counts.byClient]
          .sort(([a], [b]) => a - b)
          .map(
            ([client, blocks]) =>
              html`<li class=${dim(client, this.spot)} data-client=${client}>
                ${chip(client, this.marks)} <b>${count(blocks)}</b> in use
              </li>`,
          )}
        ${this.kind("shared", "shared", counts.shared)} ${this.kind("cached", "cached", counts.cached)}
        ${this.kind("fenced", "being freed", counts.fenced)} ${this.kind("free", "free", counts.free)}
      </ul>
      <div class="heard" aria-live="polite">${this.spoken}</div>
    </section>`;
  }

  private kind(kind: BlockKind, name: string, blocks: number) {
    // The first of its kind, so that what is shared has the colours of those who share.
    const block = this.look.blocks.find((block) => block.kind === kind) ?? { kind, owners: [], look: kind };
    return html`<li data-kind=${kind}>
      <tw-tabs-legend-cell .block=${block} .marks=${this.marks} theme=${this.theme}></tw-tabs-legend-cell>
      <b>${count(blocks)}</b> ${name}
    </li>`;
  }

  private tip() {
    const id = this.pointed;
    if (id === undefined || id >= this.look.blocks.length) return nothing;
    const { columns, pitch, cell } = this.places;
    const scale = devicePixelRatio;
    const [x, y] = [((id % columns) * pitch) / scale, (Math.floor(id / columns) * pitch) / scale];
    const toLeft = x > this.width / 2;
    const side = toLeft ? `right: ${this.width - x - pitch / scale}px` : `left: ${x}px`;
    return html`<div
        class="ring"
        style=${`translate: ${x}px ${y}px; width: ${cell / scale}px; height: ${cell / scale}px`}
      ></div>
      <div class="tip" style=${`${side}; top: ${y + pitch / scale + 6}px`}>
        <b>Block ${id}</b>${describeBlock(this.look.snapshot, id)}
      </div>`;
  }

  override firstUpdated(): void {
    this.sizes.observe(this.picture);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.sizes.disconnect();
  }

  override updated(): void {
    if (this.width > 0) this.draw();
  }

  private draw(): void {
    const { blocks } = this.look;
    const scale = devicePixelRatio;
    const whole = [blocks.length, this.width, scale, this.theme, this.spot].join();
    const context = this.canvas.getContext("2d");
    if (!context) return;
    if (whole !== this.drawnFor) {
      this.drawnFor = whole;
      this.drawn = [];
      this.places = grid(blocks.length, this.width, MOST_HEIGHT, scale);
      const { columns, rows, pitch } = this.places;
      this.canvas.width = columns * pitch; // which also clears it
      this.canvas.height = rows * pitch;
      this.canvas.style.width = `${(columns * pitch) / scale}px`;
      this.canvas.style.height = `${(rows * pitch) / scale}px`;
    }
    const { columns, pitch, cell } = this.places;
    const colours = CELL_COLOURS[this.theme];
    blocks.forEach((block, id) => {
      // The colour belongs to the look: another client may have got this one's number of owner, never its mark.
      const look = `${block.look} ${block.owners.map((owner) => this.marks.slot(owner)).join(" ")}`;
      if (this.drawn[id] === look) return;
      this.drawn[id] = look;
      const [x, y] = [(id % columns) * pitch, Math.floor(id / columns) * pitch];
      context.clearRect(x, y, pitch, pitch);
      const held = block.kind === "used" || block.kind === "shared";
      context.globalAlpha = this.spot === undefined || !held || block.owners.includes(this.spot) ? 1 : DIMMED;
      paintCell(context, block, x, y, cell, this.marks, colours, cell >= NUMBERED * scale);
    });
    context.globalAlpha = 1;
  }

  private point(id: number | undefined): void {
    this.pointed = id;
    if (id === undefined) this.spoken = "";
  }

  private moved(event: PointerEvent): void {
    const from = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - from.left, event.clientY - from.top].map((css) => css * devicePixelRatio);
    this.point(blockAt(this.places, this.look.blocks.length, x ?? -1, y ?? -1));
  }

  private keyed(event: KeyboardEvent): void {
    const total = this.look.blocks.length;
    if (event.key === "Escape") return this.point(undefined);
    const to =
      this.pointed === undefined && event.key.startsWith("Arrow")
        ? 0
        : neighbour(this.places, total, this.pointed ?? 0, event.key);
    if (to === undefined || total === 0) return;
    event.preventDefault();
    this.point(to);
    this.spoken = `Block ${to}: ${describeBlock(this.look.snapshot, to)}`;
  }
}
