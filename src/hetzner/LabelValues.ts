/**
 * Texts as values of labels. The API takes at most 63 characters of `[A-Za-z0-9._-]`, alphanumeric at both ends. Pure.
 *
 * A text that is such a value stays as it is. Any other one keeps its readable beginning and gets a digest of the whole
 * text, so that different texts have different values. The value cannot be turned back: it is compared with
 * `isLabelValueOf`.
 */
import { digestOf } from "../internal/Digest.ts"

const longest = 63

/** Begins the digest. No value that is a text as it is ends in this and 13 hexadecimal digits, see `labelValueOf`. */
const mark = "--"

const isValue = (text: string): boolean => /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/.test(text)
const looksEncoded = (text: string): boolean => /(?:^|--)[0-9a-f]{13}$/.test(text)

/** The label value of a text. */
export const labelValueOf = (text: string): string => {
  if (isValue(text) && !looksEncoded(text)) return text
  const digest = digestOf(text)
  const beginning = text.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[._-]+/, "")
    .slice(0, longest - mark.length - digest.length).replace(/[._-]+$/, "")
  return beginning === "" ? digest : `${beginning}${mark}${digest}`
}

/** Whether a value is the label value of this text. */
export const isLabelValueOf = (value: string, text: string): boolean => value === labelValueOf(text)
