/**
 * Reads and writes YAML as Go's YAML library does, so that omnictl finds nothing to change in what this library stored.
 *
 * `resolved` reads a node of the `yaml` library with Go's rules: `017` is an octal number, `yes` is a text, `2001-01-01`
 * is a time. `encode` writes a value: keys in natural order, 4 spaces, and quotes where Go puts them.
 * Source: YAML 1.1 types; tested against the texts that omnictl 1.9.3 stored.
 */
import type * as Yaml from "yaml"

/** A point in time, as RFC 3339. */
class Timestamp {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

type Scalar = null | boolean | bigint | number | string | Timestamp

/** A value as Go has it: `bigint` is an integer, `number` a float. */
export type Value = Scalar | ReadonlyArray<Value> | ReadonlyMap<Value, Value>

const isList = (value: Value): value is ReadonlyArray<Value> => Array.isArray(value)

const isMapping = (value: Value): value is ReadonlyMap<Value, Value> => value instanceof Map

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

const words = new Map<string, null | boolean | number>([
  ...["true", "True", "TRUE"].map((word) => [word, true] as const),
  ...["false", "False", "FALSE"].map((word) => [word, false] as const),
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, null] as const),
  ...[".nan", ".NaN", ".NAN"].map((word) => [word, Number.NaN] as const),
  ...[".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"].map((word) => [word, Number.POSITIVE_INFINITY] as const),
  ...["-.inf", "-.Inf", "-.INF"].map((word) => [word, Number.NEGATIVE_INFINITY] as const),
  ["-0", -0],
  ["-0.0", -0]
])

const decimalFloat = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/

const integerOf = (text: string): bigint | undefined => {
  const match = /^([-+]?)(?:0[xX]([\da-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9]\d*))$/.exec(text)
  if (match === null) return undefined
  const [, sign, hex, binary, octal, decimal] = match
  const size = BigInt(
    hex !== undefined
      ? `0x${hex}`
      : binary !== undefined
      ? `0b${binary}`
      : octal !== undefined
      ? `0o${octal}`
      : decimal ?? ""
  )
  const value = sign === "-" ? -size : size
  const most = sign === "+" ? 2n ** 63n : 2n ** 64n
  return value >= -(2n ** 63n) && value < most ? value : undefined
}

const timestampOf = (text: string): Timestamp | undefined => {
  const match = /^(\d{4})-(\d{1,2})-(\d{1,2})(?:([Tt ])(\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)?)?$/
    .exec(text)
  if (match === null) return undefined
  const [, year, month, day, separator, hour = "0", minute = "0", second = "0", fraction = "", zone] = match
  if (separator !== undefined && (separator === " ") !== (zone === undefined)) return undefined
  const two = (part: string | undefined) => (part ?? "").padStart(2, "0")
  const date = `${year}-${two(month)}-${two(day)}`
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined
  const parsed = new Date(`${date}T00:00:00Z`)
  if (Number.isNaN(parsed.getTime()) || parsed.toISOString().slice(0, 10) !== date) return undefined
  const nanos = fraction.slice(0, 9).replace(/0+$/, "")
  const offset = zone === undefined || /^[+-]00:00$/.test(zone) ? "Z" : zone
  return new Timestamp(`${date}T${two(hour)}:${two(minute)}:${two(second)}${nanos === "" ? "" : `.${nanos}`}${offset}`)
}

/** The value of a plain scalar without a tag. */
const plainScalar = (text: string): Scalar => {
  const word = words.get(text)
  if (word !== undefined) return word
  if (!/^[-+.\d]/.test(text)) return text
  const plain = text.startsWith(".") ? text : text.replaceAll("_", "")
  const float = decimalFloat.test(plain) ? Number(plain) : Number.NaN
  return timestampOf(text) ?? integerOf(plain) ?? (Number.isFinite(float) ? float : text)
}

const tagPrefix = "tag:yaml.org,2002:"

