// The head of every page but the chat's: whose page it is, what it shows, the way to the others, and light or dark.
//
// Buttons of a page's own are its children; they stand before the links.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { type Theme, chooseTheme, watchTheme } from "../theme";
import { base, head, quietButtons } from "./shared";

/** Pages by file. What asks for a model or a device in the address is kept where that page understands it. */
const PAGES = {
  chat: { file: "", label: "Chat", title: "Chat", icon: "chat", asks: true },
  tabs: { file: "tabs.html", label: "Tabs", title: "What the engine is doing for all tabs", icon: "tabs", asks: true },
  bench: { file: "bench.html", label: "Benchmark", title: "How fast this device is", icon: "gauge", asks: false },
  autotune: {
    file: "autotune.html",
    label: "Tuning",
    title: "Which kernels are fastest on this GPU",
    icon: "tuning",
    asks: true,
  },
} as const;

@customElement("tw-masthead")
export class Masthead extends LitElement {
  static override styles = [
    base,
    quietButtons,
    head,
    css`
      :host {
        display: block;
      }
      h1 {
        margin: 0;
        padding-inline-start: 0.7rem;
        border-inline-start: 1px solid var(--line-strong);
        color: var(--ink-quiet);
        font-weight: 450;
        font-size: 0.875rem;
        letter-spacing: 0;
        line-height: 1.3;
      }
    `,
  ];

  /** What this page shows; nothing where the page has a heading of its own. */
  @property() heading = "";
  @property({ attribute: false }) links: readonly (keyof typeof PAGES)[] = [];
  @state() private theme: Theme = "light";

  constructor() {
    super();
    watchTheme((theme) => (this.theme = theme));
  }

  override render() {
    const other = this.theme === "dark" ? "light" : "dark";
    const colours = other === "dark" ? "Dark colours" : "Light colours";
    return html`<header>
      <a class="brand" href=${`./${location.search}`} aria-label="Tilewright: the chat">
        <img src="./mark.svg" alt="" />
        <span>Tilewright</span>
      </a>
      ${this.heading ? html`<h1>${this.heading}</h1>` : nothing}
      <div class="buttons">
        <slot></slot>
        ${this.links.map((page) => {
          const { file, label, title, icon, asks } = PAGES[page];
          return html`<a
            class="quiet"
            href=${`./${file}${asks ? location.search : ""}`}
            aria-label=${label}
            title=${title}
            ><wa-icon name=${icon}></wa-icon><span>${label}</span></a
          >`;
        })}
        <button class="quiet" type="button" aria-label=${colours} title=${colours} @click=${() => chooseTheme(other)}>
          <wa-icon name=${this.theme === "dark" ? "sun" : "moon"}></wa-icon>
        </button>
      </div>
    </header>`;
  }
}
