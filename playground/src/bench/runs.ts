// The page's benchmark: nothing yet, running, its report, or why there is none. One at a time.
import type { BenchOptions, BenchProgress, BenchReport, Figures } from "tilewright/bench";
import { runBench } from "../library";

export type BenchState =
  | { is: "idle" }
  | { is: "running"; progress: BenchProgress | undefined; figures: Figures[]; stop: AbortController }
  | { is: "done"; report: BenchReport }
  | { is: "failed"; error: unknown };

export class Runs extends EventTarget {
  state: BenchState = { is: "idle" };

  async start(options: BenchOptions): Promise<void> {
    this.stop();
    const running: BenchState = { is: "running", progress: undefined, figures: [], stop: new AbortController() };
    this.become(running);
    try {
      const report = await runBench({
        ...options,
        signal: running.stop.signal,
        onProgress: (progress) => {
          if (this.state !== running) return;
          running.progress = progress;
          if (progress.phase === "running") running.figures.push(progress.last);
          this.dispatchEvent(new Event("change"));
        },
      });
      if (this.state === running) this.become({ is: "done", report });
    } catch (error) {
      if (this.state === running) this.become({ is: "failed", error });
    }
  }

  stop(): void {
    if (this.state.is !== "running") return;
    const { stop } = this.state;
    this.become({ is: "idle" });
    stop.abort();
  }

  private become(state: BenchState): void {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}
