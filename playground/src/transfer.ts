// How fast bytes come in and how long the rest will take, from progress reports that arrive at uneven times.
//
// The speed is that of the last few seconds, not of the whole: a download that was slow a minute ago should not look slow now.
const WINDOW_MS = 4000;

export class Transfer {
  private readonly seen: { at: number; loaded: number }[] = [];

  note(loaded: number, at = performance.now()): void {
    const last = this.seen.at(-1);
    if (last && loaded < last.loaded) this.seen.length = 0; // another file, or a restart
    this.seen.push({ at, loaded });
    while (this.seen.length > 2 && at - this.seen[0]!.at > WINDOW_MS) this.seen.shift();
  }

  /** Bytes per second; undefined until there is something to measure. */
  speed(): number | undefined {
    const first = this.seen[0];
    const last = this.seen.at(-1);
    if (!first || !last || last.at - first.at < 300 || last.loaded === first.loaded) return undefined;
    return ((last.loaded - first.loaded) / (last.at - first.at)) * 1000;
  }

  /** Milliseconds until `total`. */
  left(total: number): number | undefined {
    const speed = this.speed();
    const last = this.seen.at(-1);
    return speed && last ? (Math.max(0, total - last.loaded) / speed) * 1000 : undefined;
  }
}
