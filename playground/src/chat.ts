// The conversation: turns, the answer being streamed, and what was measured on the way. It survives a reload of the tab
// (sessionStorage), and no other tab sees it.
import type { Tilewright } from "tilewright";
import { loadSettings, sampling } from "./settings";
import { Stopwatch, type Timing } from "./stopwatch";

export interface Turn {
  role: "user" | "assistant";
  text: string;
  /** Only an answer is anything but done. `cut` = it reached the token limit. */
  state: "done" | "streaming" | "stopped" | "cut" | "failed";
  error?: unknown;
}

const KEY = "tilewright.chat";

export class Chat extends EventTarget {
  turns: Turn[] = restore();
  timing: Timing | undefined;
  /** Tokens of prompt and answer, of the last finished answer. */
  usedTokens: number | undefined;
  private running: AbortController | undefined;

  get busy(): boolean {
    return this.running !== undefined;
  }

  send(tilewright: Tilewright, text: string): Promise<void> {
    this.turns = [...this.turns, { role: "user", text, state: "done" }];
    return this.answer(tilewright);
  }

  /** Another answer to the last question, instead of the one there is. */
  regenerate(tilewright: Tilewright): Promise<void> {
    if (this.turns.at(-1)?.role === "assistant") this.turns = this.turns.slice(0, -1);
    return this.answer(tilewright);
  }

  stop(): void {
    this.running?.abort();
  }

  clear(): void {
    this.stop();
    this.running = undefined;
    this.turns = [];
    this.timing = undefined;
    this.usedTokens = undefined;
    this.changed();
  }

  private async answer(tilewright: Tilewright): Promise<void> {
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    const settings = loadSettings();
    const messages = [
      ...(settings.systemPrompt.trim() ? [{ role: "system" as const, content: settings.systemPrompt.trim() }] : []),
      ...this.turns.filter((turn) => turn.text !== "").map(({ role, text }) => ({ role, content: text })),
    ];
    const turn: Turn = { role: "assistant", text: "", state: "streaming" };
    this.turns = [...this.turns, turn];
    const stopwatch = new Stopwatch();
    this.timing = undefined;
    this.changed();
    try {
      const stream = await tilewright.chat.completions.create(
        { messages, stream: true, stream_options: { include_usage: true }, ...sampling(settings) },
        { signal: running.signal },
      );
      let reason: string | null = null;
      for await (const chunk of stream) {
        const choice = chunk.choices[0];
        if (choice?.delta.content) {
          stopwatch.chunk();
          turn.text += choice.delta.content;
          this.measured(running, stopwatch.timing());
        }
        reason = choice?.finish_reason ?? reason;
        if (chunk.usage) {
          this.measured(running, stopwatch.timing(chunk.usage.completion_tokens));
          if (this.running === running) this.usedTokens = chunk.usage.total_tokens;
        }
      }
      turn.state = running.signal.aborted ? "stopped" : reason === "length" ? "cut" : "done";
    } catch (error) {
      turn.state = running.signal.aborted ? "stopped" : "failed";
      if (turn.state === "failed") turn.error = error;
    }
    if (this.running === running) this.running = undefined;
    this.changed();
  }

  private measured(running: AbortController, timing: Timing | undefined): void {
    if (this.running !== running) return; // an answer that was replaced meanwhile
    this.timing = timing;
    this.dispatchEvent(new Event("change"));
  }

  private changed(): void {
    const lasting = this.turns.map(({ role, text, state }) => ({ role, text, state }));
    sessionStorage.setItem(KEY, JSON.stringify(lasting));
    this.dispatchEvent(new Event("change"));
  }
}

function restore(): Turn[] {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    if (!Array.isArray(stored)) return [];
    return (stored as Turn[])
      .filter(
        (turn) =>
          (turn.role === "user" || turn.role === "assistant") && typeof turn.text === "string" && turn.text !== "",
      )
      .map(({ role, text, state }) => ({ role, text, state: state === "cut" || state === "done" ? state : "stopped" }));
  } catch {
    return [];
  }
}
