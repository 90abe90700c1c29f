// What became of an imported file, in words.
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Taken } from "../../autotune/tuner";
import { count } from "../../figures";
import { base } from "../shared";

@customElement("tw-autotune-taken")
export class TakenNote extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
      }
      div {
        padding: 0.9rem 1.25rem 1rem;
        border: 1px solid var(--line);
        border-radius: 1rem;
        background: var(--accent-wash);
        overflow-wrap: anywhere;
      }
      .refused {
        border-color: var(--danger-line);
        background: var(--danger-wash);
      }
      h2 {
        margin: 0;
        font-size: 1rem;
        font-weight: 620;
      }
      p {
        margin: 0.2rem 0 0;
        color: var(--ink-soft);
        font-size: 0.9375rem;
        line-height: 1.55;
        text-wrap: pretty;
        white-space: pre-line;
      }
    `,
  ];

  @property({ attribute: false }) taken!: Taken;

  override render() {
    const { taken } = this;
    if ("error" in taken) {
      const { error } = taken;
      return html`<div class="refused" role="alert">
        <h2>${taken.name} was not imported</h2>
        <p>${error instanceof Error ? error.message : String(error)}</p>
      </div>`;
    }
    const { report } = taken;
    const title = report.taken > 0 ? `${count(report.taken)} taken from ${taken.name}` : `Nothing new in ${taken.name}`;
    return html`<div role="status">
      <h2>${title}</h2>
      <p>${report.words}</p>
      <p>Before a variant from it is used, it has to compute the right answer on this GPU.</p>
    </div>`;
  }
}
