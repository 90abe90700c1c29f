// The built site over HTTP with the headers of `cargo xtask serve`, and beside it what that command must not have: the test
// fixtures as models, and the same models with something wrong. Every request is written down, so that a test can say how
// often a file was fetched.
//
// | address | what is there |
// | --- | --- |
// | `/empty.html` | a page without anything, for tests that use the library alone |
// | `/fixtures/NAME/` | a folder of tests/fixtures, in Hugging Face layout |
// | `/stalled/NAME/` | the same, but the weights stop halfway, with the connection open |
// | `/cut/NAME/` | the same, but the weights file ends halfway |
// | `/no-tokenizer/NAME/` | the same without tokenizer.json |
// | `/unknown-family/NAME/` | the same, of a family that nobody knows |
// | `/broken-template/NAME/` | the same, with a chat template that does not parse |
// | `/with-template/NAME/` | the same, with a small chat template: the fixtures have none |
// | `/synthetic/SIZE/` | a model that nobody trained, larger or with a longer context: synthetic.mjs |
// | `/cut/model.gguf` | the first 3 MB of the embedded model |
// | `/faulty/FAULT/worker.js`, beside it the pool's | the library's workers in a browser with something wrong: watched/faults |
// | `/huge/model.gguf` | a file that says it has 5 GB, and sends nothing |
// | `/watched/worker.js`, `/watched/tilewright-pool-worker.js` | the library's workers, which counts and breaks on command: watched/watch.js |
// | `/tuning-store/worker.js` | a SharedWorker with the library's store of measurements |
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import ts from "typescript";
import { syntheticFile } from "./synthetic.mjs";

const repository = resolve(import.meta.dirname, "../..");
export const site = resolve(process.env.TILEWRIGHT_SITE ?? join(repository, "playground/dist"));
export const fixtures = join(repository, "tests/fixtures");
const embedded = join(site, "models/SmolLM2-135M-Instruct.Q4_1.gguf");

const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-cache",
};

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".woff2": "font/woff2",
};

const WATCHED = [
  "/watched/worker.js",
  "/watched/watch.js",
  "/watched/tilewright-pool-worker.js",
  "/watched/watch-pool.js",
];

const HUGE_BYTES = 5_000_000_000;
const TUNING_STORE = join(repository, "web/ts/tuning-store.ts");

const WEIGHTS = "model.safetensors";
const TEMPLATE = "{% for m in messages %}<s>{{ m.content }}{% endfor %}";

/** What each folder of faults does to a file of a fixture; `undefined` leaves it as it is, `null` takes it away. */
const FAULTS = {
  stalled: (name) => (name === WEIGHTS ? { stalls: true } : undefined),
  cut: (name) => (name === WEIGHTS ? { cut: 0.5 } : undefined),
  "no-tokenizer": (name) => (name === "tokenizer.json" ? null : undefined),
  "unknown-family": (name) =>
    name === "config.json"
      ? { edit: (text) => text.replaceAll('"llama"', '"mystery"').replaceAll("LlamaForCausalLM", "MysteryForCausalLM") }
      : undefined,
  "broken-template": (name) =>
    name === "chat_template.jinja" ? { text: "{% for m in messages %}{{ m.content" } : undefined,
  "with-template": (name) => (name === "chat_template.jinja" ? { text: TEMPLATE } : undefined),
};

/** Serves on a free port of localhost; without `isolated`, as a server does that has not heard of COOP and COEP. */
export async function startSite({ isolated = true } = {}) {
  const requests = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    requests.push({ method: request.method, path });
    if (!isolated) {
      const { writeHead } = response;
      response.writeHead = (status, headers) =>
        writeHead.call(
          response,
          status,
          Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith("Cross-Origin-"))),
        );
    }
    answer(path, request, response).catch((error) => {
      if (!response.headersSent) response.writeHead(500, HEADERS);
      response.end(String(error));
    });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    origin: `http://localhost:${server.address().port}`,
    /** How often a path was asked for with GET. */
    fetched: (path) => requests.filter((request) => request.method === "GET" && request.path === path).length,
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

