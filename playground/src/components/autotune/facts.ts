// What is tuned: the GPU, the browser, and how much is known about them.
import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { TuningStatus } from "tilewright";
import type { Records } from "../../autotune/records";
import { clockWords, deviceWords, subgroupWords } from "../../autotune/words";
import { modelName } from "../../engine";
import { count, counted } from "../../figures";
import { base } from "../shared";
import { cards, facts } from "./shared";

@customElement("tw-autotune-facts")
export class Facts extends LitElement {
  static override styles = [
    base,
    cards,
    facts,
    css`
      :host {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        min-width: 0;
      }
      h2 {
        margin-bottom: 0.7rem;
      }
      @media (max-width: 30rem) {
        dl {
          grid-template-columns: 1fr 1fr;
        }
      }
      .wide {
        grid-column: 1 / -1;
      }
      details {
        margin-top: 0.8rem;
        color: var(--ink-soft);
        font-size: 0.8125rem;
        line-height: 1.6;
      }
      summary {
        color: var(--ink-quiet);
        cursor: pointer;
      }
      .features {
        font-family: var(--mono);
        overflow-wrap: anywhere;
      }
    `,
  ];

  @property({ attribute: false }) status!: TuningStatus;
  @property({ attribute: false }) records!: Records;
  @property() model = "";

  override render() {
    const { device, browser, records } = this.status;
    const { features } = device;
    const { clock } = this.records;
    const [here, imported, shipped] = records;
    return html`<section aria-labelledby="title">
      <h2 id="title">This device</h2>
      <dl>
        ${fact("GPU", deviceWords(device), "wide")}
        ${fact("Vendor and architecture", [device.vendor, device.architecture].filter(Boolean).join(" · ") || "not told")}
        ${fact("Subgroups", subgroupWords(device))}
        ${fact("Browser", [browser.name, browser.version.split(".")[0], browser.os && `on ${browser.os}`].filter(Boolean).join(" ") || "not told")}
        ${fact("Times taken with", clock ? clockWords(clock) : "nothing timed yet")}
        ${fact("Model", modelName(this.model))} ${fact("Measured here", counted(here, "record"))}
        ${fact("Imported", counted(imported, "record"))} ${fact("Came with the package", counted(shipped, "record"))}
      </dl>
      <details>
        <summary>${count(features.length)} features of the GPU that kernels can use</summary>
        <div class="features">${features.join(", ") || "none"}</div>
      </details>
    </section>`;
  }
}

function fact(label: string, value: string, kind = "") {
  return html`<div class=${kind}>
    <dt>${label}</dt>
    <dd>${value}</dd>
  </div>`;
}
