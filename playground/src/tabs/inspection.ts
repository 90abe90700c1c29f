// The page's look at the engine: asks for snapshots while the page is visible and not paused, and turns each into what is drawn.
//
// Three things end the asking. A hidden page and a paused one resume by themselves or by the user; an error is shown, and the
// user decides, because asking over a lost connection would open a new one and perhaps load a model. The exception is an engine that
// is there without a model: the next question of any tab loads it, so it is asked again, seldom.
import type { Tilewright } from "tilewright";
import { type BlockCounts, type BlockView, blocks, countBlocks } from "./blocks";
import { ClientMarks } from "./client-marks";
import { type ClientView, clients } from "./clients";
import { Poll } from "./poll";
import { type RequestView, requests } from "./requests";
import type { EngineSnapshot, StepRecord } from "tilewright";
import { type Pace, StepLog } from "./step-log";

/** One snapshot, as it is drawn. */
export interface Look {
  snapshot: EngineSnapshot;
  clients: ClientView[];
  requests: RequestView[];
  blocks: BlockView[];
  counts: BlockCounts;
  steps: readonly StepRecord[];
  pace: Pace | undefined;
}

/** `late`: the engine has not answered for a while, and what is drawn is old. */
export type Following = "starting" | "live" | "late" | "paused" | "stopped";

const LATE_MS = 1500;
const NOT_LOADED_MS = 1000;

export class Inspection extends EventTarget {
  look: Look | undefined;
  error: unknown;
  paused = false;
  readonly marks = new ClientMarks();
  private tilewright: Tilewright | undefined;
  private readonly log = new StepLog();
  private late = false;
  private lateTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly poll = new Poll<EngineSnapshot>({
    ask: () => {
      if (!this.tilewright) throw new Error("no engine to ask");
      return this.tilewright.inspect();
    },
    heard: (snapshot) => this.heard(snapshot),
    failed: (error) => this.failed(error),
  });

  get following(): Following {
    if (this.error !== undefined) return "stopped";
    if (this.paused) return "paused";
    if (!this.look) return "starting";
    return this.late ? "late" : "live";
  }

  /** Looks at this engine from now on; undefined: at none. */
  watch(tilewright: Tilewright | undefined): void {
    if (tilewright === this.tilewright) return;
    this.poll.stop();
    this.log.rest();
    this.tilewright = tilewright;
    this.look = undefined;
    this.error = undefined;
    this.resume();
  }

  pause(paused: boolean): void {
    this.paused = paused;
    this.resume();
  }

  connect(): void {
    document.addEventListener("visibilitychange", this.resume);
    this.resume();
  }

  disconnect(): void {
    document.removeEventListener("visibilitychange", this.resume);
    this.poll.stop();
    clearTimeout(this.lateTimer);
  }

  private readonly resume = (): void => {
    const go = this.tilewright !== undefined && !this.paused && document.visibilityState === "visible";
    if (go && !this.poll.isGoing) {
      this.log.rest();
      this.expect();
      this.poll.start();
    } else if (!go) {
      this.poll.stop();
      clearTimeout(this.lateTimer);
      this.late = false;
    }
    this.changed();
  };

  private heard(snapshot: EngineSnapshot): void {
    const at = performance.now();
    this.log.note(snapshot.steps, at);
    const seen = blocks(snapshot);
    const everyone = clients(snapshot, location.origin);
    this.marks.keep([
      ...everyone.map(({ client }) => client),
      ...this.log.steps.flatMap(({ rows }) => rows.map(({ client }) => client)),
    ]);
    this.look = {
      snapshot,
      clients: everyone,
      requests: requests(snapshot),
      blocks: seen,
      counts: countBlocks(seen),
      steps: this.log.steps,
      pace: this.log.pace(at),
    };
    this.error = undefined;
    this.expect();
    this.changed();
  }

  private failed(error: unknown): number | undefined {
    clearTimeout(this.lateTimer);
    this.log.rest();
    this.error = error;
    this.changed();
    return (error as { code?: unknown } | undefined)?.code === "not_loaded" ? NOT_LOADED_MS : undefined;
  }

  /** An answer should come soon; the page says so when it does not. */
  private expect(): void {
    this.late = false;
    clearTimeout(this.lateTimer);
    this.lateTimer = setTimeout(() => {
      this.late = true;
      this.changed();
    }, LATE_MS);
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}
