// A request as the queue shows it: what it is doing, and how far it is.
import type { EngineSnapshot, SequenceSnapshot } from "tilewright";

/** `again`: its blocks were taken for another request, and what was computed is being computed anew. */
export type Doing = "decode" | "prefill" | "again" | "waiting" | "frozen" | "credit";

export interface RequestView {
  client: number;
  request: number;
  doing: Doing;
  class: number;
  /** Of the prompt's tokens. */
  prompt: { total: number; computed: number; cached: number };
  generated: number;
  /** Generated and not yet taken by the page. */
  unacknowledged: number;
  blocks: number;
}

/** Running ones first, then those that wait, each in order of arrival. */
export function requests(snapshot: EngineSnapshot): RequestView[] {
  return [
    ...snapshot.running.map((sequence) => view(sequence, true)),
    ...snapshot.waiting.map((sequence) => view(sequence, false)),
  ];
}

function view(sequence: SequenceSnapshot, running: boolean): RequestView {
  const { client, request, prompt_tokens: total } = sequence;
  const computed = Math.min(total, sequence.computed);
  return {
    client,
    request,
    doing: doing(sequence, running),
    class: sequence.class,
    prompt: { total, computed, cached: Math.min(computed, sequence.cached_tokens) },
    generated: Math.max(0, sequence.tokens - total),
    unacknowledged: sequence.unacknowledged,
    blocks: sequence.block_table.length,
  };
}

function doing(sequence: SequenceSnapshot, running: boolean): Doing {
  if (sequence.parked !== null) return sequence.parked;
  if (!running) return "waiting";
  // A decoding sequence lacks only its newest token, whose row makes the next one.
  if (sequence.computed < sequence.tokens - 1) return sequence.tokens > sequence.prompt_tokens ? "again" : "prefill";
  return sequence.computed < sequence.prompt_tokens ? "prefill" : "decode";
}
