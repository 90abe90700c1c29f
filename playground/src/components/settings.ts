// The drawer with the system prompt and the sampling settings. Every change is kept at once; the next answer uses it.
import "@awesome.me/webawesome/dist/components/button/button.js";
import "@awesome.me/webawesome/dist/components/drawer/drawer.js";
import "@awesome.me/webawesome/dist/components/input/input.js";
import "@awesome.me/webawesome/dist/components/slider/slider.js";
import "@awesome.me/webawesome/dist/components/textarea/textarea.js";
import { LitElement, css, html } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { DEFAULTS, RANGES, type Settings, held, loadSettings, storeSettings } from "../settings";
import { base } from "./shared";

type Numeric = keyof typeof RANGES;

const SLIDERS: { name: Numeric; label: string; hint: string }[] = [
  { name: "temperature", label: "Temperature", hint: "Higher is more surprising; 0 always takes the likeliest token." },
  { name: "topP", label: "Top-p", hint: "Only the likeliest tokens that together reach this share." },
  { name: "topK", label: "Top-k", hint: "Only this many of the likeliest tokens; 0 is all." },
  { name: "minP", label: "Min-p", hint: "Only tokens at least this likely beside the likeliest." },
  { name: "repetitionPenalty", label: "Repetition penalty", hint: "Above 1, tokens already seen become less likely." },
];

@customElement("tw-settings")
export class SettingsDrawer extends LitElement {
  static override styles = [
    base,
    css`
      wa-drawer {
        --size: min(26rem, 100vw);
      }
      wa-drawer::part(title) {
        font-size: 1.125rem;
        font-weight: 620;
      }
      .form {
        display: grid;
        gap: 1.6rem;
        padding-bottom: 0.5rem;
      }
      .field label,
      .label {
        display: flex;
        justify-content: space-between;
        align-items: baseline;
        font-size: 0.9375rem;
        font-weight: 550;
      }
      .label output {
        color: var(--ink-soft);
        font-weight: 500;
        font-variant-numeric: tabular-nums;
      }
      wa-slider {
        --track-size: 0.3rem;
        --thumb-width: 1.15rem;
        --thumb-height: 1.15rem;
      }
      wa-slider::part(label) {
        display: block;
        width: 100%;
      }
      wa-slider::part(hint),
      wa-input::part(hint),
      wa-textarea::part(hint) {
        color: var(--ink-quiet);
        font-size: 0.8125rem;
        line-height: 1.45;
      }
      wa-input::part(form-control-label),
      wa-textarea::part(form-control-label) {
        font-size: 0.9375rem;
        font-weight: 550;
      }
      .pair {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 1rem;
        align-items: start;
      }
    `,
  ];

  @property({ type: Boolean }) open = false;
  @state() private settings: Settings = loadSettings();

  override render() {
    const { settings } = this;
    return html`<wa-drawer
      label="Settings"
      ?open=${this.open}
      light-dismiss
      @wa-show=${this.shown}
      @wa-after-hide=${this.hidden_}
    >
      <div class="form">
        <wa-textarea
          label="System prompt"
          hint="Said to the model before the conversation."
          placeholder="You are a helpful assistant."
          rows="3"
          resize="vertical"
          .value=${settings.systemPrompt}
          @input=${(event: Event) => this.change({ systemPrompt: (event.target as HTMLTextAreaElement).value })}
        ></wa-textarea>
        ${SLIDERS.map(({ name, label, hint }) => this.slider(name, label, hint))}
        <div class="pair">
          ${this.number("maxTokens", "Max tokens", "The longest answer.")}
          ${this.number("seed", "Seed", "Empty: new each time.")}
        </div>
      </div>
      <wa-button slot="footer" appearance="outlined" @click=${() => this.change({ ...DEFAULTS })}
        >Reset to defaults</wa-button
      >
      <wa-button slot="footer" variant="brand" data-drawer="close">Done</wa-button>
    </wa-drawer>`;
  }

  private slider(name: Numeric, label: string, hint: string) {
    const { min, max, step } = RANGES[name];
    const value = this.settings[name] ?? 0;
    return html`<wa-slider
      name=${name}
      hint=${hint}
      min=${min}
      max=${max}
      step=${step}
      .value=${value}
      @input=${(event: Event) => this.change({ [name]: held(name, Number((event.target as HTMLInputElement).value)) })}
    >
      <span slot="label" class="label"
        ><span>${label}</span><output>${step < 1 ? value.toFixed(2) : value}</output></span
      >
    </wa-slider>`;
  }

  private number(name: Numeric, label: string, hint: string) {
    const { min, max } = RANGES[name];
    const value = this.settings[name];
    return html`<wa-input
      type="number"
      name=${name}
      label=${label}
      hint=${hint}
      min=${min}
      max=${max}
      without-spin-buttons
      .value=${value === null ? "" : String(value)}
      @change=${(event: Event) => this.changeNumber(name, (event.target as HTMLInputElement).value)}
    ></wa-input>`;
  }

  private changeNumber(name: Numeric, text: string): void {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value)) this.change({ [name]: DEFAULTS[name] });
    else this.change({ [name]: held(name, value) });
    this.requestUpdate();
  }

  private change(changes: Partial<Settings>): void {
    this.settings = { ...this.settings, ...changes };
    storeSettings(this.settings);
  }

  private shown(): void {
    this.settings = loadSettings(); // another tab may have changed them
  }

  private hidden_(event: Event): void {
    if (event.target !== event.currentTarget) return;
    this.dispatchEvent(new CustomEvent("closed"));
  }
}
