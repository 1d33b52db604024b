import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const alias = [
  { find: /^kubelayer$/, replacement: source("./src/index.ts") },
  { find: /^kubelayer\/testing$/, replacement: source("./src/testing/index.ts") },
  { find: /^kubelayer\/(.+)$/, replacement: source("./src/$1.ts") }
]

export default defineConfig({
  resolve: { alias },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/**/*.engine.test.ts", "test/**/*.crash.test.ts"]
        }
      },
      {
        extends: true,
        // Processes that are killed. They measure time, so nothing runs beside them.
        test: { name: "crash", include: ["test/**/*.crash.test.ts"], fileParallelism: false }
      },
      {
        extends: true,
        test: {
          name: "engine",
          include: ["test/**/*.engine.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          // Containers are made by the processor: more at once only makes each of them late.
          maxConcurrency: 3
        }
      }
    ]
  }
})
