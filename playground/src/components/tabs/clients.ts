// Who is connected: a row for each page, with its colour, what its user sees of it, and what it asked for.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import { count, counted } from "../../figures";
import type { ClientMarks } from "../../tabs/client-marks";
import type { ClientView, Seen } from "../../tabs/clients";
import { base } from "../shared";
import { card, chip, chips, dim, spotlight } from "./chip";

const SEEN: Record<Seen, { icon: string; word: string; hint: string }> = {
  focused: { icon: "focused", word: "focused", hint: "Has the keyboard: its requests go first" },
  visible: { icon: "visible", word: "visible", hint: "On screen: its requests go after those of the focused tab" },
  hidden: { icon: "hidden", word: "hidden", hint: "In the background: its requests go after those of visible tabs" },
  frozen: { icon: "frozen", word: "frozen", hint: "Stopped by the browser: its requests stand still" },
  unknown: { icon: "unknown", word: "not told", hint: "The page has not said whether it is visible" },
};

@customElement("tw-tabs-clients")
export class Clients extends LitElement {
  static override styles = [
    base,
    card,
    chips,
    css`
      ul {
        display: grid;
        margin: 0 -0.6rem;
        padding: 0;
        list-style: none;
      }
      button {
        display: grid;
        grid-template-columns: auto minmax(0, 1fr) auto;
        align-items: center;
        gap: 0 0.75rem;
        width: 100%;
        padding: 0.5rem 0.6rem;
        border: 0;
        border-radius: 0.7rem;
        background: transparent;
        color: inherit;
        font: 400 0.8125rem/1.5 var(--sans);
        text-align: start;
        cursor: pointer;
      }
      button:hover,
      button[aria-pressed="true"] {
        background: color-mix(in srgb, var(--ink) 6%, transparent);
      }
      .lines {
        min-width: 0;
      }
      .line {
        display: flex;
        align-items: center;
        gap: 0.35rem 0.7rem;
        min-width: 0;
        color: var(--ink-quiet);
      }
      .first {
        color: var(--ink);
        font-size: 0.9375rem;
        font-weight: 520;
      }
      .cut {
        min-width: 0;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .class {
        flex: none;
      }
      .seen {
        display: inline-flex;
        flex: none;
        align-items: center;
        gap: 0.35rem;
        color: var(--ink-soft);
      }
      .you {
        flex: none;
        padding: 0 0.45rem;
        border-radius: 0.4rem;
        background: var(--accent-wash);
        color: var(--accent);
        font-size: 0.75rem;
        font-weight: 550;
        line-height: 1.35rem;
      }
      .numbers {
        display: grid;
        justify-items: end;
        color: var(--ink-quiet);
        font-variant-numeric: tabular-nums;
        white-space: nowrap;
      }
      .numbers .busy {
        color: var(--ink);
        font-weight: 520;
      }
      .empty {
        margin-top: 0.8rem;
      }
    `,
  ];

  @property({ attribute: false }) clients: ClientView[] = [];
  @property({ attribute: false }) marks!: ClientMarks;
  @property({ attribute: false }) spot: number | undefined;
  @property({ attribute: false }) kept: number | undefined;

  override render() {
    const alone = this.clients.every(({ isThisTab }) => isThisTab);
    return html`<section aria-labelledby="clients">
      <div class="head">
        <h2 id="clients">Clients</h2>
        <p class="meta">${counted(this.clients.length, "tab")} on one engine</p>
      </div>
      <ul @pointerleave=${() => spotlight(this, undefined)}>
        ${this.clients.map((client) => this.row(client))}
      </ul>
      ${alone ? html`<p class="empty">No other tab is here yet. Each one that uses this model is listed.</p>` : nothing}
    </section>`;
  }

  private row(view: ClientView) {
    const { client, title, address, isThisTab, seen, running, waiting, computed } = view;
    const { icon, word, hint } = SEEN[seen];
    const asks = [running ? `${count(running)} running` : "", waiting ? `${count(waiting)} waiting` : ""].filter(
      Boolean,
    );
    return html`<li class=${dim(client, this.spot)} data-client=${client}>
      <button
        type="button"
        aria-pressed=${this.kept === client ? "true" : "false"}
        title="Show only what belongs to this client"
        @pointerenter=${() => spotlight(this, client)}
        @click=${() => spotlight(this, client, true)}
      >
        ${chip(client, this.marks)}
        <span class="lines">
          <span class="line first"
            ><span class="cut" title=${title}>${title}</span
            >${isThisTab ? html`<span class="you">this tab</span>` : nothing}</span
          >
          <span class="line">
            <span class="seen" title=${hint}><wa-icon name=${icon}></wa-icon>${word}</span>
            ${view.class === undefined ? nothing : html`<span class="class">class ${view.class}</span>`}
            <span class="cut" title=${address}>${address}</span>
          </span>
        </span>
        <span class="numbers">
          <span class=${asks.length ? "busy" : ""}>${asks.length ? asks.join(", ") : "idle"}</span>
          <span title="The counter that decides whose turn it is">${counted(computed, "token")}</span>
        </span>
      </button>
    </li>`;
  }
}
