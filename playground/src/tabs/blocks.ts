// The KV blocks as they are drawn: what each is doing and for whom.
//
// The engine says of a block how many tables hold it, and of each request which blocks are in its table. Put together that
// gives the owners. The `look` of a block is all that its cell depends on, so a cell is drawn again only when its look changes.
import type { EngineSnapshot } from "tilewright";

export type BlockKind = "free" | "cached" | "fenced" | "used" | "shared";

export interface BlockView {
  kind: BlockKind;
  /** The clients that hold it, by number. */
  owners: readonly number[];
  look: string;
}

export interface BlockCounts {
  total: number;
  free: number;
  cached: number;
  fenced: number;
  /** Held by one table. */
  used: number;
  /** Held by several. */
  shared: number;
  /** Blocks that a client holds, shared ones included. */
  byClient: ReadonlyMap<number, number>;
}

const FREE: BlockView = { kind: "free", owners: [], look: "free" };
const CACHED: BlockView = { kind: "cached", owners: [], look: "cached" };
const FENCED: BlockView = { kind: "fenced", owners: [], look: "fenced" };

export function blocks(snapshot: EngineSnapshot): BlockView[] {
  const owners = ownersOf(snapshot);
  return snapshot.blocks.map((state, id) => {
    if (state === "free") return FREE;
    if (state === "cached") return CACHED;
    if ("fenced" in state) return FENCED;
    const holders = owners.get(id) ?? [];
    const kind = state.referenced > 1 ? "shared" : "used";
    return { kind, owners: holders, look: `${kind} ${holders.join(" ")}` };
  });
}

function ownersOf(snapshot: EngineSnapshot): Map<number, number[]> {
  const owners = new Map<number, number[]>();
  for (const { client, block_table } of [...snapshot.running, ...snapshot.waiting]) {
    for (const id of block_table) {
      const known = owners.get(id);
      if (!known) owners.set(id, [client]);
      else if (!known.includes(client)) known.push(client);
    }
  }
  for (const holders of owners.values()) holders.sort((a, b) => a - b);
  return owners;
}

export function countBlocks(views: readonly BlockView[]): BlockCounts {
  const counts = { free: 0, cached: 0, fenced: 0, used: 0, shared: 0 };
  const byClient = new Map<number, number>();
  for (const { kind, owners } of views) {
    counts[kind] += 1;
    for (const owner of owners) byClient.set(owner, (byClient.get(owner) ?? 0) + 1);
  }
  return { total: views.length, ...counts, byClient };
}

/** One block in a sentence. */
export function describeBlock(snapshot: EngineSnapshot, id: number): string {
  const state = snapshot.blocks[id];
  if (state === undefined) return "";
  if (state === "free") return "Free";
  if (state === "cached") return "Cached: a prefix that nobody uses now, kept in case it comes again";
  if (typeof state === "object" && "fenced" in state) return `Being freed: step ${state.fenced} may still read it`;
  const holders = [...snapshot.running, ...snapshot.waiting].filter(({ block_table }) => block_table.includes(id));
  const names = holders.map(({ client, request }) => `request ${request} of client ${client}`);
  if (names.length === 0) return "In use";
  return state.referenced > 1 ? `Shared by ${list(names)}` : `Held by ${list(names)}`;
}

function list(names: readonly string[]): string {
  return names.length < 3 ? names.join(" and ") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
