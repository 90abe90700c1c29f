// Which client has which colour. A client keeps its colour for as long as anything of it is on the page.
//
// The colour follows from the client's number where it can, so two of these pages side by side mostly agree, and so does the same
// page after a reload; only where two clients would share one does the later take the next that is free. With more clients than
// colours they are shared as evenly as can be.
import { PALETTE } from "./palette";

export class ClientMarks {
  private readonly slots = new Map<number, number>();

  /** These clients are on the page now; the colours of others may be given away. */
  keep(present: Iterable<number>): void {
    const here = new Set(present);
    for (const client of this.slots.keys()) if (!here.has(client)) this.slots.delete(client);
    for (const client of [...here].sort((a, b) => a - b)) this.slot(client);
  }

  /** The place of the client's colour in the palette. */
  slot(client: number): number {
    const known = this.slots.get(client);
    if (known !== undefined) return known;
    const uses = PALETTE.map(() => 0);
    for (const slot of this.slots.values()) uses[slot]! += 1;
    const least = Math.min(...uses);
    // The host counts clients from 1.
    let slot = Math.max(0, client - 1) % PALETTE.length;
    while (uses[slot] !== least) slot = (slot + 1) % PALETTE.length;
    this.slots.set(client, slot);
    return slot;
  }
}
