// A client as the list shows it: its page, what the user sees of that page, and what it asks of the engine.
import type { EngineSnapshot } from "tilewright";

/** What the browser does with the page; `unknown` before it has said. */
export type Seen = "focused" | "visible" | "hidden" | "frozen" | "unknown";

export interface ClientView {
  client: number;
  title: string;
  /** Without the origin where it is this page's own. */
  address: string;
  isThisTab: boolean;
  seen: Seen;
  /** The class of what it asks for: 0 first. Nothing while it is frozen. */
  class: number | undefined;
  running: number;
  waiting: number;
  /** The counter that decides whose turn it is. */
  computed: number;
}

/** Everyone the snapshot names, by number. */
export function clients(snapshot: EngineSnapshot, origin: string): ClientView[] {
  const numbers = new Set([
    ...snapshot.clients.map(({ client }) => client),
    ...snapshot.pages.map(({ client }) => client),
    ...snapshot.running.map(({ client }) => client),
    ...snapshot.waiting.map(({ client }) => client),
  ]);
  return [...numbers]
    .sort((a, b) => a - b)
    .map((client) => {
      const about = snapshot.clients.find((other) => other.client === client);
      const page = snapshot.pages.find((other) => other.client === client);
      const seen: Seen = !about
        ? "unknown"
        : about.frozen
          ? "frozen"
          : !about.visible
            ? "hidden"
            : about.focused
              ? "focused"
              : "visible";
      return {
        client,
        title: page?.title || "A page without a title",
        address: page ? address(page.url, origin) : "",
        isThisTab: client === snapshot.you,
        seen,
        class: CLASS[seen],
        running: snapshot.running.filter((sequence) => sequence.client === client).length,
        waiting: snapshot.waiting.filter((sequence) => sequence.client === client).length,
        computed: about?.counter ?? 0,
      };
    });
}

/** As the scheduler ranks them. */
const CLASS: Readonly<Record<Seen, number | undefined>> = {
  focused: 0,
  visible: 1,
  hidden: 2,
  frozen: undefined,
  unknown: undefined,
};

function address(url: string, origin: string): string {
  return url.startsWith(`${origin}/`) ? url.slice(origin.length) : url;
}
