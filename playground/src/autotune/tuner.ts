// The page's hold on the tuner: asks where it stands while the page is visible, sends what buttons say, and keeps the records.
//
// The export has every sample of every candidate, so it is only asked for when something new was measured and not while the
// last one is on its way. An error ends the asking until the user says otherwise: asking on could load a model again.
import type { ImportReport, Tilewright, Tuning, TuningStatus } from "tilewright";
import { Poll } from "../tabs/poll";
import { Records } from "./records";

/** Progress that moves, and a tuner that measures undisturbed. */
const EVERY_MS = 400;

/** How long the GPU may be kept busy, where the address bar says so (`?seconds=`); the tuner judges it. */
function askedSeconds(): number | undefined {
  const asked = new URLSearchParams(location.search).get("seconds");
  return asked === null ? undefined : Number(asked);
}

export type Taken = { name: string; report: ImportReport } | { name: string; error: unknown };

export class TunerView extends EventTarget {
  status: TuningStatus | undefined;
  records = new Records();
  /** What became of the last file. */
  taken: Taken | undefined;
  /** Why the engine is not asked any more. */
  error: unknown;
  /** What the last button came to, if it failed. */
  refused: unknown;
  private tilewright: Tilewright | undefined;
  private exported = "";
  private exporting = false;
  private readonly poll = new Poll<TuningStatus>(
    {
      ask: () => this.tuning.status(),
      heard: (status) => this.heard(status),
      failed: (error) => {
        this.error = error;
        this.changed();
        return undefined;
      },
    },
    EVERY_MS,
  );

  /** Looks at this engine's tuner from now on; undefined: at none. */
  watch(tilewright: Tilewright | undefined): void {
    if (tilewright === this.tilewright) return;
    this.poll.stop();
    this.tilewright = tilewright;
    this.status = undefined;
    this.error = undefined;
    this.exported = "";
    this.resume();
  }

  connect(): void {
    document.addEventListener("visibilitychange", this.resume);
    this.resume();
  }

  disconnect(): void {
    document.removeEventListener("visibilitychange", this.resume);
    this.poll.stop();
  }

  start(again: boolean): Promise<void> {
    const seconds = askedSeconds();
    return this.say((tuning) => tuning.start(seconds === undefined ? { again } : { again, seconds }));
  }

  pause(): Promise<void> {
    return this.say((tuning) => tuning.pause());
  }

  goOn(): Promise<void> {
    return this.say((tuning) => tuning.resume());
  }

  reset(): Promise<void> {
    this.taken = undefined;
    return this.say((tuning) => tuning.reset());
  }

  /** The text of a file with all that was measured and imported. */
  async file(): Promise<string | undefined> {
    try {
      this.refused = undefined;
      return await this.tuning.export();
    } catch (error) {
      this.refused = error;
      this.changed();
      return undefined;
    }
  }

  async import(file: File): Promise<void> {
    const { name } = file;
    try {
      const { report, status } = await this.tuning.import(await file.text());
      this.taken = { name, report };
      this.heard(status);
    } catch (error) {
      this.taken = { name, error };
      this.changed();
    }
  }

  private get tuning(): Tuning {
    if (!this.tilewright) throw new Error("there is no engine to ask yet");
    return this.tilewright.tuning;
  }

  private async say(what: (tuning: Tuning) => Promise<TuningStatus>): Promise<void> {
    this.refused = undefined;
    try {
      this.heard(await what(this.tuning));
    } catch (error) {
      this.refused = error;
      this.changed();
    }
  }

  private readonly resume = (): void => {
    const go = this.tilewright !== undefined && this.error === undefined && document.visibilityState === "visible";
    if (go) this.poll.start();
    else this.poll.stop();
    this.changed();
  };

  private heard(status: TuningStatus): void {
    this.status = status;
    this.changed();
    void this.readRecords(status);
  }

  private async readRecords({ measured, state, records, device }: TuningStatus): Promise<void> {
    const version = [measured, state, ...records].join(" ");
    if (this.exporting || version === this.exported) return;
    this.exporting = true;
    try {
      this.records = new Records(await this.tuning.export(), device);
      this.exported = version;
      this.changed();
    } catch {
      // The tables stay as they are; the next status tells what is wrong, or brings the records.
    } finally {
      this.exporting = false;
    }
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}
