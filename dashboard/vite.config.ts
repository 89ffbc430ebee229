import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import type { Plugin } from "vite";

const version = /^version = "(.+)"$/m.exec(readFileSync("../pyproject.toml", "utf8"))?.[1] ?? "";

/** Writes `x.br` and `x.gz` beside every text of the bundle, so that the server compresses nothing. */
function precompressed(): Plugin {
  return {
    name: "precompressed",
    apply: "build",
    // After everything else has had its way with the files.
    writeBundle({ dir = "" }, bundle) {
      for (const fileName of Object.keys(bundle).filter((each) => /\.(js|css)$/.test(each))) {
        const source = readFileSync(join(dir, fileName));
        const best = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };
        writeFileSync(join(dir, `${fileName}.br`), brotliCompressSync(source, best));
        writeFileSync(join(dir, `${fileName}.gz`), gzipSync(source, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), tailwindcss(), precompressed()],
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  define: { __CONDUIT_VERSION__: JSON.stringify(version) },
  build: {
    target: ["chrome120", "firefox121", "safari17.4"],
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  // `npm run dev` beside `conduit dev`: the server's address is the one that it says.
  // It keeps the name that it was asked by, for the server takes actions of its own origin alone.
  server: { proxy: { "/api/": { target: process.env.CONDUIT_SERVER ?? "http://127.0.0.1:8080", changeOrigin: false } } },
  test: { environment: "jsdom", pool: "vmThreads", include: ["src/**/*.test.{ts,tsx}"], globals: false },
});
