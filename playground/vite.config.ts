// Builds the pages (the chat, the tabs page, the models page, the benchmark, the tuning page) into dist/. The library is no part of the bundle: the page imports lib/tilewright.js at run time, as any
// other page of the site can, and `cargo xtask build` puts lib/ and models/ beside the page. `vite dev` serves both from dist/.
import { createReadStream, readFileSync, statSync } from "node:fs";
import { join, normalize, resolve } from "node:path";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

const TYPES: Record<string, string> = { js: "text/javascript", wasm: "application/wasm", json: "application/json" };

/** While developing: lib/ and models/ from a built site (TILEWRIGHT_SITE, or dist/), untouched by Vite's transforms. */
function builtLibrary(): Plugin {
  const site = resolve(process.env.TILEWRIGHT_SITE ?? join(import.meta.dirname, "dist"));
  return {
    name: "built-library",
    apply: "serve",
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
        if (!/^\/(lib|models)\//.test(path)) return next();
        const file = normalize(join(site, path));
        const found = file.startsWith(site) ? statSync(file, { throwIfNoEntry: false }) : undefined;
        if (!found?.isFile()) {
          response.writeHead(404, ISOLATION).end(`${path} is not built yet: run \`cargo xtask build\``);
          return;
        }
        const type = TYPES[file.slice(file.lastIndexOf(".") + 1)] ?? "application/octet-stream";
        response.writeHead(200, { ...ISOLATION, "Content-Type": type, "Content-Length": found.size });
        createReadStream(file).pipe(response);
      });
    },
  };
}

/** head.html, in the head of every page. */
function commonHead(): Plugin {
  return {
    name: "common-head",
    transformIndexHtml: {
      order: "pre", // so that Vite sees its addresses as if they stood in the page
      handler(page) {
        const head = readFileSync(join(import.meta.dirname, "head.html"), "utf8");
        return page.replace("<title>", () => `${head}<title>`);
      },
    },
  };
}

export default defineConfig({
  base: "./", // the site works under any path
  plugins: [builtLibrary(), commonHead()],
  server: { headers: ISOLATION },
  build: {
    target: "es2023",
    emptyOutDir: true,
    chunkSizeWarningLimit: 900,
    rolldownOptions: { input: ["index.html", "tabs.html", "models.html", "bench.html", "autotune.html"] },
  },
  test: { include: ["src/**/*.test.ts"] },
});
