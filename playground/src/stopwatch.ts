// Times one answer as the page sees it: from pressing Enter to the first token, and the pace after it.
//
// The pace leaves the first token out (it holds the prompt's processing). While streaming a chunk counts as a token; when the
// answer ends `usage` says how many there really were.
export interface Timing {
  firstTokenMs: number;
  tokensPerSecond: number | undefined;
}

export class Stopwatch {
  private readonly started = performance.now();
  private first: number | undefined;
  private last = 0;
  private chunks = 0;

  chunk(): void {
    this.last = performance.now();
    this.first ??= this.last;
    this.chunks += 1;
  }

  timing(completionTokens = this.chunks): Timing | undefined {
    if (this.first === undefined) return undefined;
    const span = this.last - this.first;
    return {
      firstTokenMs: this.first - this.started,
      tokensPerSecond: completionTokens > 1 && span > 0 ? ((completionTokens - 1) / span) * 1000 : undefined,
    };
  }
}
