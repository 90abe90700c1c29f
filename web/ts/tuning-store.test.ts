import { describe, expect, test } from "vitest";
import { TuningStore, TuningStoreError } from "./tuning-store.js";

/** As much of a request as is used; `answer` is called when somebody listens. */
class Request {
  onsuccess: (() => void) | null = null;
  onerror: (() => void) | null = null;
  onblocked: (() => void) | null = null;
  onupgradeneeded: (() => void) | null = null;
  error: DOMException | null = null;
  result: unknown = undefined;

  constructor(answer: (request: Request) => void) {
    setTimeout(() => {
      answer(this);
    });
  }
}

/** A browser whose database opens as told, one answer per attempt. */
function browser(...answers: ((request: Request) => void)[]): { factory: IDBFactory; calls: string[] } {
  const calls: string[] = [];
  const call = (name: string) => () => {
    calls.push(name);
    const answer = answers.shift();
    if (!answer) throw new Error("nobody expected another attempt");
    return new Request(answer);
  };
  return { factory: { open: call("open"), deleteDatabase: call("delete") } as unknown as IDBFactory, calls };
}

const fails = (name: string) => (request: Request) => {
  request.error = new DOMException("the browser's words", name);
  request.onerror?.();
};

async function problem(store: TuningStore): Promise<string> {
  const error: unknown = await store.put([{ key: "a", text: "{}", trust: 2 }]).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(TuningStoreError);
  return (error as TuningStoreError).problem;
}

describe("a database that does not open", () => {
  test("is unavailable where there is none, or it may not be used", async () => {
    const thrower = {
      open() {
        throw new DOMException("no", "SecurityError");
      },
    } as unknown as IDBFactory;
    expect(await problem(new TuningStore(thrower))).toBe("unavailable");
    expect(await problem(new TuningStore(browser(fails("InvalidStateError")).factory))).toBe("unavailable");
    expect(await problem(new TuningStore(browser(fails("VersionError")).factory))).toBe("unavailable");
    // Node has no IndexedDB.
    expect(await problem(new TuningStore())).toBe("unavailable");
  });

  test("is full if there is no room to make it", async () => {
    expect(await problem(new TuningStore(browser(fails("QuotaExceededError")).factory))).toBe("full");
  });

  test("is blocked while another tab holds an older one, and closed if it opens after all", async () => {
    let closed = 0;
    const { factory } = browser((request) => {
      request.onblocked?.();
      request.result = { close: () => (closed += 1) };
      request.onsuccess?.();
    });
    expect(await problem(new TuningStore(factory))).toBe("blocked");
    expect(closed).toBe(1);
  });

  test("is blocked if the browser does not answer", async () => {
    expect(await problem(new TuningStore(browser(() => undefined).factory, 20))).toBe("blocked");
  });

  test("is made anew once if the browser calls it damaged", async () => {
    const { factory, calls } = browser(
      fails("UnknownError"),
      (request) => request.onsuccess?.(),
      fails("UnknownError"),
    );
    expect(await problem(new TuningStore(factory))).toBe("failed");
    expect(calls).toEqual(["open", "delete", "open"]);
  });

  test("is tried again the next time", async () => {
    const { factory, calls } = browser(fails("SecurityError"), fails("QuotaExceededError"));
    const store = new TuningStore(factory);
    expect([await problem(store), await problem(store), calls.length]).toEqual(["unavailable", "full", 2]);
  });
});
