// Where the tuning stands, how much of its time is spent, and the buttons. What a button does is the page's: an event says it.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { TuningStatus } from "tilewright";
import { standing, stateWords, timeLeft } from "../../autotune/words";
import { counted, duration } from "../../figures";
import { base } from "../shared";
import { cards } from "./shared";

/** What a button asks for. */
export type Wish = "start" | "again" | "pause" | "resume" | "reset" | "export";

@customElement("tw-autotune-controls")
export class Controls extends LitElement {
  static override styles = [
    base,
    cards,
    css`
      :host {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        min-width: 0;
      }
      section {
        display: grid;
        align-content: start;
        gap: 0.9rem;
      }
      .none h2,
      .failed h2 {
        color: var(--danger);
      }
      progress {
        display: block;
        width: 100%;
        height: 0.5rem;
        border: 0;
        border-radius: 1rem;
        background: var(--sunken);
        appearance: none;
        overflow: hidden;
      }
      progress::-webkit-progress-bar {
        background: var(--sunken);
      }
      progress::-webkit-progress-value {
        border-radius: 1rem;
        background: var(--accent-fill);
        transition: inline-size 300ms;
      }
      progress::-moz-progress-bar {
        border-radius: 1rem;
        background: var(--accent-fill);
      }
      .spent {
        display: flex;
        flex-wrap: wrap;
        justify-content: space-between;
        gap: 0 1rem;
        margin: 0.35rem 0 0;
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        font-variant-numeric: tabular-nums;
        line-height: 1.5;
      }
      .buttons {
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem;
      }
      button {
        display: inline-flex;
        align-items: center;
        justify-content: center;
        gap: 0.5rem;
        min-height: 2.5rem;
        padding: 0 0.9rem;
        border: 1px solid var(--line-strong);
        border-radius: 0.65rem;
        background: var(--raised);
        color: var(--ink);
        font: 550 0.875rem/1.2 var(--sans);
        cursor: pointer;
      }
      button:hover {
        background: color-mix(in srgb, var(--ink) 5%, var(--raised));
      }
      button.main {
        border-color: transparent;
        background: var(--accent-fill);
        color: #fff;
      }
      button.main:hover {
        background: color-mix(in srgb, var(--accent-fill) 88%, #000);
      }
      button.danger {
        border-color: var(--danger-line);
        color: var(--danger);
      }
      button[disabled] {
        opacity: 0.45;
        cursor: default;
      }
      .ask {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0.6rem;
        padding: 0.7rem 0.9rem;
        border: 1px solid var(--danger-line);
        border-radius: 0.7rem;
        background: var(--danger-wash);
        font-size: 0.875rem;
        line-height: 1.5;
      }
      .ask p {
        flex: 1 1 16rem;
        margin: 0;
      }
      @media (max-width: 30rem) {
        .buttons {
          display: grid;
          grid-template-columns: 1fr 1fr;
        }
        .buttons button {
          padding: 0.3rem 0.5rem;
        }
      }
    `,
  ];

  @property({ attribute: false }) status!: TuningStatus;
  @state() private asking = false;

  override render() {
    const { status } = this;
    const { spent_ms: spent, budget_ms: budget, elapsed_ms: elapsed, measured, available, paused } = status;
    const at = standing(status);
    const going = at === "working" || at === "waiting" || at === "paused";
    const left = timeLeft(status);
    const { title, detail } = stateWords(status);
    return html`<section class=${at} aria-labelledby="title">
      <div>
        <!-- The title alone is read out: the figures below it change several times a second. -->
        <div role="status"><h2 id="title">${title}</h2></div>
        <p class="under detail">${detail}</p>
      </div>
      ${
        available && budget > 0
          ? html`<div>
              <progress
                max="100"
                value=${at === "done" ? 100 : Math.min(100, (100 * spent) / budget)}
                aria-label="GPU time spent"
              ></progress>
              <p class="spent">
                <span>
                  ${
                    left === undefined
                      ? `${duration(spent)} of GPU time, of ${duration(budget)} allowed`
                      : `About ${duration(left)} left: ${duration(spent)} of ${duration(budget)} of GPU time`
                  }
                </span>
                <span>${counted(measured, "variant")} this time, ${duration(elapsed)} in all</span>
              </p>
            </div>`
          : nothing
      }
      <div class="buttons">
        <button class="main" type="button" ?disabled=${!available || going} @click=${() => this.wish("start")}>
          <wa-icon name="play"></wa-icon>Tune now
        </button>
        <button
          type="button"
          ?disabled=${!available || !(going || paused)}
          @click=${() => this.wish(paused ? "resume" : "pause")}
        >
          <wa-icon name=${paused ? "play" : "pause"}></wa-icon>${paused ? "Resume" : "Pause"}
        </button>
        <button type="button" ?disabled=${!available} @click=${() => this.wish("again")}>
          <wa-icon name="retry"></wa-icon>Measure everything again
        </button>
        <button type="button" @click=${() => this.wish("export")}><wa-icon name="export"></wa-icon>Export</button>
        <button type="button" @click=${() => this.renderRoot.querySelector("input")?.click()}>
          <wa-icon name="import"></wa-icon>Import
        </button>
        <button
          class="danger reset"
          type="button"
          aria-expanded=${this.asking}
          @click=${() => (this.asking = !this.asking)}
        >
          <wa-icon name="trash"></wa-icon>Reset
        </button>
        <input
          type="file"
          accept=".json,application/json"
          aria-label="A file of measurements"
          hidden
          @change=${this.chosen}
        />
      </div>
      ${
        this.asking
          ? html`<div class="ask" role="group" aria-label="Reset" @keydown=${this.escape}>
              <p>Forget all that was measured here and imported? What came with the package stays.</p>
              <button class="danger" type="button" @click=${() => this.wish("reset")}>Forget it</button>
              <button type="button" @click=${this.answered}>Keep it</button>
            </div>`
          : nothing
      }
    </section>`;
  }

  private wish(detail: Wish): void {
    if (detail === "reset") this.answered();
    this.asking = false;
    this.dispatchEvent(new CustomEvent<Wish>("wish", { detail }));
  }

  /** The question goes away, and the keyboard's place must not go with it. */
  private readonly answered = (): void => {
    this.asking = false;
    this.renderRoot.querySelector<HTMLElement>(".reset")?.focus();
  };

  private readonly escape = ({ key }: KeyboardEvent): void => {
    if (key === "Escape") this.answered();
  };

  private chosen({ target }: Event): void {
    const field = target as HTMLInputElement;
    const file = field.files?.[0];
    if (file) this.dispatchEvent(new CustomEvent<File>("file", { detail: file }));
    field.value = ""; // so that the same file can be chosen again
  }
}
