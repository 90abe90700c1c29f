// Snapshots for tests: an engine at rest, and a request to put into it. No page imports this.
import type { EngineSnapshot, SequenceSnapshot } from "tilewright";

export function snapshot(changes: Partial<EngineSnapshot> = {}): EngineSnapshot {
  return {
    epoch: 0,
    device: "a GPU",
    ready: true,
    block_size: 16,
    blocks: [],
    running: [],
    waiting: [],
    in_flight: [],
    clients: [],
    steps: [],
    you: 1,
    pages: [],
    ...changes,
  };
}

export function sequence(changes: Partial<SequenceSnapshot> = {}): SequenceSnapshot {
  return {
    client: 1,
    request: 1,
    tokens: 40,
    prompt_tokens: 40,
    cached_tokens: 0,
    class: 0,
    unacknowledged: 0,
    parked: null,
    pending: 0,
    computed: 0,
    rows_left: 40,
    block_table: [],
    ...changes,
  };
}
