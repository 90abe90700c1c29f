// The tabs page: what the one engine of all tabs is doing, as it does it.
//
// The page is a client like any other: it opens the model that the chat page opens (`?model=` names another), and says so if
// that means loading it. Closed, hidden or paused it asks nothing, and the engine computes nothing for it.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";
import { Engine } from "../../engine";
import { type Following, Inspection } from "../../tabs/inspection";
import { type Theme, watchTheme } from "../../theme";
import "../loading";
import "../masthead";
import { base, head, quietButtons } from "../shared";
import "../trouble";
import { Watch } from "../watch";
import "./blocks";
import type { Spotlight } from "./chip";
import "./clients";
import "./queue";
import "./step";
import "./summary";

const FOLLOWING: Record<Following, string> = {
  starting: "Asking the engine",
  live: "Live",
  late: "The engine is slow to answer",
  paused: "Paused",
  stopped: "Stopped",
};

@customElement("tw-tabs")
export class TabsPage extends LitElement {
  static override styles = [
    base,
    quietButtons,
    head,
    css`
      :host {
        display: block;
        min-height: 100dvh;
      }
      .following {
        display: flex;
        align-items: center;
        gap: 0.5rem;
        margin-inline-end: 0.6rem;
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        white-space: nowrap;
      }
      .following::before {
        content: "";
        width: 0.5rem;
        height: 0.5rem;
        border-radius: 50%;
        background: var(--line-strong);
      }
      .following.live::before {
        background: light-dark(#2f7a43, #7fce93);
      }
      .following.late::before,
      .following.stopped::before {
        border-radius: 1px;
        background: var(--danger);
      }
      main {
        display: grid;
        gap: 0.9rem;
        max-width: 88rem;
        margin: 0 auto;
        padding: 0.4rem clamp(0.75rem, 2vw, 1.25rem) max(1.5rem, env(safe-area-inset-bottom));
      }
      .pair {
        display: grid;
        grid-template-columns: minmax(0, 1.45fr) minmax(0, 1fr);
        align-items: start;
        gap: 0.9rem;
      }
      .side {
        display: grid;
        gap: 0.9rem;
      }
      .old {
        opacity: 0.55;
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
      @media (min-width: 60rem) and (min-height: 62rem) {
        /* A long queue scrolls beside the pictures. */
        .side:first-child {
          position: sticky;
          top: 0.9rem;
        }
      }
      @media (max-width: 60rem) {
        .pair {
          grid-template-columns: minmax(0, 1fr);
        }
        .side {
          display: contents;
        }
        tw-tabs-clients {
          order: -1;
        }
      }
      @media (max-width: 40rem) {
        .following {
          margin-inline-end: 0.2rem;
        }
        .following.late,
        .following.starting {
          font-size: 0;
        }
      }
    `,
  ];

  private readonly engine = new Engine();
  private readonly inspection = new Inspection();
  @state() private theme: Theme = "light";
  @state() private pointed: number | undefined;
  @state() private kept: number | undefined;
  private reports = 0;

  constructor() {
    super();
    new Watch(this, [this.engine, this.inspection]);
    watchTheme((theme) => (this.theme = theme));
    this.engine.addEventListener("change", () => {
      const { state } = this.engine;
      this.inspection.watch(state.is === "ready" ? state.tilewright : undefined);
    });
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.inspection.connect();
    void this.engine.connect();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.inspection.disconnect();
  }

  override render() {
    const { following, paused } = this.inspection;
    const ready = this.engine.state.is === "ready";
    return html`
      <tw-masthead heading="Tabs" .links=${["chat", "bench", "autotune"]}>
        ${ready ? html`<span class="following ${following}" role="status">${FOLLOWING[following]}</span>` : nothing}
        <button
          class="quiet"
          type="button"
          aria-label=${paused ? "Go on" : "Pause"}
          title=${paused ? "Go on" : "Pause"}
          ?disabled=${!ready}
          @click=${() => this.inspection.pause(!paused)}
        >
          <wa-icon name=${paused ? "play" : "pause"}></wa-icon><span>${paused ? "Go on" : "Pause"}</span>
        </button>
      </tw-masthead>
      <main @again=${this.again} @spotlight=${this.lit}>${this.content()}</main>
    `;
  }

  private content() {
    const engine = this.engine.state;
    if (engine.is === "loading") {
      return html`<div class="column">
        <tw-loading .state=${engine} .reports=${this.reports++}></tw-loading>
        <p>
          This page looks at the engine that all tabs share. The engine is not ready with this model, so it is loading
          it now; the chat will find it ready.
        </p>
      </div>`;
    }
    if (engine.is === "failed") {
      return html`<div class="column"><tw-trouble .error=${engine.error}></tw-trouble></div>`;
    }
    const { look, error, following } = this.inspection;
    if (error !== undefined) return html`<div class="column"><tw-trouble .error=${error}></tw-trouble></div>`;
    if (!look) return nothing;
    const { marks } = this.inspection;
    const spot = this.spot;
    return html`
      <tw-tabs-summary
        class=${following === "late" ? "old" : ""}
        .tilewright=${engine.tilewright}
        .look=${look}
      ></tw-tabs-summary>
      <div class="pair">
        <div class="side">
          <tw-tabs-step
            .steps=${look.steps}
            .marks=${marks}
            .spot=${spot}
            theme=${this.theme}
            ?busy=${look.snapshot.in_flight.length > 0}
          ></tw-tabs-step>
          <tw-tabs-blocks .look=${look} .marks=${marks} .spot=${spot} theme=${this.theme}></tw-tabs-blocks>
        </div>
        <div class="side">
          <tw-tabs-clients .clients=${look.clients} .marks=${marks} .spot=${spot} .kept=${this.kept}></tw-tabs-clients>
          <tw-tabs-queue .requests=${look.requests} .marks=${marks} .spot=${spot}></tw-tabs-queue>
        </div>
      </div>
    `;
  }

  /** The client in the light: the one pointed at, or the one chosen, while it is there. */
  private get spot(): number | undefined {
    const spot = this.pointed ?? this.kept;
    return this.inspection.look?.clients.some(({ client }) => client === spot) ? spot : undefined;
  }

  private lit({ detail }: CustomEvent<Spotlight>): void {
    if (!detail.keep) this.pointed = detail.client;
    else {
      this.kept = this.kept === detail.client ? undefined : detail.client;
      this.pointed = undefined;
    }
  }

  /** A new connection, which loads the model if the engine has lost it. */
  private again(): void {
    const { state } = this.engine;
    if (state.is === "ready") state.tilewright.close();
    void this.engine.connect();
  }
}
