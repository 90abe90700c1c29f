// The requests, running and waiting: whose, what each is doing, and how far it is.
//
// The bar is the prompt: what was found in the cache, what is computed, what is left. How long an answer will be nobody knows
// before it ends, so it has a count and no bar.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import { count, counted } from "../../figures";
import type { ClientMarks } from "../../tabs/client-marks";
import { cssColour } from "../../tabs/palette";
import type { Doing, RequestView } from "../../tabs/requests";
import { base } from "../shared";
import { card, chip, chips, dim } from "./chip";

const DOING: Record<Doing, { icon: string; word: string; hint: string }> = {
  decode: { icon: "pen", word: "answering", hint: "Decode: one row a step, one token out" },
  prefill: { icon: "reading", word: "reading the prompt", hint: "Prefill: many rows a step" },
  again: {
    icon: "reading",
    word: "reading again",
    hint: "Its blocks were needed elsewhere; what it had is computed anew",
  },
  waiting: { icon: "waiting", word: "waiting", hint: "Waits for KV blocks" },
  frozen: { icon: "frozen", word: "parked: tab frozen", hint: "The browser has stopped its tab" },
  credit: { icon: "unread", word: "parked: not read", hint: "Its page has not taken what was sent" },
};

const CLASSES = ["focused", "visible", "hidden", "batch"];

@customElement("tw-tabs-queue")
export class Queue extends LitElement {
  static override styles = [
    base,
    card,
    chips,
    css`
      ul {
        display: grid;
        gap: 0.95rem;
        margin: 0;
        padding: 0;
        list-style: none;
      }
      li {
        display: grid;
        grid-template-columns: auto minmax(0, 1fr);
        gap: 0 0.75rem;
        font-size: 0.8125rem;
        line-height: 1.5;
        font-variant-numeric: tabular-nums;
      }
      .line {
        display: flex;
        flex-wrap: wrap;
        justify-content: space-between;
        gap: 0 0.8rem;
        color: var(--ink-quiet);
      }
      .doing {
        display: inline-flex;
        align-items: center;
        gap: 0.4rem;
        color: var(--ink);
        font-size: 0.875rem;
        font-weight: 520;
      }
      .still .doing {
        color: var(--ink-soft);
      }
      .bar {
        display: flex;
        height: 0.5rem;
        margin: 0.3rem 0 0.25rem;
        border-radius: 0.25rem;
        background: color-mix(in srgb, var(--ink) 10%, transparent);
        overflow: hidden;
      }
      .bar span {
        background: var(--colour);
      }
      .bar .cached {
        /* As the cached block of the picture: there, but not computed for this request. */
        background: repeating-linear-gradient(
          135deg,
          var(--colour) 0 2px,
          color-mix(in srgb, var(--colour) 35%, var(--raised)) 2px 5px
        );
      }
    `,
  ];

  @property({ attribute: false }) requests: RequestView[] = [];
  @property({ attribute: false }) marks!: ClientMarks;
  @property({ attribute: false }) spot: number | undefined;

  override render() {
    const waiting = this.requests.filter(({ doing }) => doing === "waiting").length;
    const running = this.requests.length - waiting;
    return html`<section aria-labelledby="queue">
      <div class="head">
        <h2 id="queue">Queue</h2>
        <p class="meta">${count(running)} running, ${count(waiting)} waiting</p>
      </div>
      ${
        this.requests.length
          ? html`<ul>
              ${this.requests.map((request) => this.row(request))}
            </ul>`
          : html`<p class="empty">Nothing to do. What any tab asks shows up here.</p>`
      }
    </section>`;
  }

  private row(view: RequestView) {
    const { client, request, prompt, generated } = view;
    const { icon, word, hint } = DOING[view.doing];
    const share = (tokens: number) => `flex: 0 0 ${prompt.total ? (100 * tokens) / prompt.total : 0}%`;
    const still = view.doing === "waiting" || view.doing === "frozen" || view.doing === "credit";
    const read = `${count(prompt.computed)} of ${count(prompt.total)} read${prompt.cached ? `, ${count(prompt.cached)} cached` : ""}`;
    return html`<li class="${dim(client, this.spot)} ${still ? "still" : ""}" data-client=${client}>
      ${chip(client, this.marks)}
      <div>
        <div class="line">
          <span class="doing" title=${hint}><wa-icon name=${icon}></wa-icon>${word}</span>
          <span>request ${request}, class ${view.class} (${CLASSES[view.class] ?? "?"})</span>
        </div>
        <div
          class="bar"
          role="progressbar"
          aria-label=${`Prompt of request ${request} of client ${client}`}
          aria-valuemin="0"
          aria-valuemax=${prompt.total}
          aria-valuenow=${prompt.computed}
          aria-valuetext=${read}
          style=${`--colour: ${cssColour(this.marks.slot(client))}`}
        >
          <span class="cached" style=${share(prompt.cached)}></span>
          <span style=${share(prompt.computed - prompt.cached)}></span>
        </div>
        <div class="line">
          <span title="Tokens of the prompt">${read}</span>
          <span>
            ${generated ? `${count(generated)} generated, ` : nothing}${counted(view.blocks, "block")}${
              view.doing === "credit" ? `, ${count(view.unacknowledged)} not read` : nothing
            }
          </span>
        </div>
      </div>
    </li>`;
  }
}