const scalarOf = (node: Yaml.Scalar): Scalar => {
  const text = node.source ?? String(node.value ?? "")
  switch (node.tag) {
    case undefined:
      return node.type === "PLAIN" ? plainScalar(text) : text
    case `${tagPrefix}float`: {
      const value = plainScalar(text)
      return typeof value === "bigint" ? Number(value) : value
    }
    case `${tagPrefix}int`:
    case `${tagPrefix}bool`:
    case `${tagPrefix}null`:
    case `${tagPrefix}timestamp`:
      return plainScalar(text)
    case `${tagPrefix}binary`:
      return new TextDecoder().decode(Uint8Array.from(atob(text.replace(/\s/g, "")), (char) => char.charCodeAt(0)))
    default:
      return text
  }
}

/** The value of a node. The caller has checked that its aliases resolve and do not multiply. */
export const resolved = (yaml: typeof Yaml, document: Yaml.Document, node: unknown): Value => {
  if (yaml.isAlias(node)) return resolved(yaml, document, node.resolve(document))
  if (yaml.isSeq(node)) return node.items.map((item) => resolved(yaml, document, item))
  if (yaml.isScalar(node)) return scalarOf(node)
  if (!yaml.isMap(node)) return null
  const own = new Map<Value, Value>()
  const merged = new Map<Value, Value>()
  for (const { key, value } of node.items) {
    if (yaml.isScalar(key) && key.type === "PLAIN" && key.tag === undefined && key.source === "<<") {
      const from = resolved(yaml, document, value)
      for (const each of isList(from) ? from : [from]) {
        if (!isMapping(each)) continue
        for (const [name, content] of each) if (!merged.has(name)) merged.set(name, content)
      }
    } else own.set(resolved(yaml, document, key), resolved(yaml, document, value))
  }
  return new Map([...merged].filter(([name]) => !own.has(name)).concat([...own]))
}

/** The same value of a program: whole numbers are integers, and fields without a value are left out. */
export const ofProgram = (value: unknown): Value => {
  if (value === null || value === undefined) return null
  if (typeof value === "number") return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value
  if (typeof value === "bigint") return value >= -(2n ** 63n) && value < 2n ** 64n ? value : Number(value)
  if (typeof value === "boolean" || typeof value === "string") return value
  if (Array.isArray(value)) return value.map(ofProgram)
  return new Map(
    Object.entries(value).flatMap(([key, each]) => each === undefined ? [] : [[key, ofProgram(each)] as const])
  )
}

/** The value as a program has it, to be checked and compared: an integer and a float of one size are the same. */
export const toProgram = (value: Value): unknown => {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value
  if (value instanceof Timestamp) return value.text
  if (isList(value)) return value.map(toProgram)
  if (!isMapping(value)) return value
  return Object.fromEntries([...value].map(([key, each]) => [keyText(key), toProgram(each)]))
}

const keyText = (key: Value): string => typeof key === "string" ? key : encodeScalar(key as Scalar, 0, false)

// -----------------------------------------------------------------------------
// Order of keys
// -----------------------------------------------------------------------------

const isDigit = (char: string | undefined): boolean => char !== undefined && /^\p{Nd}$/u.test(char)

const isLetter = (char: string): boolean => /^\p{L}$/u.test(char)

/** The number that begins at an index, and where it ends. */
const numberAt = (chars: ReadonlyArray<string>, from: number): { readonly value: bigint; readonly end: number } => {
  let end = from
  let value = 0n
  for (; isDigit(chars[end]); end++) value = value * 10n + BigInt((chars[end]?.codePointAt(0) ?? 48) - 48)
  return { value, end }
}

const codePoint = (char: string | undefined): number => char?.codePointAt(0) ?? 0

/** Natural order, `k2` before `k10`; capitals before small letters. */
const compareTexts = (a: string, b: string): number => {
  const [left, right] = [[...a], [...b]]
  let afterDigit = false
  for (let i = 0; i < left.length && i < right.length; i++) {
    const [one = "", other = ""] = [left[i], right[i]]
    if (one === other) {
      afterDigit = isDigit(one)
      continue
    }
    const [letter, otherLetter] = [isLetter(one), isLetter(other)]
    if (letter && otherLetter) return codePoint(one) - codePoint(other)
    if (letter || otherLetter) return (afterDigit ? letter : otherLetter) ? -1 : 1
    const first = numberAt(left, i)
    const second = numberAt(right, i)
    let before = i - 1
    while (before >= 0 && left[before] === "0") before--
    // A zero inside of a number is compared digit by digit.
    const isInside = (one === "0" || other === "0") && isDigit(left[before])
    const lead = isInside ? 1n : 0n
    const sizes = [
      lead * 10n ** BigInt(first.end - i) + first.value,
      lead * 10n ** BigInt(second.end - i) + second.value
    ] as const
    if (sizes[0] !== sizes[1]) return sizes[0] < sizes[1] ? -1 : 1
    if (first.end !== second.end) return first.end - second.end
    return codePoint(one) - codePoint(other)
  }
  return left.length - right.length
}

