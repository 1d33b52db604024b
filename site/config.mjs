// The configuration of VitePress. `scripts/site.ts` copies it beside the pages and writes `pages.json`.
import { readFileSync } from "node:fs"

const { guide, reference } = JSON.parse(readFileSync(new URL("./pages.json", import.meta.url), "utf8"))

export default {
  title: "kubelayer",
  description: "The machines under Kubernetes clusters, from TypeScript",
  cleanUrls: false,
  // No request for an icon.
  head: [["link", { rel: "icon", href: "data:," }]],
  lastUpdated: false,
  markdown: { languageAlias: { "ts run": "ts" } },
  themeConfig: {
    search: { provider: "local" },
    outline: "deep",
    sidebar: [
      { text: "Guide", items: guide },
      { text: "Reference", items: reference, collapsed: false }
    ]
  }
}
