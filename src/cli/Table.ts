/**
 * Tables for a terminal: columns as wide as their widest cell, cut to the width of the window.
 */

/** A column of a table. `isWide` columns are shown with `-o wide` only. */
export interface Column<A> {
  readonly title: string
  readonly value: (row: A) => string
  readonly isWide?: boolean
  readonly color?: (row: A) => Color | undefined
}

export type Color = "green" | "yellow" | "red" | "dim" | "bold"

const codes: { readonly [C in Color]: number } = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 }

export const colored = (text: string, color: Color | undefined, isOn: boolean): string =>
  isOn && color !== undefined && text !== "" ? `\u001b[${codes[color]}m${text}\u001b[0m` : text

/** Most cells are plain, and a watch draws many of them. */
const isPlain = /^[ -~]*$/

/** Text from a backend on one line, without anything that moves the cursor. */
export const printable = (text: string): string =>
  isPlain.test(text) ? text.trim() : text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, " ").trim()

const isWideCharacter = (code: number): boolean =>
  code >= 0x1100 && (
    code <= 0x115f || code >= 0x2e80 && code <= 0xa4cf || code >= 0xac00 && code <= 0xd7a3 ||
    code >= 0xf900 && code <= 0xfaff || code >= 0xfe30 && code <= 0xfe6f || code >= 0xff00 && code <= 0xff60 ||
    code >= 0xffe0 && code <= 0xffe6 || code >= 0x1f300 && code <= 0x1faff || code >= 0x20000 && code <= 0x3fffd
  )

/** How many cells a text takes. */
const width = (text: string): number => {
  if (isPlain.test(text)) return text.length
  let cells = 0
  for (const character of text) {
    if (!/\p{M}/u.test(character)) cells += isWideCharacter(character.codePointAt(0) ?? 0) ? 2 : 1
  }
  return cells
}

/** The first cells of a text, with an ellipsis where it is cut. */
export const cut = (text: string, cells: number): string => {
  if (width(text) <= cells) return text
  let kept = ""
  for (const character of text) {
    if (width(kept + character) > Math.max(0, cells - 1)) break
    kept += character
  }
  return cells > 0 ? `${kept}…` : ""
}

const pad = (text: string, cells: number): string => text + " ".repeat(Math.max(0, cells - width(text)))

const gap = 3
const narrowest = 7

interface TableOptions {
  readonly color: boolean
  readonly wide: boolean
  /** The width of the window; without it nothing is cut. */
  readonly columns?: number
}

/** The lines of a table, its header first. */
export const table = <A>(
  columns: ReadonlyArray<Column<A>>,
  rows: ReadonlyArray<A>,
  options: TableOptions
): ReadonlyArray<string> => {
  const shown = fitting(columns.filter(({ isWide }) => options.wide || isWide !== true), options.columns)
  const cells = rows.map((row) => shown.map(({ value }) => printable(value(row)) || "-"))
  const widths = shown.map(({ title }, index) =>
    Math.max(width(title), ...cells.map((line) => width(line[index] ?? "")))
  )
  fit(widths, options.columns)
  const line = (texts: ReadonlyArray<string>, color: (index: number) => Color | undefined): string =>
    texts.map((text, index) => {
      const room = widths[index] ?? 0
      const isLast = index === texts.length - 1
      const shownText = cut(text, room)
      return colored(shownText, color(index), options.color) +
        (isLast ? "" : pad("", room - width(shownText) + gap))
    }).join("").trimEnd()
  return [
    line(shown.map(({ title }) => title), () => "bold"),
    ...rows.map((row, index) => line(cells[index] ?? [], (column) => shown[column]?.color?.(row)))
  ]
}

/** The first columns, so many as a narrow window has room for. */
const fitting = <A>(columns: ReadonlyArray<Column<A>>, room: number | undefined): ReadonlyArray<Column<A>> =>
  room === undefined ? columns : columns.slice(0, Math.max(1, Math.floor((room + gap) / (narrowest + gap))))

/** Takes cells from the widest column until the line fits, or nothing can be taken. */
const fit = (widths: Array<number>, columns: number | undefined): void => {
  if (columns === undefined) return
  const total = () => widths.reduce((sum, each) => sum + each, 0) + gap * (widths.length - 1)
  while (total() > columns) {
    const widest = widths.indexOf(Math.max(...widths))
    const before = widths[widest] ?? 0
    if (before <= narrowest) return
    widths[widest] = before - 1
  }
}
