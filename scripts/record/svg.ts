/**
 * An animated SVG of what a terminal showed: one group of lines a frame, each shown for its time.
 */

/** The content of the screen from a moment on, with its colors as escape sequences. */
export interface Frame {
  readonly text: string
  readonly millis: number
}

const cell = { width: 8.4, height: 18 }
const margin = 14
/** How long the last frame stays before the animation begins again. */
const restMillis = 3000

const fills: { readonly [code in string]?: string } = {
  "31": "#ff7b72",
  "32": "#7ee787",
  "33": "#e3b341",
  "2": "#8b949e"
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

/** The parts of a line, each with the codes that hold for it. */
const spans = (line: string): string => {
  let codes: ReadonlyArray<string> = []
  let column = 0
  return line.split("\u001b[").map((part, index) => {
    const end = index === 0 ? -1 : part.indexOf("m")
    if (index > 0) {
      const given = part.slice(0, end).split(";")
      codes = given.some((code) => code === "0" || code === "39" || code === "") ? [] : [...codes, ...given]
    }
    const text = part.slice(end + 1)
    const from = column
    column += [...text].length
    if (text.trim() === "") return ""
    const fill = codes.map((code) => fills[code]).find((color) => color !== undefined)
    const attributes = [
      `x="${(margin + from * cell.width).toFixed(1)}"`,
      ...(fill === undefined ? [] : [`fill="${fill}"`]),
      ...(codes.includes("1") ? ["font-weight=\"bold\""] : [])
    ]
    return `<tspan ${attributes.join(" ")}>${escaped(text)}</tspan>`
  }).join("")
}

const group = (frame: Frame, next: number, total: number): string => {
  const lines = frame.text.trimEnd().split("\n").map((line, index) => {
    const content = spans(line.trimEnd())
    return content === "" ? "" : `<text y="${margin + (index + 1) * cell.height}">${content}</text>`
  }).join("")
  const at = (millis: number) => (millis / total).toFixed(4)
  // Shown from its own moment to that of the next frame.
  const isFirst = frame.millis === 0
  const times = isFirst ? `0;${at(next)}` : `0;${at(frame.millis)};${at(next)}`
  const values = isFirst ? "visible;hidden" : "hidden;visible;hidden"
  const animate = `<animate attributeName="visibility" calcMode="discrete" dur="${total}ms" repeatCount="indefinite" ` +
    `keyTimes="${times}" values="${values}"/>`
  return `<g visibility="hidden">${animate}${lines}</g>`
}

export const toSvg = (
  frames: ReadonlyArray<Frame>,
  size: { readonly columns: number; readonly rows: number }
): string => {
  const began = frames[0]?.millis ?? 0
  const moved = frames.map(({ millis, text }) => ({ text, millis: millis - began }))
  const total = (moved.at(-1)?.millis ?? 0) + restMillis
  const width = Math.ceil(size.columns * cell.width + 2 * margin)
  const height = Math.ceil(size.rows * cell.height + 2 * margin)
  const groups = moved.map((frame, index) => group(frame, moved[index + 1]?.millis ?? total, total))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `<rect width="100%" height="100%" rx="8" fill="#0d1117"/>`,
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14" fill="#e6edf3" xml:space="preserve">`,
    ...groups,
    "</g>",
    "</svg>",
    ""
  ].join("\n")
}
