// The page: header, the conversation (or the welcome, the loading card, an error), the composer and the status line.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import { Chat } from "../chat";
import { Engine, askedModel, modelName } from "../engine";
import { type Theme, chooseTheme, watchTheme } from "../theme";
import "./composer";
import type { Composer } from "./composer";
import "./loading";
import "./settings";
import { base, head, quietButtons } from "./shared";
import "./status";
import "./trouble";
import "./turn";
import { Watch } from "./watch";
import "./welcome";

@customElement("tw-app")
export class App extends LitElement {
  static override styles = [
    base,
    quietButtons,
    head,
    css`
      :host {
        display: grid;
        grid-template: auto 1fr auto / minmax(0, 1fr);
        height: 100dvh;
      }
      .brand .model {
        padding-inline-start: 0.7rem;
        border-inline-start: 1px solid var(--line-strong);
        overflow: hidden;
        color: var(--ink-quiet);
        font-weight: 450;
        font-size: 0.875rem;
        letter-spacing: 0;
        line-height: 1.3;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      main {
        position: relative;
        min-height: 0;
        min-width: 0;
      }
      .scroller {
        height: 100%;
        overflow-y: auto;
        overscroll-behavior: contain;
        scrollbar-width: thin;
        scrollbar-color: var(--line-strong) transparent;
      }
      .column {
        width: 100%;
        max-width: calc(var(--column) + 2 * var(--gutter));
        margin: 0 auto;
        padding: 0 var(--gutter);
      }
      .turns {
        display: grid;
        gap: 1.75rem;
        padding-top: 1.5rem;
        padding-bottom: 2.5rem;
      }
      .empty {
        display: grid;
        align-content: center;
        min-height: 100%;
        padding-top: 1rem;
        padding-bottom: 3rem;
      }
      .empty .slotted {
        margin-top: 1.8rem;
      }
      .to-end {
        position: absolute;
        bottom: 0.75rem;
        left: 50%;
        display: grid;
        place-items: center;
        width: 2.25rem;
        height: 2.25rem;
        translate: -50% 0;
        border: 1px solid var(--line-strong);
        border-radius: 50%;
        background: var(--raised);
        box-shadow: var(--shadow);
        color: var(--ink-soft);
        cursor: pointer;
      }
      footer {
        padding-bottom: max(0.75rem, env(safe-area-inset-bottom));
      }
      tw-status {
        margin-top: 0.7rem;
        padding: 0 var(--gutter);
      }
    `,
  ];

  private readonly engine = new Engine();
  private readonly chat = new Chat();
  @state() private settingsOpen = false;
  @state() private theme: Theme = "light";
  @state() private scrolledUp = false;
  @state() private heard = "";
  @query(".scroller") private scroller!: HTMLElement;
  @query("tw-composer") private composer!: Composer;
  private reports = 0;

  constructor() {
    super();
    new Watch(this, [this.engine, this.chat]);
    watchTheme((theme) => (this.theme = theme));
  }

  override connectedCallback(): void {
    super.connectedCallback();
    addEventListener("keydown", this.keyed);
    void this.engine.connect();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener("keydown", this.keyed);
  }

