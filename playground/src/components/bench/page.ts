// The benchmark page: what to time on the left, what was found on the right.
import { LitElement, css, html, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";
import { type Choice, choiceOf, optionsOf } from "../../bench/choice";
import { Runs } from "../../bench/runs";
import { type Theme, watchTheme } from "../../theme";
import "../masthead";
import { base } from "../shared";
import "../trouble";
import { Watch } from "../watch";
import "./form";
import "./results";
import "./running";

@customElement("tw-bench")
export class BenchPage extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        min-height: 100dvh;
      }
      main {
        display: grid;
        grid-template-columns: minmax(18rem, 22rem) minmax(0, 1fr);
        align-items: start;
        gap: 0.9rem;
        max-width: 80rem;
        margin: 0 auto;
        padding: 0.4rem clamp(0.75rem, 2vw, 1.25rem) max(1.5rem, env(safe-area-inset-bottom));
      }
      .found {
        min-width: 0;
      }
      .about {
        padding: 1.6rem 1.75rem 1.7rem;
        border: 1px dashed var(--line-strong);
        border-radius: 1rem;
        color: var(--ink-soft);
        font-size: 0.9375rem;
      }
      .about h2 {
        margin: 0 0 0.5rem;
        color: var(--ink);
        font-size: 1.25rem;
        font-weight: 620;
        letter-spacing: -0.015em;
        line-height: 1.35;
      }
      .about p {
        max-width: 62ch;
        margin: 0.6rem 0 0;
      }
      .about code {
        font: 0.875em var(--mono);
      }
      @media (max-width: 56rem) {
        main {
          grid-template-columns: minmax(0, 1fr);
        }
      }
    `,
  ];

  private readonly runs = new Runs();
  @state() private choice: Choice = choiceOf(location.search);
  @state() private theme: Theme = "light";
  private reports = 0;

  constructor() {
    super();
    new Watch(this, [this.runs]);
    watchTheme((theme) => (this.theme = theme));
  }

  override render() {
    return html`
      <tw-masthead heading="Benchmark" .links=${["chat", "tabs", "autotune"]}></tw-masthead>
      <main @again=${this.start} @run=${this.start} @stop=${() => this.runs.stop()} @choice=${this.chosen}>
        <tw-bench-form .choice=${this.choice} ?busy=${this.runs.state.is === "running"}></tw-bench-form>
        <div class="found">${this.found()}</div>
      </main>
    `;
  }

  private found() {
    const { state } = this.runs;
    switch (state.is) {
      case "idle":
        return html`<section class="about">
          <h2>How fast is this device?</h2>
          <p>
            The engine alone is timed, in a worker as a chat would have it: how fast it reads a prompt, and how fast it
            then decodes for one reader and for several at once.
          </p>
          <p>
            A shape has the sizes of a well-known model and weights that are made up here, so nothing is downloaded. Its
            memory is given back when the benchmark is over.
          </p>
          <p>Programs call <code>await runBench({ shape: "qwen2-0.5b" })</code> on this page.</p>
        </section>`;
      case "running":
        return html`<tw-bench-running .state=${state} .reports=${this.reports++}></tw-bench-running>`;
      case "failed":
        return html`<tw-trouble .error=${state.error}></tw-trouble>`;
      case "done":
        return html`<tw-bench-results .report=${state.report} theme=${this.theme}></tw-bench-results>`;
      default:
        return nothing;
    }
  }

  private chosen({ detail }: CustomEvent<Partial<Choice>>): void {
    this.choice = { ...this.choice, ...detail };
  }

  private start(): void {
    void this.runs.start(optionsOf(this.choice));
  }
}