/** Numbers and booleans come first, then null, then texts. */
const rank = (key: Value): number => typeof key === "string" ? 2 : key === null ? 1 : typeof key === "object" ? 3 : 0

const compareKeys = (a: Value, b: Value): number =>
  typeof a === "string" && typeof b === "string"
    ? compareTexts(a, b)
    : rank(a) - rank(b) || (rank(a) === 0 ? Number(a) - Number(b) : 0)

// -----------------------------------------------------------------------------
// Scalars
// -----------------------------------------------------------------------------

const breaks = "\\n\\r\\u0085\\u2028\\u2029"
const isBreak = (char: string): boolean => /^[\n\r\u0085\u2028\u2029]$/.test(char)
// Characters beyond the first plane count as unprintable, too.
const isPrintable = (char: string): boolean => /^[\n\x20-\x7e\u00a0-\ud7ff\ue000-\ufefe\uff00-\ufffd]$/.test(char)

interface Analysis {
  readonly plain: boolean
  readonly singleQuoted: boolean
  readonly block: boolean
  readonly multiline: boolean
}

const analyse = (text: string): Analysis => {
  const chars = [...text]
  const special = chars.some((char) => char !== "\t" && !isPrintable(char))
  const spaceBreak = new RegExp(` [${breaks}]`).test(text)
  const breakSpace = new RegExp(`[${breaks}] `).test(text)
  const multiline = chars.some(isBreak)
  const hasIndicator = /^(?:---|\.\.\.|[#,[\]{}&*!|>'"%@`]|[?:-](?=[ \t]|$))/.test(text) ||
    // A mapping or a comment would begin here.
    /.:(?:[ \t]|$)/su.test(text) ||
    new RegExp(`[ \\t${breaks}]#`).test(text)
  const isPadded = /^ | $/.test(text)
  return {
    multiline,
    plain: !multiline && !special && !text.includes("\t") && !hasIndicator && !isPadded,
    singleQuoted: !breakSpace && !spaceBreak && !special && !text.includes("\t"),
    block: !spaceBreak && !special && !text.endsWith(" ")
  }
}

const escapes: Readonly<Record<number, string>> = {
  0x00: "0",
  0x07: "a",
  0x08: "b",
  0x09: "t",
  0x0a: "n",
  0x0b: "v",
  0x0c: "f",
  0x0d: "r",
  0x1b: "e",
  0x22: "\"",
  0x5c: "\\",
  0x85: "N",
  0xa0: "_",
  0x2028: "L",
  0x2029: "P"
}

const escaped = (char: string): string => {
  const code = codePoint(char)
  const known = escapes[code]
  if (known !== undefined) return `\\${known}`
  const [letter, width] = code <= 0xff ? ["x", 2] : code <= 0xffff ? ["u", 4] : ["U", 8]
  return `\\${letter}${code.toString(16).toUpperCase().padStart(Number(width), "0")}`
}

const doubleQuoted = (text: string): string => {
  const first = [...text][0]
  const content = [...text].map((char) =>
    // A byte order mark at the front has every later character written as an escape.
    !isPrintable(char) || first === "\ufeff" || isBreak(char) || char === "\"" || char === "\\" ? escaped(char) : char
  )
  return `"${content.join("")}"`
}

/** After a break that is no newline, the next character is indented. */
const indented = (text: string, indent: number): string =>
  text.replace(new RegExp(`([${breaks}])(?![${breaks}]|$)`, "g"), (found) => `${found}${" ".repeat(indent)}`)

const singleQuoted = (text: string, indent: number): string => `'${indented(text.replaceAll("'", "''"), indent)}'`

/** A block text: its header, its lines, and always a newline at the end. */
const literal = (text: string, indent: number): string => {
  const [last, beforeLast] = [...text].reverse()
  const ends = last !== undefined && isBreak(last)
  const chomp = !ends ? "-" : beforeLast === undefined || isBreak(beforeLast) ? "+" : ""
  const first = isBreak(text[0] ?? "") ? "" : " ".repeat(indent)
  return `|${text.startsWith(" ") ? "4" : ""}${chomp}\n${first}${indented(text, indent)}${ends ? "" : "\n"}`
}

const oldBooleans = /^(?:y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF)$/
const sexagesimal = /^[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?$/

/** Whether a reader of YAML 1.1 takes the text for something else. */
const isAmbiguous = (text: string): boolean =>
  typeof plainScalar(text) !== "string" || oldBooleans.test(text) || sexagesimal.test(text) || text === "<<"

const encodeText = (text: string, indent: number, isKey: boolean): string => {
  const { block, plain, singleQuoted: single } = analyse(text)
  if (text.includes("\n")) {
    return !isKey && block && text.length > 1 && /\S/.test(text) ? literal(text, indent) : doubleQuoted(text)
  }
  if (isAmbiguous(text)) return doubleQuoted(text)
  return plain ? text : single ? singleQuoted(text, indent) : doubleQuoted(text)
}

/** The shortest decimal that reads as the number, with an exponent below 1e-4 and from 1e6 on. */
const encodeFloat = (value: number): string => {
  if (Number.isNaN(value)) return ".nan"
  if (!Number.isFinite(value)) return value > 0 ? ".inf" : "-.inf"
  if (Object.is(value, -0)) return "-0"
  const [digits, power] = value.toExponential().split("e")
  const exponent = Number(power)
  return exponent >= -4 && exponent < 6
    ? String(value)
    : `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`
}

const encodeScalar = (value: Scalar, indent: number, isKey: boolean): string => {
  if (value === null) return "null"
  if (value instanceof Timestamp) return value.text
  if (typeof value === "number") return encodeFloat(value)
  return typeof value === "string" ? encodeText(value, indent, isKey) : String(value)
}

// -----------------------------------------------------------------------------
// Collections
// -----------------------------------------------------------------------------

const step = 4

const aligned = (indent: number): number => step * Math.floor((indent + step) / step)

/** A collection that is not empty, every line of it indented, with a newline at the end. */
const block = (value: ReadonlyArray<Value> | ReadonlyMap<Value, Value>, indent: number): string => {
  const pad = " ".repeat(indent)
  return isList(value)
    ? value.map((item) => `${pad}-${following(item, indent + 2, "item")}`).join("")
    : [...value].sort(([a], [b]) => compareKeys(a, b)).map(([key, item]) => {
      const isSimple = typeof key !== "string" ||
        (!analyse(key).multiline && new TextEncoder().encode(key).length <= 128)
      return isSimple
        ? `${pad}${isList(key) || isMapping(key) ? "{}" : encodeScalar(key, 0, true)}:${
          following(item, aligned(indent), "value")
        }`
        : `${pad}?${following(key, aligned(indent), "item")}${pad}:${following(item, aligned(indent), "complex")}`
    }).join("")
}

/** The text after `-` or `key:`, with a newline at the end. */
const following = (value: Value, indent: number, place: "item" | "value" | "complex"): string => {
  if (isList(value) && value.length === 0) return " []\n"
  if (isMapping(value) && value.size === 0) return " {}\n"
  if (isList(value) || isMapping(value)) {
    const lines = block(value, indent)
    if (place === "value") return `\n${lines}`
    return place === "item"
      ? ` ${lines.slice(indent)}`
      : `${" ".repeat(indent % step || step - 1)}${lines.slice(indent)}`
  }
  const text = encodeScalar(value, indent, false)
  return ` ${text}${text.endsWith("\n") ? "" : "\n"}`
}

/** A document as Go's library writes it by default. */
export const encode = (value: Value): string =>
  isList(value)
    ? value.length === 0 ? "[]\n" : block(value, 0)
    : isMapping(value)
    ? value.size === 0 ? "{}\n" : block(value, 0)
    : following(value, 4, "item").slice(1)
