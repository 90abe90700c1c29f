// Self-contained ES modules, one for each mode: the client and the worker, the CPU pool's worker, and the benchmark's page side and worker. They
// land beside what wasm-bindgen wrote, so the folder is never emptied; each build overwrites its own file.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { defineConfig } from "vite";

const entries = {
  client: "tilewright",
  worker: "tilewright-worker",
  pool: "tilewright-pool-worker",
  bench: "tilewright-bench",
  "bench-worker": "tilewright-bench-worker",
};
const sources = {
  client: "ts/tilewright.ts",
  worker: "ts/worker.ts",
  pool: "ts/pool-worker.ts",
  bench: "ts/bench.ts",
  "bench-worker": "ts/bench-worker.ts",
};

/** Names this build: two builds never share a SharedWorker, so a page after an update does not meet yesterday's engine. */
function buildId() {
  const hash = createHash("sha256");
  for (const name of readdirSync("ts").sort()) hash.update(readFileSync(`ts/${name}`));
  for (const name of ["web", "cpu", "cpu_plain"]) {
    const wasm = `dist/tilewright_${name}_bg.wasm`;
    if (existsSync(wasm)) hash.update(readFileSync(wasm));
  }
  return hash.digest("hex").slice(0, 12);
}

export default defineConfig(({ mode }) => ({
  define: { __TILEWRIGHT_BUILD__: JSON.stringify(mode in entries ? buildId() : "test") },
  publicDir: false,
  build: {
    target: "es2023",
    outDir: "dist",
    emptyOutDir: false,
    sourcemap: true,
    minify: false,
    lib: { entry: { [entries[mode]]: sources[mode] }, formats: ["es"] },
  },
  test: { include: ["ts/**/*.test.ts", "src/*.test.js"], testTimeout: 10_000 },
}));
