// Uses of the library inside a page, for Playwright's pages and Puppeteer's alike: both have `goto` and `evaluate`. What is
// sent into a page stands alone, so it keeps its state on `window`.

/** The worker that counts what it holds and breaks on command: watched/watch.js. */
export const WATCHED = { workerUrl: "/watched/worker.js" };

/** The GPU, which is in software on most machines that run tests: `auto` prefers the CPU to such a one. */
export const GPU = { device: "gpu" };

/** Opens an empty page of the site and connects to a model there, on the GPU unless told otherwise. Gives what the library says of it. */
export async function connectIn(page, origin, model, options = {}) {
  if (!page.url().startsWith(origin)) await page.goto(`${origin}/empty.html`);
  return page.evaluate(
    async ({ model, options }) => {
      const { connect } = await import("/lib/tilewright.js");
      window.progress = [];
      window.tw = await connect({ ...options, model, onProgress: (progress) => window.progress.push(progress) });
      return window.tw.info;
    },
    { model, options: { ...GPU, ...options } },
  );
}

/** Has the watched worker do harm: `end` or `destroy the device`. */
export function command(page, what) {
  return page.evaluate((what) => {
    window.watched ??= new BroadcastChannel("watched worker");
    window.watched.postMessage(what);
  }, what);
}

/** What the watched worker holds: devices made so far, GPU buffers and ports that are alive. */
export function counted(page) {
  return answerOfWatch(page, "count");
}

/** What the watched worker has asked of the GPU so far: how often each method was called, and the bytes of buffers. */
export function worked(page) {
  return answerOfWatch(page, "count the GPU's work");
}

function answerOfWatch(page, question) {
  return page.evaluate(async (question) => {
    const channel = new BroadcastChannel("watched worker");
    const answer = await new Promise((resolve) => {
      channel.addEventListener("message", ({ data }) => resolve(data), { once: true });
      channel.postMessage(question);
    });
    channel.close();
    return answer;
  }, question);
}

/** What goes on in the engine. */
export function inspect(page) {
  return page.evaluate(() => window.tw.inspect());
}

/** Tries to connect, on the GPU unless told otherwise, and says what came of it: nothing, or the four fields of the error. */
export function connectError(page, model, options = {}) {
  return page.evaluate(
    async ({ model, options }) => {
      const { connect } = await import("/lib/tilewright.js");
      try {
        (await connect({ model, ...options })).close();
        return undefined;
      } catch (error) {
        return { name: error.name, ...JSON.parse(JSON.stringify(error)) };
      }
    },
    { model, options: { ...GPU, ...options } },
  );
}

/** One request without streaming over the page's connection: the response, or `{ error }` with the four fields. */
export function ask(page, endpoint, body) {
  return page.evaluate(
    async ({ endpoint, body }) => {
      const { tw } = window;
      const api = endpoint === "completions" ? tw.completions : tw.chat.completions;
      try {
        return await api.create(body);
      } catch (error) {
        return { error: { name: error.name, ...JSON.parse(JSON.stringify(error)) } };
      }
    },
    { endpoint, body },
  );
}

/**
 * Begins a streamed completion that goes on while the test does other things; see `streamed`. With `looking` it gives what
 * goes on in the engine right before: a look of its own may be long past when the request comes.
 */
export function beginStream(page, name, body, { looking = false } = {}) {
  return page.evaluate(
    async ({ name, body, looking }) => {
      const before = looking ? await window.tw.inspect() : undefined;
      const stream = { at: [], text: "", ids: new Set(), ended: undefined, controller: new AbortController() };
      window.streams = { ...window.streams, [name]: stream };
      const now = () => performance.timeOrigin + performance.now();
      const run = async () => {
        const chunks = await window.tw.completions.create(
          { ...body, stream: true, stream_options: { include_usage: true } },
          { signal: stream.controller.signal },
        );
        for await (const chunk of chunks) {
          stream.ids.add(`${chunk.id} ${chunk.created}`);
          const choice = chunk.choices[0];
          if (choice?.text) stream.at.push(now());
          stream.text += choice?.text ?? "";
          stream.reason = choice?.finish_reason ?? stream.reason;
          stream.usage = chunk.usage ?? stream.usage;
        }
      };
      run().then(
        () => (stream.ended = "done"),
        (error) => (stream.ended = error.name),
      );
      return before;
    },
    { name, body, looking },
  );
}

/** What a stream has brought so far: times of its chunks (ms), `ended` with `done` or the error's name, usage. */
export function streamed(page, name) {
  return page.evaluate((name) => {
    const { at, text, ids, ended, reason, usage } = window.streams[name];
    return { at, text, ids: [...ids], ended, reason, usage };
  }, name);
}

export function abortStream(page, name) {
  return page.evaluate((name) => window.streams[name].controller.abort(), name);
}

/** Asks again and again until the answer passes, and gives it. */
export async function until(what, look, passes, limitMs = 360_000) {
  const began = Date.now();
  let told = false;
  for (;;) {
    const seen = await look();
    if (passes(seen)) return seen;
    const waited = Date.now() - began;
    if (waited > limitMs)
      throw new Error(`${what} did not happen within ${limitMs / 1000} s; last: ${JSON.stringify(seen)}`);
    // The test's own limit may come first, and would not say what it was that did not happen.
    if (waited > 45_000 && !told)
      console.error(`still waiting for ${what}; last: ${JSON.stringify(seen).slice(0, 500)}`);
    told ||= waited > 45_000;
    await new Promise((later) => setTimeout(later, 50));
  }
}

/** The engine's state: the scheduler's snapshot, and the pages that use the model. */
export function look(page) {
  return page.evaluate(() => window.tw.inspect());
}