async function answer(path, request, response) {
  if (path === "/empty.html") {
    send(request, response, ".html", Buffer.from("<!doctype html><title>empty</title>"));
    return;
  }
  if (path === "/cut/model.gguf") {
    send(request, response, ".gguf", (await readFile(embedded)).subarray(0, 3_000_000));
    return;
  }
  const faulty = /^\/faulty\/([a-z-]+)\/(worker|tilewright-pool-worker)\.js$/.exec(path);
  if (faulty) {
    const name = faulty[2] === "worker" ? "tilewright-worker" : faulty[2];
    const body = `import "/watched/faults/${faulty[1]}.js";\nimport "/lib/${name}.js";\n`;
    send(request, response, ".js", Buffer.from(body));
    return;
  }
  if (path === "/huge/model.gguf") {
    response.writeHead(200, { ...HEADERS, "Content-Type": "application/octet-stream", "Content-Length": HUGE_BYTES });
    if (request.method === "HEAD") response.end();
    else response.flushHeaders();
    return;
  }
  if (path === "/tuning-store/store.js") {
    const source = await readFile(TUNING_STORE, "utf8");
    send(request, response, ".js", Buffer.from(ts.transpile(source, { target: "ES2023", module: "ESNext" })));
    return;
  }
  const script = WATCHED.includes(path) || /^\/watched\/faults\/[a-z-]+\.js$/.test(path);
  if (script || path === "/tuning-store/worker.js") {
    await sendFile(join(import.meta.dirname, path), request, response);
    return;
  }
  const [, folder, fixture, name] = path.split("/");
  if (name && folder === "synthetic") {
    const body = await syntheticFile(join(fixtures, "llama"), fixture, name);
    if (body) send(request, response, extname(name), body);
    else notFound(response);
    return;
  }
  if (name && (folder === "fixtures" || Object.hasOwn(FAULTS, folder))) {
    await sendFixture(join(fixtures, fixture, name), FAULTS[folder]?.(name), name, request, response);
    return;
  }
  const file = join(site, path.endsWith("/") ? `${path}index.html` : path);
  if (!file.startsWith(site)) notFound(response);
  else await sendFile(file, request, response);
}

async function sendFixture(file, fault, name, request, response) {
  if (fault === undefined) return sendFile(file, request, response);
  if (fault === null) return notFound(response);
  if (fault.text !== undefined) return send(request, response, extname(name), Buffer.from(fault.text));
  const bytes = await readFile(file);
  if (fault.edit) return send(request, response, extname(name), Buffer.from(fault.edit(bytes.toString("utf8"))));
  const half = bytes.subarray(0, Math.floor(bytes.length / 2));
  if (fault.cut) return send(request, response, extname(name), half);
  response.writeHead(200, { ...HEADERS, "Content-Type": "application/octet-stream", "Content-Length": bytes.length });
  response.write(half); // and then nothing more, ever
}

async function sendFile(file, request, response) {
  const about = await stat(file).catch(() => undefined);
  if (!about?.isFile()) return notFound(response);
  send(request, response, extname(file), (start, end) => createReadStream(file, { start, end }), about.size);
}

/** A body, or the range of it that was asked for. */
function send(request, response, extension, body, size = body.length) {
  const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const start = asked ? Number(asked[1]) : 0;
  const end = asked?.[2] ? Math.min(Number(asked[2]), size - 1) : size - 1;
  const headers = {
    ...HEADERS,
    "Content-Type": TYPES[extension] ?? "application/octet-stream",
    "Accept-Ranges": "bytes",
  };
  if (asked && start >= size) {
    response.writeHead(416, { ...headers, "Content-Range": `bytes */${size}` }).end();
    return;
  }
  if (asked) headers["Content-Range"] = `bytes ${start}-${end}/${size}`;
  response.writeHead(asked ? 206 : 200, { ...headers, "Content-Length": end - start + 1 });
  if (request.method === "HEAD") response.end();
  else if (typeof body === "function") body(start, end).pipe(response);
  else Readable.from([body.subarray(start, end + 1)]).pipe(response);
}

function notFound(response) {
  response.writeHead(404, { ...HEADERS, "Content-Type": "text/plain" }).end("There is no such file.\n");
}
