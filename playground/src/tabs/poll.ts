// Asks again and again, as long as someone looks.
//
// A question is only asked when the last one was answered, so an engine that is busy is asked less often, and at most every
// `everyMs`, counted from question to question. Stopping is immediate: an answer still on its way is dropped.

/** Ten looks a second: more than that nobody can read. */
export const EVERY_MS = 100;

export interface Questions<Answer> {
  ask: () => Promise<Answer>;
  heard: (answer: Answer) => void;
  /** After how many milliseconds to try again; undefined: not at all. */
  failed: (error: unknown) => number | undefined;
}

export class Poll<Answer> {
  private round = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private going = false;

  constructor(
    private readonly questions: Questions<Answer>,
    private readonly everyMs = EVERY_MS,
  ) {}

  get isGoing(): boolean {
    return this.going;
  }

  start(): void {
    if (this.going) return;
    this.going = true;
    void this.turn(++this.round);
  }

  stop(): void {
    this.going = false;
    this.round += 1;
    clearTimeout(this.timer);
  }

  private async turn(round: number): Promise<void> {
    const asked = performance.now();
    let pause: number | undefined;
    try {
      const answer = await this.questions.ask();
      if (round !== this.round) return;
      this.questions.heard(answer);
      pause = Math.max(0, this.everyMs - (performance.now() - asked));
    } catch (error) {
      if (round !== this.round) return;
      pause = this.questions.failed(error);
    }
    if (round !== this.round) return; // stopped by what it said
    if (pause === undefined) this.stop();
    else this.timer = setTimeout(() => void this.turn(round), pause);
  }
}
