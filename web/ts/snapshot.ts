/**
 * What goes on in an engine, as `inspect()` tells it: the scheduler's whole state at one moment, and who its pages are.
 *
 * Nothing of it is computed unless a page asks. It is as large as there are KV blocks, so a page that draws it should ask
 * once a frame at most, and not at all while nobody looks. Names are the scheduler's own, hence snake_case.
 */

/** What one KV block is doing. */
export type BlockState =
  /** Can be had, and holds nothing of use. */
  | "free"
  /** Can be had, and holds a prefix that a request may share until then. */
  | "cached"
  /** Will be free when the step of this number is done. */
  | { fenced: number }
  /** Held by so many requests. */
  | { referenced: number };

/** One request. All lengths are in tokens. */
export interface SequenceSnapshot {
  /** Whose. */
  client: number;
  /** The client's number of it. */
  request: number;
  /** Known tokens, the prompt's included. */
  tokens: number;
  prompt_tokens: number;
  /** Of the prompt's, those that were there already when it was first admitted. */
  cached_tokens: number;
  /** 0 focused, 1 visible, 2 hidden, 3 batch; waiting long raises it. */
  class: 0 | 1 | 2 | 3;
  /** Sent, and not read by its page yet. */
  unacknowledged: number;
  /** Why it stands still, if it does: its page is frozen, or does not read. */
  parked: "frozen" | "credit" | null;
  /** Being sampled by steps in flight. */
  pending: number;
  /** Positions computed, or being computed by steps in flight. */
  computed: number;
  /** Rows that could be computed now. */
  rows_left: number;
  /** Ids of its KV blocks: indices of `EngineSnapshot.blocks`. */
  block_table: number[];
}

/** One client, as the scheduler sees it. */
export interface ClientSnapshot {
  client: number;
  visible: boolean;
  focused: boolean;
  frozen: boolean;
  /** Rows computed for it so far; it is lifted to the others' when it comes back from a pause. The least goes first. */
  counter: number;
}

/** One step that is done. */
export interface StepRecord {
  /** Larger than that of every step before. */
  step: number;
  /** Whose rows it had. */
  rows: {
    client: number;
    /** Rows of answers, one per request. */
    decode: number;
    /** Rows of prompts, one per token. */
    prefill: number;
  }[];
  /** How long it took, in microseconds. */
  elapsed: number;
}

/** A page that uses the model. */
export interface PageSnapshot {
  /** Its client's number, as elsewhere in the snapshot. */
  client: number;
  /** The page's title when it connected. */
  title: string;
  /** Its address when it connected. */
  url: string;
}

/** An engine's state at one moment. */
export interface EngineSnapshot {
  /** How often the device was lost and made anew. */
  epoch: number;
  /** What computes, for a person to read. */
  device: string;
  /** False while a lost device is being made anew: requests wait. */
  ready: boolean;
  /** Tokens that a KV block holds. */
  block_size: number;
  /** By block id. */
  blocks: BlockState[];
  /** Requests that hold blocks, in order of arrival. */
  running: SequenceSnapshot[];
  /** Requests that wait for blocks, in order of arrival. */
  waiting: SequenceSnapshot[];
  /** Numbers of the steps issued whose output is not used yet. */
  in_flight: number[];
  /** Those who are there, as far as the scheduler knows them. */
  clients: ClientSnapshot[];
  /** The latest steps that are done, oldest first. */
  steps: StepRecord[];
  /** The client that asked. */
  you: number;
  /** All pages that use this model. */
  pages: PageSnapshot[];
}
