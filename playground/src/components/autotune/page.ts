// The tuning page: what this GPU is, how far its tuning is, what was chosen for each operation and why.
//
// The page is a client like any other: it opens the model that the chat page opens (`?model=` names another, `?device=gpu` has
// the GPU even where a program only pretends to be one). `?seconds=` is how long "Tune now" may keep the GPU busy.
import { LitElement, css, html, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";
import { TunerView } from "../../autotune/tuner";
import { byPhase } from "../../autotune/words";
import { Engine, modelName } from "../../engine";
import { type Theme, watchTheme } from "../../theme";
import "../loading";
import "../masthead";
import { base } from "../shared";
import "../trouble";
import { Watch } from "../watch";
import type { Wish } from "./controls";
import "./controls";
import "./facts";
import "./operations";
import "./taken";

@customElement("tw-autotune")
export class TuningPage extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        min-height: 100dvh;
      }
      main {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        gap: 0.9rem;
        max-width: 88rem;
        margin: 0 auto;
        padding: 0.4rem clamp(0.75rem, 2vw, 1.25rem) max(1.5rem, env(safe-area-inset-bottom));
      }
      .pair {
        display: grid;
        grid-template-columns: minmax(0, 1.2fr) minmax(0, 1fr);
        gap: 0.9rem;
      }
      .column {
        display: grid;
        gap: 1rem;
        width: 100%;
        max-width: var(--column);
        margin: 12vh auto 0;
      }
      .column p {
        margin: 0;
        color: var(--ink-soft);
        text-wrap: pretty;
      }
      .troubles {
        padding: 0.9rem 1.25rem 1rem;
        border: 1px solid var(--danger-line);
        border-radius: 1rem;
        background: var(--danger-wash);
        color: var(--ink-soft);
        font-size: 0.9375rem;
        line-height: 1.55;
        overflow-wrap: anywhere;
      }
      .troubles h2 {
        margin: 0 0 0.2rem;
        color: var(--ink);
        font-size: 1rem;
        font-weight: 620;
      }
      .troubles p {
        margin: 0;
      }
      .drop {
        position: fixed;
        inset: 0.75rem;
        z-index: 1;
        display: grid;
        place-items: center;
        border: 2px dashed var(--accent);
        border-radius: 1.2rem;
        background: color-mix(in srgb, var(--paper) 88%, transparent);
        color: var(--accent);
        font-size: 1.25rem;
        font-weight: 600;
        pointer-events: none;
      }
      @media (max-width: 60rem) {
        .pair {
          grid-template-columns: minmax(0, 1fr);
        }
      }
    `,
  ];

  private readonly engine = new Engine();
  private readonly tuner = new TunerView();
  @state() private theme: Theme = "light";
  @state() private dragged = false;
  private reports = 0;

  constructor() {
    super();
    new Watch(this, [this.engine, this.tuner]);
    watchTheme((theme) => (this.theme = theme));
    this.engine.addEventListener("change", () => {
      const { state } = this.engine;
      this.tuner.watch(state.is === "ready" ? state.tilewright : undefined);
    });
  }

  override connectedCallback(): void {
    super.connectedCallback();
    for (const kind of ["dragover", "dragleave", "drop"] as const) document.addEventListener(kind, this.drag);
    this.tuner.connect();
    void this.engine.connect();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    for (const kind of ["dragover", "dragleave", "drop"] as const) document.removeEventListener(kind, this.drag);
    this.tuner.disconnect();
  }

  override render() {
    return html`
      <tw-masthead heading="Tuning" .links=${["chat", "tabs", "bench"]}></tw-masthead>
      <main @again=${this.again}>${this.content()}</main>
      ${this.dragged ? html`<div class="drop">Drop a file of measurements</div>` : nothing}
    `;
  }

  private content() {
    const engine = this.engine.state;
    if (engine.is === "loading") {
      return html`<div class="column">
        <tw-loading .state=${engine} .reports=${this.reports++}></tw-loading>
        <p>
          Kernels are tuned for a model, by the engine that all tabs share. It is loading the model now; the chat will
          find it ready.
        </p>
      </div>`;
    }
    if (engine.is === "failed") {
      return html`<div class="column"><tw-trouble .error=${engine.error}></tw-trouble></div>`;
    }
    const { status, records, taken, error, refused } = this.tuner;
    if (error !== undefined) return html`<div class="column"><tw-trouble .error=${error}></tw-trouble></div>`;
    if (!status) return nothing;
    return html`
      ${refused === undefined ? nothing : html`<tw-trouble .error=${refused}></tw-trouble>`}
      ${taken ? html`<tw-autotune-taken .taken=${taken}></tw-autotune-taken>` : nothing}
      ${
        status.troubles.length > 0
          ? html`<section class="troubles" role="status">
              <h2>Measurements are not kept</h2>
              ${status.troubles.map((trouble) => html`<p>${trouble}</p>`)}
              <p>They last as long as the engine does; chats are not affected.</p>
            </section>`
          : nothing
      }
      <div class="pair">
        <tw-autotune-controls
          .status=${status}
          @wish=${this.wished}
          @file=${({ detail }: CustomEvent<File>) => void this.tuner.import(detail)}
        ></tw-autotune-controls>
        <tw-autotune-facts .status=${status} .records=${records} .model=${engine.tilewright.model}></tw-autotune-facts>
      </div>
      ${[...byPhase(status.operations)].map(
        ([phase, operations]) =>
          html`<tw-autotune-operations
            .phase=${phase}
            .operations=${operations}
            .trials=${status.trials.filter((trial) => trial.phase === phase)}
            .records=${records}
            theme=${this.theme}
          ></tw-autotune-operations>`,
      )}
    `;
  }

  private wished({ detail }: CustomEvent<Wish>): void {
    const { tuner } = this;
    const does: Record<Wish, () => Promise<void>> = {
      start: () => tuner.start(false),
      again: () => tuner.start(true),
      pause: () => tuner.pause(),
      resume: () => tuner.goOn(),
      reset: () => tuner.reset(),
      export: () => this.export(),
    };
    void does[detail]();
  }

  private async export(): Promise<void> {
    const file = await this.tuner.file();
    const { state } = this.engine;
    if (file === undefined || state.is !== "ready") return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file], { type: "application/json" }));
    link.download = `tilewright-tuning-${modelName(state.tilewright.model)}.json`;
    link.click();
    // The download has begun by then; a minute, as some browsers ask where to put it first.
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  private readonly drag = (event: DragEvent): void => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this.dragged = event.type === "dragover";
    const file = event.type === "drop" ? event.dataTransfer.files[0] : undefined;
    if (file && this.tuner.status) void this.tuner.import(file);
  };

  /** A new connection, which loads the model if the engine has lost it. */
  private again(): void {
    const { state } = this.engine;
    if (state.is === "ready") state.tilewright.close();
    void this.engine.connect();
  }
}