  override render() {
    const engine = this.engine.state;
    const tilewright = engine.is === "ready" ? engine.tilewright : undefined;
    const ready = tilewright !== undefined;
    const model = tilewright?.model ?? askedModel();
    return html`
      <header>
        <div class="brand">
          <img src="./mark.svg" alt="" />
          <span>Tilewright</span>
          ${model ? html`<span class="model">${modelName(model)}</span>` : nothing}
        </div>
        <div class="buttons">
          <button
            class="quiet"
            type="button"
            aria-label="New chat"
            title="New chat"
            ?disabled=${this.chat.turns.length === 0}
            @click=${this.newChat}
          >
            <wa-icon name="new-chat"></wa-icon><span>New chat</span>
          </button>
          <a
            class="quiet"
            href=${`./tabs.html${location.search}`}
            target="_blank"
            rel="noopener"
            aria-label="Tabs (opens in a new tab)"
            title="What the engine is doing for all tabs"
          >
            <wa-icon name="tabs"></wa-icon><span>Tabs</span>
          </a>
          <a
            class="quiet"
            href=${`./models.html${location.search}`}
            aria-label="Models"
            title="What this browser keeps"
          >
            <wa-icon name="models"></wa-icon><span>Models</span>
          </a>
          <a
            class="quiet"
            href="./bench.html"
            target="_blank"
            rel="noopener"
            aria-label="Benchmark (opens in a new tab)"
            title="How fast this device is"
          >
            <wa-icon name="gauge"></wa-icon><span>Benchmark</span>
          </a>
          <a
            class="quiet"
            href=${`./autotune.html${location.search}`}
            target="_blank"
            rel="noopener"
            aria-label="Tuning (opens in a new tab)"
            title="Which kernels are fastest on this GPU"
          >
            <wa-icon name="tuning"></wa-icon><span>Tuning</span>
          </a>
          <button
            class="quiet"
            type="button"
            aria-label="Settings"
            title="Settings"
            @click=${() => (this.settingsOpen = true)}
          >
            <wa-icon name="settings"></wa-icon><span>Settings</span>
          </button>
          <button
            class="quiet"
            type="button"
            aria-label=${this.otherTheme.label}
            title=${this.otherTheme.label}
            @click=${() => chooseTheme(this.otherTheme.name)}
          >
            <wa-icon name=${this.theme === "dark" ? "sun" : "moon"}></wa-icon>
          </button>
        </div>
      </header>
      <main @again=${this.again} @new-chat=${this.newChat} @send=${this.send}>
        <div class="scroller" @scroll=${this.scrolled}>
          ${this.chat.turns.length ? this.conversation(ready) : this.empty(ready)}
        </div>
        ${
          this.scrolledUp
            ? html`<button class="to-end" type="button" aria-label="To the newest answer" @click=${this.toEnd}>
                <wa-icon name="arrow-down"></wa-icon>
              </button>`
            : nothing
        }
      </main>
      <footer>
        <div class="column">
          <tw-composer
            ?ready=${ready}
            ?loading=${engine.is === "loading"}
            ?busy=${this.chat.busy}
            @send=${this.send}
            @stop=${() => this.chat.stop()}
          ></tw-composer>
        </div>
        <tw-status
          .tilewright=${tilewright}
          ?moving=${engine.is === "ready" && engine.moving}
          .timing=${this.chat.timing}
          .usedTokens=${this.chat.usedTokens}
        ></tw-status>
      </footer>
      <tw-settings ?open=${this.settingsOpen} @closed=${() => (this.settingsOpen = false)}></tw-settings>
      <div class="heard" aria-live="polite">${this.heard}</div>
    `;
  }

  private conversation(ready: boolean) {
    const { turns } = this.chat;
    return html`<div class="column turns" role="log" aria-live="off" aria-label="Conversation">
      ${turns.map(
        (turn, i) =>
          html`<tw-turn
            .turn=${turn}
            .text=${turn.text}
            .state=${turn.state}
            ?last=${i === turns.length - 1 && ready}
          ></tw-turn>`,
      )}
      ${ready ? nothing : this.engineCard()}
    </div>`;
  }

  private empty(ready: boolean) {
    return html`<div class="column empty">
      <tw-welcome ?ready=${ready}><div class="slotted" ?hidden=${ready}>${this.engineCard()}</div></tw-welcome>
    </div>`;
  }

  private engineCard() {
    const engine = this.engine.state;
    if (engine.is === "loading") return html`<tw-loading .state=${engine} .reports=${this.reports++}></tw-loading>`;
    if (engine.is === "failed") return html`<tw-trouble .error=${engine.error}></tw-trouble>`;
    return nothing;
  }

  private get otherTheme(): { name: Theme; label: string } {
    return this.theme === "dark" ? { name: "light", label: "Light colours" } : { name: "dark", label: "Dark colours" };
  }

  override firstUpdated(): void {
    this.toEnd();
  }

  override updated(): void {
    if (!this.scrolledUp) this.toEnd();
    const last = this.chat.turns.at(-1);
    const heard = this.chat.busy ? "Answering" : last?.role === "assistant" ? last.text : "";
    if (heard !== this.heard) this.heard = heard;
  }

  private send(event: CustomEvent<string>): void {
    event.stopPropagation();
    const engine = this.engine.state;
    if (engine.is !== "ready" || this.chat.busy) return;
    this.scrolledUp = false;
    void this.chat.send(engine.tilewright, event.detail);
    this.composer.focus();
  }

  /** Retry, whichever failed: the engine or the last answer. */
  private again(): void {
    const engine = this.engine.state;
    if (engine.is === "ready") void this.chat.regenerate(engine.tilewright);
    else void this.engine.connect();
  }

  private newChat(): void {
    this.chat.clear();
    this.scrolledUp = false;
    this.composer.focus();
  }

  private readonly keyed = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && !this.settingsOpen) this.chat.stop();
  };

  private scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.scrolledUp = scrollHeight - clientHeight - scrollTop > 80;
  }

  private toEnd(): void {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    // Turns render after the app does; follow them.
    requestAnimationFrame(() => {
      if (!this.scrolledUp) this.scroller.scrollTop = this.scroller.scrollHeight;
    });
  }
}
